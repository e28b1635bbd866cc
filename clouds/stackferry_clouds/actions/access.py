"""Making a source volume readable by a conversion host, and taking that back.

``snapshot``: a snapshot of the volume, and a volume from that; the original is never touched. ``detach``: the volume
itself, taken off its server and put back afterwards. ``auto``: a snapshot where the quota has room, else detach.
A disk that a server starts from (``known.boot``) always takes a snapshot: Nova detaches none.
The disk of a server that was booted from an image is read from a snapshot image. All that is made here carries the
marker in its metadata, by which it's found again; in a pass of a warm workload with the pass's number, so that no pass
takes an older one's for its own. Source: Block Storage API v3, "Volume snapshots".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from stackferry.errors import EndedInError
from stackferry.resources import quotas
from stackferry.resources.marks import MARK
from stackferry.resources.view import Record, View
from stackferry.resources.volume import Volume, for_guests

from ..failures import over_quota
from . import attachments
from .done import Done, until

NAME = "stackferry-"
BOOT = "-boot"  # a server's id with this is its boot disk, which is no volume
GIB = 1 << 30
#: what says of an image that it's a snapshot, of which server, and whose; and what its payload is
OF_A_SNAPSHOT = (MARK, "base_image_ref", "boot_roles", "checksum", "container_format", "disk_format", "image_",
                 "instance_", "owner_", "size", "user_id")  # fmt: skip


def expose(view: View, volume: str, known: dict[str, Any]) -> Done:
    """Make a volume that can be attached to a conversion host: results ``volume``, ``access``, and its GiB.

    Of a boot disk that is no volume also ``image_metadata``, which its copy has from the server's image.
    """
    if volume.endswith(BOOT):
        return _boot_disk(view, volume.removesuffix(BOOT), known)
    record = _known(view, volume)
    if _access(view, record, known) == "snapshot":
        try:
            return _snapshot_copy(view, record, known)
        except Exception as error:
            if not (_may_choose(known) and over_quota(error)):
                raise
            _delete_made(view, volume, _exactly(mark_of(known)))  # others have used up what was left
    if server := known.get("server"):
        attachments.detach(view, volume, {"server": server})
    return Done({"volume": volume, "access": "detach", "size": record["size"]})


def _snapshot_copy(view: View, record: Record, known: dict[str, Any]) -> Done:
    snapshot = _snapshot(view, record, mark_of(known))
    made = {"snapshot_id": snapshot["id"], "size": record["size"]}
    copy = _marked_volume(view, known, {**made, "volume_type": record["volume_type"]})
    return Done({"volume": copy["id"], "access": "snapshot", "size": record["size"]})


def withdraw(view: View, volume: str, known: dict[str, Any]) -> Done:
    """Take back whatever any try of :func:`expose` has done: in one pass, or in all of them where none is said."""
    mine = _of_pass(known)
    _delete_made(view, volume, mine)
    _delete_images(view, known["marker"], mine)
    _put_back(view, volume, known)
    return Done()


def _delete_made(view: View, volume: str, mine: Mine) -> None:
    """Delete copies of a volume and the snapshots that they're made from."""
    for copy in _marked(view, mine):
        if attachments.users(copy):
            raise EndedInError(f"volume {copy['id']} is still attached to {attachments.users(copy)[0]}")
        view.proxy("block_storage").delete_volume(copy["id"], ignore_missing=True)
        until(view.waiting(Volume.kind, copy["id"]), _gone, f"volume {copy['id']} is still being deleted")
    _delete_snapshots(view, volume, mine)


def mark_of(known: dict[str, Any]) -> str:
    """The mark of what is made for a disk, in this pass."""
    return f"{known['marker']}/{known['pass']}" if known.get("pass") else str(known["marker"])


Mine = Callable[[Any], bool]  # whether a mark is of ours


def _exactly(mark: str) -> Mine:
    return lambda found: bool(found == mark)


def _of_pass(known: dict[str, Any]) -> Mine:
    if known.get("pass"):
        return _exactly(mark_of(known))
    marker = str(known["marker"])
    return lambda found: found == marker or str(found or "").startswith(f"{marker}/")


def _access(view: View, record: Record, known: dict[str, Any]) -> str:
    if known.get("boot"):
        return "snapshot"
    if not _may_choose(known):
        return str(known["access"])
    if known.get("server") and not attachments.users(record):
        return "detach"  # an earlier try has begun so
    if _marked(view, _exactly(mark_of(known))):
        return "snapshot"  # or so
    short = quotas.beyond(view, {"volumes": 1, "gigabytes": 2 * int(record["size"]), "snapshots": 1})
    return "detach" if short else "snapshot"


def _may_choose(known: dict[str, Any]) -> bool:
    return (known.get("access") or "auto") == "auto" and not known.get("boot")


def _known(view: View, volume: str) -> Record:
    record = view.refresh(Volume.kind, volume)
    if record is None:
        raise EndedInError(f"volume {volume} is gone from the source")
    return record


