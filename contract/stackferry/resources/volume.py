"""Volumes. Source: Block Storage API v3, "Volumes", "Volume actions", "Volume metadata".

A server's volumes are always made new. ``hints.marker`` (``<migration>/<volume id>``) goes into the metadata of what
is made, and only what carries it is found again; :func:`unmark` takes it off.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import EndedInError, Unfinished
from . import quotas, volume_types
from .answer import checked
from .fields import Bag, Flag, Number, Partial, Text
from .hints import Hints
from .image_fields import Property
from .kind import Kind, named
from .marks import MARK, marked
from .view import Record, View

#: image metadata that leads into the source cloud: to its images, its keys and its certificates
OF_ITS_CLOUD = ("cinder_", "image_id", "img_signature", "signature_")
#: metadata that Cinder shows there by itself
CINDERS = ("attached_mode", "readonly")
OWN_IDS = "volumes of images: the image_id and the like in their image metadata are this cloud's, and stay"
#: the states of a volume whose content can be read, and those that will pass
STEADY, MAKING = ("available", "in-use"), ("creating", "downloading")


class Metadata(Bag):
    """Free metadata, without our mark and Cinder's own."""

    def export(self, value: Any, view: View) -> Any:
        return self.canonical(value)

    def resolve(self, value: Any, view: View) -> Any:
        return self.canonical(value)

    def canonical(self, value: Any) -> Any:
        return {n: str(v) for n, v in sorted((value or {}).items()) if n not in (MARK, *CINDERS)}

    def earlier(self, was: Any, becomes: Any, now: Any) -> Any:
        return self.canonical(was)


class ReadOnly(Flag):
    """Cinder keeps it among the metadata, as text, and sets it by an action."""

    def read(self, resource: Any, attribute: str) -> Any:
        return str((getattr(resource, "metadata", None) or {}).get("readonly")).lower() == "true"


class ImageMetadata(Partial):
    """What the guest's hardware must be like; what only the destination has stays."""

    def export(self, value: Any, view: View) -> Any:
        return for_guests(value) or None

    def resolve(self, value: Any, view: View) -> Any:
        return {n: self.item(v) for n, v in for_guests(value).items()}

    def item(self, value: Any) -> Any:
        return Property().canonical(value)


