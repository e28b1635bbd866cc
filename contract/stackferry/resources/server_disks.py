"""What a server starts from, and its other disks. Source: Nova's guide "Block device mapping in Nova"."""

from __future__ import annotations

from typing import Any

from .boot_disk import boot_volume
from .hints import Hints

Document = dict[str, Any]


def mapping(body: dict[str, Any], hints: Hints) -> dict[str, Any]:
    """Return what a creation says of disks: an image, volumes, or both; those whose tag is known with their tag."""
    found, tags = _mapping(body, hints), hints.get("device_tags") or {}
    for entry in found.get("block_device_mapping", ()):
        if entry["uuid"] in tags:
            entry["tag"] = tags[entry["uuid"]]
    return found


def _mapping(body: dict[str, Any], hints: Hints) -> dict[str, Any]:
    documents = body.get("volumes") or []
    ids = list(hints.get("volume_ids") or [])
    copy, boot = hints.get("boot_volume_id"), hints.get("boot_volume")
    if boot is None:
        boot = boot_volume({"params": {"volumes": documents, "image_ref": body.get("image")}})
    first: list[dict[str, Any]] = []
    if copy:
        first = [_entry(copy, 0, True)]
    elif boot is not None and boot < len(ids) and (id_ := ids[boot]):
        first = [_entry(id_, 0, _dies(documents[boot], True))]
    rest = [
        _entry(id_, -1, _dies(documents[n] if n < len(documents) else {}, False))
        for n, id_ in enumerate(ids)
        if id_ and (copy or n != boot)
    ]
    if given := hints.get("given_volume_ids"):  # they were there before the server, and may outlive it
        first = [_entry(id_, 0, False) for id_ in given[:1] if id_]
        rest = [_entry(id_, -1, False) for id_ in given[1:] if id_]
    if first or not body.get("image"):
        return {"block_device_mapping": first + rest}
    if not rest:
        return {"image_id": body["image"]}
    root = {"source_type": "image", "destination_type": "local", "uuid": body["image"], "boot_index": 0,
            "delete_on_termination": True}  # fmt: skip
    return {"image_id": body["image"], "block_device_mapping": [root, *rest]}


def _entry(id_: str, boot_index: int, dies: bool) -> dict[str, Any]:
    return {"source_type": "volume", "destination_type": "volume", "uuid": id_, "boot_index": boot_index,
            "delete_on_termination": dies}  # fmt: skip


def _dies(document: Document, otherwise: bool) -> bool:
    """Whether it's deleted with its server, as at the source."""
    told = [a.get("delete_on_termination") for a in (document.get("_info") or {}).get("attachments") or ()]
    return next((bool(t) for t in told if t is not None), otherwise)