def _snapshot(view: View, record: Record, marker: str) -> Any:
    storage = view.proxy("block_storage")
    found = next(iter(_snapshots(view, record["id"], _exactly(marker))), None)
    if found is None:
        found = storage.create_snapshot(
            volume_id=record["id"], name=f"{NAME}{record['id']}", metadata={MARK: marker}, is_forced=True
        )
    return until(
        lambda: {"id": found.id, "status": storage.get_snapshot(found.id).status}, _available("snapshot"),
        f"the snapshot of volume {record['id']} is still being made",
    )  # fmt: skip


def _snapshots(view: View, volume: str, mine: Mine) -> list[Any]:
    listed = view.proxy("block_storage").snapshots(details=True, volume_id=volume)
    return [s for s in listed if mine((s.metadata or {}).get(MARK))]


def _marked_volume(view: View, known: dict[str, Any], body: dict[str, Any]) -> Record:
    storage, mark = view.proxy("block_storage"), mark_of(known)
    found = _marked(view, _exactly(mark))
    if not found:
        told = {name: value for name, value in body.items() if value is not None}
        made = storage.create_volume(name=f"{NAME}{_subject(known['marker'])}", metadata={MARK: mark}, **told)
        found = [{"id": made.id}]
    id_ = found[0]["id"]
    made = until(view.waiting(Volume.kind, id_), _available("volume"), f"volume {id_} is still being made")
    return made or {}


def _subject(marker: str) -> str:
    """The id of what a marker is about."""
    return marker.rpartition("/")[2]


def _marked(view: View, mine: Mine) -> list[Record]:
    view.forget(Volume.kind)
    return [r for r in view.records(Volume.kind) if mine((r["metadata"] or {}).get(MARK))]


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


def _delete_snapshots(view: View, volume: str, mine: Mine) -> None:
    storage = view.proxy("block_storage")
    for snapshot in _snapshots(view, volume, mine):
        storage.delete_snapshot(snapshot.id, ignore_missing=True)
    until(
        lambda: {"left": _snapshots(view, volume, mine), "status": "deleting"},
        lambda found: not (found or {}).get("left"), f"the snapshot of volume {volume} is still being deleted",
    )  # fmt: skip


def _put_back(view: View, volume: str, known: dict[str, Any]) -> None:
    """Attach a disk to its server again, if it was taken off it."""
    server = known.get("server")
    if not server or volume.endswith(BOOT) or (known.get("access") == "snapshot"):
        return
    record = view.refresh(Volume.kind, volume)
    if record is not None and not attachments.users(record):
        as_it_was = {name: known.get(name) for name in ("device", "delete_on_termination")}
        attachments.attach(view, volume, {"server": server, **as_it_was})


def _boot_disk(view: View, server: str, known: dict[str, Any]) -> Done:
    """Make a volume of the disk of a server that was booted from an image."""
    images, name, mark = view.proxy("image"), f"{NAME}{server}", mark_of(known)
    found = _images(view, server, _exactly(mark))
    if not found:
        view.proxy("compute").create_server_image(server, name=name, metadata={MARK: mark}, wait=False)
        found = _images(view, server, _exactly(mark))
    if not found:
        raise EndedInError(f"Nova made no image of server {server}")
    image = until(
        lambda: _image(images, found[0].id), _available("image"), f"the image of server {server} is being made"
    )
    size = max(math.ceil((image or {})["bytes"] / GIB), (image or {})["min_disk"], 1)
    copy = _marked_volume(view, known, {"image_id": found[0].id, "size": size})
    needs = _of_its_guest(copy)
    return Done({"volume": copy["id"], "access": "image", "size": size, "image_metadata": needs})


def _of_its_guest(copy: Record) -> dict[str, str]:
    """What a guest needs that starts from it (UEFI, machine type ...).

    Nova gives a snapshot what it has kept of the server's image, though that be gone; Cinder gives it to the volume.
    """
    kept = for_guests(copy["volume_image_metadata"])
    return {n: str(v) for n, v in kept.items() if not n.startswith(OF_A_SNAPSHOT)}


def _image(images: Any, id_: str) -> Record:
    image = images.get_image(id_)
    status = "error" if image.status in ("killed", "deleted") else image.status
    return {"status": status, "bytes": image.virtual_size or image.size or 0, "min_disk": image.min_disk or 0}


def _images(view: View, server: str, mine: Mine) -> list[Any]:
    listed = view.proxy("image").images(owner=view.project_id, name=f"{NAME}{server}")
    return [image for image in listed if mine((image.properties or {}).get(MARK))]


def _delete_images(view: View, marker: str, mine: Mine) -> None:
    if marker.endswith(BOOT):
        for image in _images(view, _subject(marker).removesuffix(BOOT), mine):
            view.proxy("image").delete_image(image.id, ignore_missing=True)