def for_guests(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """The part of a volume's image metadata that means the same in any cloud."""
    return {n: v for n, v in sorted((metadata or {}).items()) if not n.startswith(OF_ITS_CLOUD)}


class Volume(Kind):
    """A disk: of a server, inside of its document, or attached to none. Only the latter are found by name."""

    type = "openstack.network.ServerVolume"
    file = "detached_volumes"
    optional = True
    by_workload = True
    gradual = True
    service = "block_storage"
    fixed = frozenset({"size"})
    initial = frozenset({"availability_zone", "volume_type"})
    info = (
        "attachments",
        "created_at",
        "id",
        "is_bootable",
        "is_encrypted",
        "is_multiattach",
        "project_id",
        "size",
        "status",
        "updated_at",
        "volume_type_specs",
    )

    name = Text("name; not unique, may be empty", empty=True)
    description = Text("free text", empty=True)
    availability_zone = Text("availability zone")
    is_bootable = Flag("whether servers may start from it")
    is_read_only = ReadOnly("whether nobody may write to it; set once all of it has arrived")
    metadata = Metadata("free metadata")
    size = Number("GiB")
    volume_image_metadata = ImageMetadata("what a guest that starts from it needs: UEFI, machine type, disk bus ...")
    volume_type = Text("name of its volume type, which also says whether it's encrypted, or shared by servers")

    @classmethod
    def listing(cls, view: View) -> Iterable[Any]:
        """The project's own volumes; only administrators may ask for a project."""
        yield from view.proxy("block_storage").volumes()

    @classmethod
    def stands_alone(cls, view: View, record: Record) -> bool:
        return not record["attachments"]

    @classmethod
    def obstacle(cls, view: View, record: Record) -> str | None:
        """Only a volume at rest can be read; and a disk that servers share belongs to none of them."""
        if record["status"] not in STEADY:
            return f"it's {record['status']}"
        servers = sorted({a["server_id"] for a in record["attachments"] or () if a.get("server_id")})
        if len(servers) > 1:
            return f"{len(servers)} servers share it ({', '.join(servers)}): detach it from all but one"
        return None

    @classmethod
    def complete(cls, view: View, record: Record, names: Iterable[str]) -> Record:
        """With what its type promises here."""
        if "volume_type" not in names or not record["volume_type"]:
            return record
        return {**record, "volume_type_specs": volume_types.specs(view).get(record["volume_type"])}

    @classmethod
    def provisos(cls, view: View, document: dict[str, Any]) -> list[str]:
        return volume_types.otherwise(view, document)

    @classmethod
    def remarks(cls, view: View, record: Record) -> list[str]:
        """What the destination decides; and, once, that an id of the source stays."""
        what, decides = named(cls, record), "the volume type at the destination decides whether the copy is"
        of_its_cloud = any(name.startswith(OF_ITS_CLOUD) for name in record["volume_image_metadata"] or {})
        return ([OWN_IDS] if of_its_cloud and OWN_IDS not in view.notes else []) + [
            f"{what} {how}: {decides}"
            for how, true in (
                ("is encrypted", record["is_encrypted"]),
                ("may be attached to several servers", record["is_multiattach"]),
            )
            if true
        ]

    @classmethod
    def told(cls, document: dict[str, Any]) -> dict[str, Any]:
        """OS Migrate has size and bootability among the facts only."""
        info = document.get("_info") or {}
        elsewhere = {n: info[n] for n in ("is_bootable", "size") if info.get(n) is not None}
        return elsewhere | {n: v for n, v in document["params"].items() if v is not None}

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """What carries the document's mark; without one, detached volumes of the same name that carry none."""
        if hints.get("marker"):
            return [r for r in view.records(cls.kind) if marked(r, hints)]
        named_so = super().candidates(view, body, hints)
        return [r for r in named_so if not r["attachments"] and MARK not in (r["metadata"] or {})]

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        """Its type, its availability zone, or room for it."""
        size, type_ = int(body.get("size") or 0), body.get("volume_type")
        unsaid = [] if size else [f"{cls.title(document['params'])!r} has no size"]
        needed = {"volumes": 1, "gigabytes": size, quotas.EACH: size}
        if type_:
            needed |= {quotas.of_type("volumes", type_): 1, quotas.of_type("gigabytes", type_): size}
        return unsaid + missing_names(view, document) + quotas.beyond(view, needed)

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """Make it empty; what it's good for is said once it's there."""
        told = {n: v for n, v in body.items() if n not in ("is_bootable", "is_read_only", "volume_image_metadata")}
        if hints.get("marker"):
            told["metadata"] = {**(told.get("metadata") or {}), MARK: hints["marker"]}
        return view.proxy("block_storage").create_volume(**told)

    @classmethod
    def settled(cls, record: Record) -> bool:
        status = record["status"]
        if status and status.startswith("error"):
            raise EndedInError(f"{named(cls, record)} ended as {status}")
        return status is not None and status not in MAKING

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
        """Each kind of property has a call of its own."""
        storage, id_ = view.proxy("block_storage"), record["id"]
        if wanted := body.pop("volume_image_metadata", None):
            action = {"os-set_image_metadata": {"metadata": wanted}}
            checked(storage.post(f"/volumes/{id_}/action", json=action))
        is_read_only = body.pop("is_read_only", None)
        if is_read_only is not None and not hints.get("marker"):  # else its content is still to come
            make_read_only(view, id_, is_read_only)
        if "is_bootable" in body:
            storage.set_volume_bootable_status(id_, body.pop("is_bootable"))
        if "metadata" in body:
            mark = {n: v for n, v in (record["metadata"] or {}).items() if n == MARK}
            checked(storage.put(f"/volumes/{id_}/metadata", json={"metadata": {**body.pop("metadata"), **mark}}))
        if body:
            storage.update_volume(id_, **body)
        return storage.get_volume(id_)

    @classmethod
    def bring_back(cls, view: View, record: Record, body: dict[str, Any]) -> None:
        """Image metadata that was set anew is taken away by a call for each key."""
        now: dict[str, Any] = record["volume_image_metadata"] or {}
        for key in sorted(now.keys() - body.get("volume_image_metadata", now).keys()):
            action = {"os-unset_image_metadata": {"key": key}}
            checked(view.proxy("block_storage").post(f"/volumes/{record['id']}/action", json=action))
        super().bring_back(view, record, body)

    @classmethod
    def delete(cls, view: View, record: Record) -> None:
        """Delete it, once it's free."""
        fresh = view.refresh(cls.kind, record["id"])
        if fresh is None:
            return
        users = [str(a["server_id"]) for a in fresh["attachments"] or ()]
        if users or fresh["status"] == "in-use":
            raise Unfinished(f"{named(cls, fresh)} is still attached ({', '.join(users)})")
        super().delete(view, fresh)


def make_read_only(view: View, id_: str, is_read_only: bool = True) -> None:
    """Set whether a volume may be written to; it must be attached to nothing."""
    action = {"os-update_readonly_flag": {"readonly": is_read_only}}
    checked(view.proxy("block_storage").post(f"/volumes/{id_}/action", json=action))


def missing_names(view: View, document: dict[str, Any]) -> list[str]:
    """Say which of the names that a volume's document has mean nothing here."""

    def zones() -> set[str]:
        return {item.name for item in view.proxy("block_storage").availability_zones()}

    found = []
    for param, what, known in (
        ("volume_type", "volume type", lambda: volume_types.specs(view)),
        ("availability_zone", "availability zone of volumes", lambda: view.once("zones of volumes", zones)),
    ):
        name = document["params"].get(param)
        if name and name not in known():
            found.append(f"there is no {what} named {name!r} here")
    return found
