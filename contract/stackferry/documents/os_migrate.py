"""What OS Migrate 1.0.5 can be given: its kinds and its params, and nothing of ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from ..resources import BY_TYPE, Kind
from ..resources.nested import nested_in
from .document import Document

#: kinds that OS Migrate 1.0.5 knows; the rest is left out of a compatible file
OS_MIGRATE_KINDS = ("network", "subnet", "router", "router_interface", "security_group", "security_group_rule",
                    "image", "keypair", "server", "port", "floating_ip", "volume")  # fmt: skip
#: params that are ours alone, by kind
OURS: dict[str, frozenset[str]] = {
    "subnet": frozenset({"dns_publish_fixed_ip"}),
    "router": frozenset({"routes"}),
    "router_interface": frozenset({"description", "is_admin_state_up", "leg_name", "mac_address", "tags"}),
    "security_group": frozenset({"stateful", "tags", "is_shared"}),
    "image": frozenset({"tags", "members"}),
    "server": frozenset({"hostname", "server_group_ref", "sub_ports", "trunks"}),
    "port": frozenset({"allowed_address_pairs", "description", "dns_domain", "dns_name", "extra_dhcp_opts",
                       "is_admin_state_up", "is_port_security_enabled", "name", "propagate_uplink_status",
                       "qos_policy_ref", "security_group_refs", "tags"}),
    "floating_ip": frozenset({"tags"}),
    "volume": frozenset({"is_bootable", "is_read_only", "metadata", "size"}),
}  # fmt: skip
#: facts that are ours alone, by kind
OUR_FACTS: dict[str, frozenset[str]] = {
    "security_group": frozenset({"rules"}),
    "server": frozenset({"flavor_sizes", "root_device_name"}),
    "port": frozenset({"created_at", "project_id", "status", "updated_at"}),
    "volume": frozenset(
        {"created_at", "is_encrypted", "is_multiattach", "project_id", "status", "updated_at", "volume_type_specs"}
    ),
}
#: what most resources have in these fields: nothing is lost with it
USUAL: dict[str, Any] = {"is_admin_state_up": True, "is_port_security_enabled": True, "stateful": True,
                         "is_shared": False, "enable_snat": True, "is_read_only": False}  # fmt: skip
#: fields that stand among the facts as well
ALSO_FACTS = frozenset({"is_bootable", "size"})
#: those of them that can't be left out of a document: a rule for an address group would let everybody in
VITAL: dict[str, frozenset[str]] = {"security_group_rule": frozenset({"remote_address_group_ref"})}
_HYPERVISOR = "disks are read through the clouds' APIs only, not from hypervisors"
#: what OS Migrate's documents may say of how they're moved, and we don't do → why
UNREAD_PARAMS = dict.fromkeys(
    ("use_nbdkit_direct", "nbdkit_socket_uri", "nbdkit_export_name", "nbdkit_disks", "nbdkit_port"), _HYPERVISOR
)
#: params that OS Migrate wants to see and we don't use, by type
EXPECTED = {"openstack.subnet.Subnet": ("use_default_subnet_pool",)}


def obstacle_for_os_migrate(document: Document) -> str | None:
    """Why OS Migrate 1.0.5 can't be given a document at all; None when it can."""
    kind = BY_TYPE[document["type"]].kind
    if kind not in OS_MIGRATE_KINDS:
        return "OS Migrate doesn't know this kind"
    if lost := [name for name in sorted(VITAL.get(kind, ())) if document["params"].get(name)]:
        return f"OS Migrate doesn't know {', '.join(lost)}, and without it this would mean something else"
    return None


def obstacles_for_os_migrate(documents: list[Document]) -> dict[int, str]:
    """Why OS Migrate 1.0.5 can't be given some of these documents, by their place: what its ``validate_data_dir`` would
    refuse, and what would mean something else there.

    Of namesakes none is given: each would be taken for the other, and so would what refers to them.
    """
    found = {number: why for number, one in enumerate(documents) if (why := obstacle_for_os_migrate(one))}
    namesakes: dict[Any, list[int]] = defaultdict(list)
    for number, document in enumerate(documents):
        params = document["params"]
        if number in found or "name" not in BY_TYPE[document["type"]].declared():
            continue
        if not params.get("name"):
            found[number] = "it has no name, and OS Migrate knows resources by their names"
        else:
            user = params.get("user_ref") or {}
            namesakes[(document["type"], params["name"], user.get("name"), user.get("domain_name"))].append(number)
    for same in namesakes.values():
        if len(same) > 1:
            found |= dict.fromkeys(same, f"{len(same)} are called so, and OS Migrate can't tell them apart")
    return found


def left_out(document: Document, path: str = "") -> Iterator[str]:
    """Yield the fields of a document that say something, and that :func:`for_os_migrate` leaves out."""
    kind, params = BY_TYPE[document["type"]], document["params"]
    nothing = dict.fromkeys(OURS.get(kind.kind, ()), None) | USUAL
    for name in sorted(OURS.get(kind.kind, ())):
        if name not in ALSO_FACTS and params.get(name) not in (None, "", [], {}, nothing[name]):
            yield f"{path}params.{name}"
    gateway = params.get("external_gateway_refinfo") or {}
    yield from (
        f"{path}params.external_gateway_refinfo.{name}"
        for name, said in gateway.items()
        if name != "network_ref" and said not in (None, [], USUAL.get(name))
    )
    said = document.get("_migration_params") or {}
    for param in kind.choices:
        if param.ours and said.get(param.name, param.default) not in (None, param.default):
            yield f"{path}_migration_params.{param.name}"
    for name in nested_in(kind):
        for inner in [] if name in OURS.get(kind.kind, ()) else params.get(name) or []:
            yield from left_out(inner, f"{path}{name}.")


def for_os_migrate(document: Document) -> Document:
    """Return a copy with only what OS Migrate 1.0.5 knows: extra params would count as differences there."""
    kind = BY_TYPE[document["type"]]
    extra = OURS.get(kind.kind, frozenset()) | VITAL.get(kind.kind, frozenset())
    params = {name: value for name, value in document["params"].items() if name not in extra}
    gateway = params.get("external_gateway_refinfo")
    if gateway:
        params["external_gateway_refinfo"] = {"network_ref": gateway["network_ref"]}
    for name in EXPECTED.get(document["type"], ()):
        params.setdefault(name, None)
    params |= {name: [for_os_migrate(p) for p in params[name]] for name in nested_in(kind) if params.get(name)}
    ours = {param.name for param in kind.choices if param.ours}
    how = {name: value for name, value in document.get("_migration_params", {}).items() if name not in ours}
    return {**document, "params": params, "_info": _facts(kind, document["_info"]), "_migration_params": how}


def _facts(kind: type[Kind], info: dict[str, Any]) -> dict[str, Any]:
    ours = {"source_ids", "tells_apart", *OUR_FACTS.get(kind.kind, ())}
    known = {name: value for name, value in info.items() if name not in ours}
    if known.get("attachments"):
        known["attachments"] = [
            {name: value for name, value in attachment.items() if name != "delete_on_termination"}
            for attachment in known["attachments"]
        ]
    return known
