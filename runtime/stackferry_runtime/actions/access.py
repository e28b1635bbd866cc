"""Making a source volume readable by a conversion host, and taking that back.

``snapshot``: a snapshot of the volume, and a volume from that; the original is never touched. ``detach``: the volume
itself, taken off its server and put back afterwards. ``auto``: a snapshot where the quota has room, else detach.
A disk that a server boots from always takes a snapshot.
The disk of a server that was booted from an image is read from a snapshot image. All that is made here carries the
marker in its metadata, by which it's found again. Source: Block Storage API v3, "Volume snapshots".
"""

from __future__ import annotations

import math
from typing import Any

from stackferry.errors import EndedInError
from stackferry.resources import quotas
from stackferry.resources.finding import MARK
from stackferry.resources.view import Record, View
from stackferry.resources.volume import Volume

from . import attachments
from .done import Done, until

NAME = "stackferry-"
BOOT = "-boot"  # a server's id with this is its boot disk, which is no volume
GIB = 1 << 30


def expose(view: View, volume: str, known: dict[str, Any]) -> Done:
    """Make a volume that can be attached to a conversion host: results ``volume``, ``access``, and its GiB."""
    if volume.endswith(BOOT):
        return _boot_disk(view, volume.removesuffix(BOOT), known)
    record = _known(view, volume)
    if _access(view, record, known) == "detach":
        if server := known.get("server"):
            attachments.detach(view, volume, {"server": server})
        return Done({"volume": volume, "access": "detach", "size": record["size"]})
    snapshot = _snapshot(view, record, known["marker"])
    made = {"snapshot_id": snapshot["id"], "size": record["size"]}
    copy = _marked_volume(view, known["marker"], {**made, "volume_type": record["volume_type"]})
    return Done({"volume": copy["id"], "access": "snapshot", "size": record["size"]})


def withdraw(view: View, volume: str, known: dict[str, Any]) -> Done:
    """Take back whatever any try of :func:`expose` has done."""
    for copy in _marked(view, known["marker"]):
        if attachments.users(copy):
            raise EndedInError(f"volume {copy['id']} is still attached to {attachments.users(copy)[0]}")
        view.proxy("block_storage").delete_volume(copy["id"], ignore_missing=True)
        until(lambda c=copy: view.refresh(Volume.kind, c["id"]), _gone, f"volume {copy['id']} is still being deleted")  # type: ignore[misc]
    _delete_snapshots(view, volume, known["marker"])
    _delete_images(view, known["marker"])
    _put_back(view, volume, known)
    return Done()


def _access(view: View, record: Record, known: dict[str, Any]) -> str:
    asked = known.get("access") or "auto"
    if _is_boot_disk(record):
        return "snapshot"
    if asked != "auto":
        return str(asked)
    if _marked(view, known["marker"]):
        return "snapshot"  # an earlier try has begun so
    short = quotas.beyond(view, {"volumes": 1, "gigabytes": 2 * int(record["size"]), "snapshots": 1})
    return "detach" if short else "snapshot"


def _is_boot_disk(record: Record) -> bool:
    """Nova detaches no root disk, whatever was asked for."""
    return any(str(a.get("device") or "").endswith("da") for a in record["attachments"] or ())


def _known(view: View, volume: str) -> Record:
    record = view.refresh(Volume.kind, volume)
    if record is None:
        raise EndedInError(f"volume {volume} is gone from the source")
    return record


def _snapshot(view: View, record: Record, marker: str) -> Any:
    storage = view.proxy("block_storage")
    found = next(iter(_snapshots(view, record["id"], marker)), None)
    if found is None:
        found = storage.create_snapshot(
            volume_id=record["id"], name=f"{NAME}{record['id']}", metadata={MARK: marker}, is_forced=True
        )
    return until(
        lambda: {"id": found.id, "status": storage.get_snapshot(found.id).status}, _available("snapshot"),
        f"the snapshot of volume {record['id']} is still being made",
    )  # fmt: skip


