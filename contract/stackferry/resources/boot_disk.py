"""Which of its volumes a server starts from: one rule, for records of a cloud and for documents.

Nova tells administrators only (``root_device_name``). Else it's the only volume that is bootable; of several, the one
at the first device of a bus, or the one that was attached before all others. Where none of that decides, people must:
``boot_index: 0`` in the ``_info`` of a volume says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Document = dict[str, Any]
#: where hypervisors put the disk that a guest starts from
FIRST_DEVICES = ("/dev/vda", "/dev/sda", "/dev/xvda", "/dev/hda")


def boot_disk(volumes: Sequence[dict[str, Any]], root_device: str | None = None) -> int | None:
    """Return the place of the volume that a server starts from in *volumes*; None when nothing decides."""
    places = range(len(volumes))
    bootable = [n for n in places if volumes[n].get("is_bootable")] or list(places)
    clues = (
        [n for n in places if volumes[n].get("boot_index") == 0],
        [n for n in places if root_device and device(volumes[n]) == root_device],
        bootable,
        [n for n in bootable if device(volumes[n]) in FIRST_DEVICES],
        _attached_first(volumes, bootable),
    )
    return next((found[0] for found in clues if len(found) == 1), None)


def boot_volume(document: Document) -> int | None:
    """Return which of its volumes the server of a document starts from; None: from an image, or it's unclear."""
    if document["params"].get("image_ref") is not None:
        return None
    volumes = [_facts(volume) for volume in document["params"].get("volumes") or ()]
    return boot_disk(volumes, (document.get("_info") or {}).get("root_device_name"))


def unclear(document: Document) -> str | None:
    """Say that nobody knows what the server of a document starts from, and what to write; None when it's known."""
    volumes = document["params"].get("volumes") or []
    if document["params"].get("image_ref") is not None or not volumes or boot_volume(document) is not None:
        return None
    names = [
        f"{v['params'].get('name') or v['_info'].get('id')!r} at {device(v['_info']) or 'no device'}" for v in volumes
    ]
    return f"nothing says which volume it starts from ({', '.join(names)}): write boot_index: 0 into _info of that one"


def device(volume: dict[str, Any]) -> str:
    """The device of a volume at its server: of a record, or of the ``_info`` of a document."""
    return next((str(a["device"]) for a in volume.get("attachments") or () if a.get("device")), "")


def _facts(volume: Document) -> dict[str, Any]:
    said = volume["params"].get("is_bootable")
    return {**(volume.get("_info") or {}), **({} if said is None else {"is_bootable": said})}


def _attached_first(volumes: Sequence[dict[str, Any]], places: list[int]) -> list[int]:
    times = {n: next((str(a["attached_at"]) for a in volumes[n].get("attachments") or () if a.get("attached_at")), "")
             for n in places}  # fmt: skip
    return [n for n in places if times[n] == min(times.values())] if all(times.values()) else []
