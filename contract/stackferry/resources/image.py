"""Images: what servers boot from. Source: Image service API v2, "Images", "Common image properties".

A document holds what describes an image; its payload crosses by itself, from cloud to cloud.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .answer import checked
from .fields import Flag, Many, Number, Ref, Text
from .hints import Hints
from .image_fields import Algorithm, Hash, Members, Properties, Property
from .kind import Kind
from .view import Ambiguous, Missing, Record, View

PATCH = "application/openstack-images-v2.1-json-patch"
#: openstacksdk's names of attributes that Glance calls otherwise
GLANCE = {
    "has_auto_disk_config": "auto_disk_config",
    "is_hidden": "os_hidden",
    "is_hw_boot_menu_enabled": "hw_boot_menu",
    "is_hw_vif_multiqueue_enabled": "hw_vif_multiqueue_enabled",
    "is_protected": "protected",
    "needs_config_drive": "img_config_drive",
    "needs_secure_boot": "os_secure_boot",
}
#: of an image that Nova made of a server with volumes
ELSEWHERE = "its content is in volume snapshots of the source cloud"
#: signatures are checked with a certificate that lies in the source cloud's key manager
SIGNATURE = "img_signature"


class Image(Kind):
    """A disk that servers start from. Its payload is moved by a step of its own (`transfer`), and never changes."""

    type = "openstack.image.Image"
    file = "images"
    service = "image"
    owner = "owner_id"
    takes_id = True
    for_everybody = True
    stands_in = True
    fixed = frozenset({"container_format", "disk_format", "hash_algo", "hash_value"})
    info = (
        "checksum",
        "created_at",
        "direct_url",
        "file",
        "id",
        "instance_uuid",
        "kernel_id",
        "locations",
        "metadata",
        "owner_id",
        "ramdisk_id",
        "schema",
        "size",
        "status",
        "store",
        "updated_at",
        "url",
        "virtual_size",
    )

    name = Text("name; not unique, may be empty", empty=True)
    architecture = Property("CPU architecture")
    container_format = Text("bare, ovf, ...; with disk_format, what the payload is")
    disk_format = Text("raw, qcow2, iso, ...")
    has_auto_disk_config = Property("whether the root partition is resized before the first boot")
    hash_algo = Algorithm("algorithm of hash_value")
    hash_value = Hash("hash of the payload, as Glance computed it")
    hw_cpu_cores = Property("cores a socket")
    hw_cpu_policy = Property("dedicated or shared CPUs")
    hw_cpu_sockets = Property("sockets")
    hw_cpu_thread_policy = Property("how threads of a core are used")
    hw_cpu_threads = Property("threads a core")
    hw_disk_bus = Property("virtio, scsi, ...")
    hw_machine_type = Property("machine type of the hypervisor")
    hw_qemu_guest_agent = Property("whether the guest runs QEMU's agent")
    hw_rng_model = Property("random number generator")
    hw_scsi_model = Property("SCSI controller")
    hw_serial_port_count = Property("serial ports")
    hw_video_model = Property("graphics card")
    hw_video_ram = Property("most memory of the graphics card, in MB")
    hw_vif_model = Property("network card")
    hw_watchdog_action = Property("what happens to a server that hangs")
    hypervisor_type = Property("hypervisor it needs")
    instance_type_rxtx_factor = Property("share of bandwidth")
    is_hidden = Flag("whether listings leave it out")
    is_hw_boot_menu_enabled = Property("whether the BIOS shows a menu")
    is_hw_vif_multiqueue_enabled = Property("whether a network card has a queue a CPU")
    is_protected = Flag("whether it can't be deleted")
    kernel_ref = Ref("image", "the image of its kernel", attribute="kernel_id")
    members = Members(Ref("project"), "projects it's shared with; for administrators, who can find them by name")
    min_disk = Number("GB of disk that it needs")
    min_ram = Number("MB of memory that it needs")
    needs_config_drive = Property("mandatory or optional")
    needs_secure_boot = Property("required, disabled or optional")
    os_admin_user = Property("name of the administrator in the guest")
    os_command_line = Property("kernel command line")
    os_distro = Property("distribution")
    os_require_quiesce = Property("whether a snapshot needs a quiet guest")
    os_shutdown_timeout = Property("seconds that a shutdown may take")
    os_type = Property("linux or windows")
    os_version = Property("version of the distribution")
    properties = Properties("any other property")
    ramdisk_ref = Ref("image", "the image of its initial RAM disk", attribute="ramdisk_id")
    tags = Many(Text(), "labels")
    visibility = Text("private, shared, community; public: for administrators")
    vm_mode = Property("ABI between host and guest")
    vmware_adaptertype = Property("disk controller on VMware")
    vmware_ostype = Property("guest id on VMware")

    @classmethod
    def listing(cls, view: View) -> Iterable[Any]:
        """The project's own images; a listing leaves hidden ones out unless they're asked for."""
        for hidden in (False, True):
            yield from view.proxy("image").images(owner=view.project_id, is_hidden=hidden)

    @classmethod
    def obstacle(cls, view: View, record: Record) -> str | None:
        """Only a complete payload can cross; that of a volume-backed snapshot lies elsewhere."""
        if record["status"] != "active":
            return f"it's {record['status']}"
        return ELSEWHERE if (record["properties"] or {}).get("block_device_mapping") else None

    @classmethod
    def complete(cls, view: View, record: Record, names: Iterable[str]) -> Record:
        """Add the members; only an administrator can tell whom these ids mean."""
        record = {**record, "direct_url": None, "locations": None}  # where a cloud stores its images is its own affair
        if record["visibility"] != "shared" or "members" not in names:
            return record
        members = [member.member_id for member in view.proxy("image").members(record["id"])]
        if members and not view.is_admin:
            many = f"{len(members)} members stay behind: only an administrator can read which projects they are"
            view.notes.append(f"image {record['name']!r}: {many}")
            members = []
        return {**record, "members": members or None}

    @classmethod
    def named(cls, view: View, name: str) -> Iterable[Any]:
        """Listings leave hidden images out, and community ones of others, unless they're asked for."""
        images = view.proxy("image").images
        ways: tuple[dict[str, Any], ...] = ({}, {"visibility": "community"}, {"is_hidden": True})
        yield from {image.id: image for how in ways for image in images(name=name, **how)}.values()

    @classmethod
    def usable_by_project(cls, view: View, record: Record) -> bool:
        """A community image, too: anybody may call one of theirs the same."""
        return cls.usable(view, record) or (view.is_admin and record["visibility"] == "community")

    @classmethod
    def usable(cls, view: View, record: Record) -> bool:
        """Public, or shared with the project, which has accepted it; community images are meant by their id only."""
        if record["visibility"] == "public" or (record["visibility"] == "shared" and not view.is_admin):
            return True
        if record["visibility"] != "shared":
            return False
        members = view.once(f"members of {record['id']}", lambda: list(view.proxy("image").members(record["id"])))
        return any(m.member_id == view.project_id and m.status == "accepted" for m in members)

    @classmethod
    def has_payload(cls, document: dict[str, Any]) -> bool:
        return document.get("_info", {}).get("size") is not None

    @classmethod
    def payload_missing(cls, record: Record) -> bool:
        return record["status"] not in ("active", "deactivated")

    @classmethod
    def prepare(cls, params: dict[str, Any], view: View) -> tuple[dict[str, Any], list[str]]:
        """Leave out what this user may not set, and what has no meaning in this cloud."""
        params, notes = super().prepare(params, view)
        params = dict(params)
        if params.get("visibility") == "public" and not view.is_admin:
            del params["visibility"]
            notes.append("visibility = 'public' was left out: it needs administrator rights")
        members = params.pop("members", None)
        if members and params.get("visibility", "shared") != "shared":
            notes.append(f"{len(members)} members were left out: only shared images have members")
        elif members:
            known = [ref for ref in members if _exists(view, ref)]
            if known:
                params["members"] = known
            if len(known) < len(members):
                notes.append(f"{len(members) - len(known)} members were left out: no such projects can be found here")
        properties = params.get("properties") or {}
        if any(name.startswith(SIGNATURE) for name in properties):
            params["properties"] = {n: v for n, v in properties.items() if not n.startswith(SIGNATURE)}
            notes.append("its signature was left out: the certificate is in the source cloud's key manager")
        return params, notes

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        """A payload, if OS Migrate has exported one that lies elsewhere."""
        return [ELSEWHERE] if (document["params"].get("properties") or {}).get("block_device_mapping") else []

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """Create it without a payload. With an id of our choice, Glance refuses to make it twice."""
        members, image = body.pop("members", []), view.proxy("image")
        content = _for_glance(body)
        if hints.get("new_id"):
            content["id"] = hints["new_id"]
        id_ = checked(image.post("/images", json=content)).json()["id"]
        _share(view, id_, members)
        return image.get_image(id_)

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
        """Change what describes it; properties that only this cloud has stay."""
        members, image = body.pop("members", []), view.proxy("image")
        have = record["properties"] or {}
        wanted = {n: v for n, v in body.get("properties", {}).items() if Property().canonical(have.get(n)) != v}
        content = _for_glance({**body, "properties": wanted})
        _patch(view, record, [{"op": "add", "path": _path(n), "value": v} for n, v in content.items()])  # or replace
        _share(view, record["id"], [m for m in members if m not in (record.get("members") or ())])
        return image.get_image(record["id"])

    @classmethod
    def bring_back(cls, view: View, record: Record, body: dict[str, Any]) -> None:
        """Take away properties and members that were added, and set the others."""
        now: dict[str, Any] = record["properties"] or {}
        gone = [GLANCE.get(n, n) for n, v in body.items() if v is None and type(cls.by_attribute()[n]) is Property]
        gone += now.keys() - body.get("properties", now).keys()
        _patch(view, record, [{"op": "remove", "path": _path(name)} for name in sorted(gone)])
        members: list[str] = record.get("members") or []
        for member in sorted(set(members) - set(body.get("members", members))):
            view.proxy("image").remove_member(member, image=record["id"], ignore_missing=True)
        super().bring_back(view, record, {n: v for n, v in body.items() if GLANCE.get(n, n) not in gone})

    @classmethod
    def delete(cls, view: View, record: Record) -> None:
        """Delete it, though it be protected."""
        if record["is_protected"]:
            cls.update(view, record, {"is_protected": False}, {})
        super().delete(view, record)


def _for_glance(body: dict[str, Any]) -> dict[str, Any]:
    """The API's names; without what Glance computes itself."""
    told = {n: v for n, v in body.items() if n not in ("hash_algo", "hash_value", "properties")}
    return {GLANCE.get(n, n): v for n, v in told.items()} | (body.get("properties") or {})


def _path(name: str) -> str:
    """A JSON pointer to one of its properties (RFC 6901); only names need escapes."""
    return f"/{name.replace('~', '~0').replace('/', '~1')}"


def _patch(view: View, record: Record, operations: list[dict[str, Any]]) -> None:
    if operations:
        url, headers = f"/images/{record['id']}", {"Content-Type": PATCH}
        checked(view.proxy("image").patch(url, json=operations, headers=headers))


def _exists(view: View, ref: dict[str, Any]) -> bool:
    try:
        return view.is_admin and bool(view.resolve("project", ref))
    except (Missing, Ambiguous):
        return False


def _share(view: View, id_: str, members: list[str]) -> None:
    for member in members:
        view.proxy("image").add_member(id_, member_id=member)