def _snapshots(view: View, volume: str, marker: str) -> list[Any]:
    listed = view.proxy("block_storage").snapshots(details=True, volume_id=volume)
    return [s for s in listed if (s.metadata or {}).get(MARK) == marker]


def _marked_volume(view: View, marker: str, body: dict[str, Any]) -> Record:
    storage = view.proxy("block_storage")
    found = _marked(view, marker)
    if not found:
        told = {name: value for name, value in body.items() if value is not None}
        made = storage.create_volume(name=f"{NAME}{marker.rpartition('/')[2]}", metadata={MARK: marker}, **told)
        found = [{"id": made.id}]
    id_ = found[0]["id"]
    made = until(lambda: view.refresh(Volume.kind, id_), _available("volume"), f"volume {id_} is still being made")
    return made or {}


def _marked(view: View, marker: str) -> list[Record]:
    view.forget(Volume.kind)
    return [r for r in view.records(Volume.kind) if (r["metadata"] or {}).get(MARK) == marker]


def _available(what: str) -> Any:
    def good(record: Record | None) -> bool:
        if record is None or str(record["status"]).startswith("error"):
            raise EndedInError(f"the {what} ended as {record['status'] if record else 'gone'}")
        return record["status"] in ("available", "in-use", "active")

    return good


def _gone(record: Record | None) -> bool:
    if record is not None and str(record["status"]).startswith("error"):
        raise EndedInError(f"volume {record['id']} can't be deleted: it ended as {record['status']}")
    return record is None


def _delete_snapshots(view: View, volume: str, marker: str) -> None:
    storage = view.proxy("block_storage")
    for snapshot in _snapshots(view, volume, marker):
        storage.delete_snapshot(snapshot.id, ignore_missing=True)
    until(
        lambda: {"left": _snapshots(view, volume, marker), "status": "deleting"},
        lambda found: not (found or {}).get("left"), f"the snapshot of volume {volume} is still being deleted",
    )  # fmt: skip


def _put_back(view: View, volume: str, known: dict[str, Any]) -> None:
    """Attach a disk to its server again, if it was taken off it."""
    server = known.get("server")
    if not server or volume.endswith(BOOT) or (known.get("access") == "snapshot"):
        return
    record = view.refresh(Volume.kind, volume)
    if record is not None and not attachments.users(record):
        attachments.attach(view, volume, {"server": server, "device": known.get("device")})


def _boot_disk(view: View, server: str, known: dict[str, Any]) -> Done:
    """Make a volume of the disk of a server that was booted from an image."""
    images, name = view.proxy("image"), f"{NAME}{server}"
    found = _images(view, known["marker"])
    if not found:
        view.proxy("compute").create_server_image(server, name=name, metadata={MARK: known["marker"]}, wait=False)
        found = _images(view, known["marker"])
    if not found:
        raise EndedInError(f"Nova made no image of server {server}")
    image = until(
        lambda: _image(images, found[0].id), _available("image"), f"the image of server {server} is being made"
    )
    size = max(math.ceil((image or {})["bytes"] / GIB), (image or {})["min_disk"], 1)
    copy = _marked_volume(view, known["marker"], {"image_id": found[0].id, "size": size})
    return Done({"volume": copy["id"], "access": "image", "size": size})


def _image(images: Any, id_: str) -> Record:
    image = images.get_image(id_)
    status = "error" if image.status in ("killed", "deleted") else image.status
    return {"status": status, "bytes": image.virtual_size or image.size or 0, "min_disk": image.min_disk or 0}


def _images(view: View, marker: str) -> list[Any]:
    listed = view.proxy("image").images(
        owner=view.project_id, name=f"{NAME}{marker.rpartition('/')[2].removesuffix(BOOT)}"
    )
    return [image for image in listed if (image.properties or {}).get(MARK) == marker]


def _delete_images(view: View, marker: str) -> None:
    if marker.endswith(BOOT):
        for image in _images(view, marker):
            view.proxy("image").delete_image(image.id, ignore_missing=True)
