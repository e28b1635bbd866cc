"""Servers. Source: Compute API v2.1, "Servers", "Server metadata", "Server tags".

Ports and volumes are made before the server; ``hints`` says what they have become: ``port_ids`` and ``volume_ids``,
in the order of the document (null: left out), ``boot_volume`` which of these it starts from, and ``boot_volume_id``
the copy of a boot disk that was no volume. ``hints.marker`` (``<migration>/<server id>``) goes into the metadata of
what is made, until it has arrived: only what carries it is found again, whatever other servers are called.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ..errors import EndedInError
from . import server_disks, server_lacks, server_parts
from .answer import checked
from .fields import Many, Ref, Text
from .floating_ip import FloatingIp
from .hints import Hints
from .kind import Kind, named
from .marks import MARK, marked
from .migration_params import SERVER
from .nested import Nested
from .port import Port
from .server_fields import ConfigDrive, FlavorRef, ImageRef, KeyName, SchedulerHints, UserData
from .trunk import SubPort, Trunk
from .view import Record, View
from .volume import Metadata, Volume

#: states in which a server can cross; in any other there's something to do first
STEADY = ("ACTIVE", "SHUTOFF")
ADVICE = {
    "BUILD": "wait until it's built",
    "ERROR": "repair it, or reset its state",
    "PAUSED": "unpause it, or stop it: what it holds in memory doesn't cross",
    "RESCUE": "unrescue it",
    "SHELVED": "unshelve it",
    "SHELVED_OFFLOADED": "unshelve it",
    "SOFT_DELETED": "restore it, if it's still wanted",
    "SUSPENDED": "resume it, or stop it: what it holds in memory doesn't cross",
    "VERIFY_RESIZE": "confirm or revert its resize",
}


class Server(Kind):
    """A virtual machine, with its ports, trunks, floating IPs and volumes inside of its document.

    An existing server of the same name is only updated in what any user would change.
    """

    type = "openstack.compute.Server"
    file = "workloads"
    by_workload = True
    gradual = True
    service = "compute"
    choices = SERVER
    initial = frozenset(
        {
            "availability_zone",
            "config_drive",
            "disk_config",
            "flavor_ref",
            "floating_ips",
            "hostname",
            "image_ref",
            "key_name",
            "ports",
            "scheduler_hints",
            "security_group_refs",
            "server_group_ref",
            "sub_ports",
            "trunks",
            "user_data",
            "volumes",
        }
    )
    info = (
        "created_at",
        "flavor_id",
        "flavor_sizes",
        "hypervisor_hostname",
        "id",
        "launched_at",
        "project_id",
        "root_device_name",
        "security_group_ids",
        "status",
        "updated_at",
        "user_id",
    )
    reads = ("addresses", "attached_volumes", "fault", "is_locked", "locked_reason", "task_state")

    name = Text("name; not unique", required=True)
    availability_zone = Text("availability zone; null: any")
    config_drive = ConfigDrive("whether it reads its metadata from a disk")
    description = Text("free text", empty=True)
    disk_config = Text("AUTO or MANUAL: whether its root partition is resized before the first boot")
    flavor_ref = FlavorRef("flavor", "its size", attribute="flavor", required=True)
    floating_ips = Many(Nested(FloatingIp), "its floating IPs", ordered=True)
    hostname = Text("name that it knows itself by; from Nova 2.90 on")
    image_ref = ImageRef("image", "the image that it was made from; null: it starts from a volume", attribute="image",
                    nullable=True)  # fmt: skip
    key_name = KeyName("name of a key pair of the user who migrates")
    metadata = Metadata("free metadata")
    ports = Many(Nested(Port), "its ports, in order", ordered=True)
    scheduler_hints = SchedulerHints("wishes for its place; Nova shows them from 2.100 on")
    security_group_refs = Many(
        Ref("security_group"), "the groups of all its ports together", attribute="security_group_ids"
    )
    server_group_ref = Ref("server_group", "the group that it joins", attribute="server_groups")
    sub_ports = Many(Nested(SubPort), "the ports inside of its trunks", ordered=True)
    tags = Many(Text(), "labels")
    trunks = Many(Nested(Trunk), "the trunks of its ports", ordered=True)
    user_data = UserData("what cloud-init reads, in base64; shown to administrators only")
    volumes = Many(
        Nested(Volume), "its volumes, what it starts from first, then in the order of their devices", ordered=True
    )

    @classmethod
    def listing(cls, view: View) -> Iterable[Any]:
        """The project's own servers."""
        yield from view.proxy("compute").servers()

    @classmethod
    def changed(cls, view: View, since: datetime) -> Iterable[Any]:
        """Nova shows those that were deleted since, too: they're left out."""
        changed = view.proxy("compute").servers(changes_since=f"{since:%Y-%m-%dT%H:%M:%SZ}")
        return [server for server in changed if server.status != "DELETED"]

    @classmethod
    def taken(cls, record: Record) -> Record:
        return {**record, **server_parts.in_short(record)}

    @classmethod
    def obstacle(cls, view: View, record: Record) -> str | None:
        """A server at rest or at work can cross, unless it's locked, or one of its disks can't."""
        if record["status"] not in STEADY:
            return f"it's {record['status']}: {ADVICE.get(record['status'], 'start or stop it')}"
        if record["task_state"]:
            return f"it's busy ({record['task_state']}): wait until that's done"
        if record["is_locked"]:
            why = f" ({record['locked_reason']})" if record["locked_reason"] else ""
            return f"it's locked{why}: openstack server unlock {record['id']}"
        for volume in server_parts.volumes(view, record):
            if reason := Volume.obstacle(view, volume):
                return f"{named(Volume, volume)}: {reason}"
        return None

    @classmethod
    def complete(cls, view: View, record: Record, names: Iterable[str]) -> Record:
        return server_parts.gathered(view, record) if "ports" in names else record

    @classmethod
    def remarks(cls, view: View, record: Record) -> list[str]:
        return server_parts.remarks(view, record)

    @classmethod
    def choose(cls, view: View, record: Record) -> dict[str, Any]:
        """Without an image to start from, the boot disk must be copied."""
        return {} if record["image"] and view.get("image", record["image"]) else {"boot_disk_copy": True}

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """What carries the document's mark; without one, servers of the same name that carry none."""
        if hints.get("marker"):
            return [r for r in view.records(cls.kind) if marked(r, hints)]
        return [r for r in super().candidates(view, body, hints) if MARK not in (r["metadata"] or {})]

    @classmethod
    def fingerprint(cls, view: View, record: Record) -> list[str] | None:
        """Servers of one name differ by their addresses."""
        return server_parts.fixed_addresses(record)

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        return server_lacks.lacks(cls, view, document, hints)

    @classmethod
    def provisos(cls, view: View, document: dict[str, Any]) -> list[str]:
        return server_lacks.provisos(view, document)

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """Ports and disks are there; groups are the ports' own."""
        plain = ("availability_zone", "config_drive", "description", "disk_config", "key_name", "metadata", "name",
                 "tags", "user_data")  # fmt: skip
        told = {n: body[n] for n in plain if n in body}
        told["flavor_id"] = body["flavor"]
        if hints.get("marker"):
            told["metadata"] = {**(told.get("metadata") or {}), MARK: hints["marker"]}
        tags = hints.get("device_tags") or {}
        ports = [id_ for id_ in hints.get("port_ids") or () if id_]
        told["networks"] = [{"port": id_, **({"tag": tags[id_]} if id_ in tags else {})} for id_ in ports] or "none"
        told |= server_disks.mapping(body, hints)
        if server_parts.may_choose(body.get("hostname"), view):
            told["hostname"] = body["hostname"]
        wishes = dict(body.get("scheduler_hints") or {})
        if body.get("server_groups"):
            wishes["group"] = body["server_groups"]
        if wishes:
            told["scheduler_hints"] = wishes
        return view.proxy("compute").create_server(**told)

    @classmethod
    def settled(cls, record: Record) -> bool:
        if record["status"] == "ERROR":
            fault = (record["fault"] or {}).get("message") or "Nova doesn't say why"
            raise EndedInError(f"{named(cls, record)} ended in ERROR: {fault}")
        return record["status"] not in (None, "BUILD")

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
        """Tags and metadata have calls of their own."""
        compute, url = view.proxy("compute"), f"/servers/{record['id']}"
        if "tags" in body:
            checked(compute.put(f"{url}/tags", json={"tags": sorted(body.pop("tags"))}, microversion="2.26"))
        if "metadata" in body:
            checked(compute.put(f"{url}/metadata", json={"metadata": body.pop("metadata")}))
        if body:
            compute.update_server(record["id"], **body)
        return compute.get_server(record["id"])
