"""What OS Migrate 1.0.5 can be given: its kinds and its params, and nothing of ours."""

from __future__ import annotations

from ..resources import BY_TYPE
from .document import Document

#: kinds that OS Migrate 1.0.5 knows; the rest is left out of a compatible file
OS_MIGRATE_KINDS = ("network", "subnet", "router", "router_interface", "security_group", "security_group_rule",
                    "image", "keypair")  # fmt: skip
#: params that are ours alone, by kind
OURS: dict[str, frozenset[str]] = {
    "subnet": frozenset({"dns_publish_fixed_ip"}),
    "router": frozenset({"routes"}),
    "security_group": frozenset({"stateful", "tags", "is_shared"}),
    "image": frozenset({"tags", "members"}),
}
#: those of them that can't be left out of a document: a rule for an address group would let everybody in
VITAL: dict[str, frozenset[str]] = {"security_group_rule": frozenset({"remote_address_group_ref"})}
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


def for_os_migrate(document: Document) -> Document:
    """Return a copy with only what OS Migrate 1.0.5 knows: extra params would count as differences there."""
    kind = BY_TYPE[document["type"]].kind
    extra = OURS.get(kind, frozenset()) | VITAL.get(kind, frozenset())
    params = {name: value for name, value in document["params"].items() if name not in extra}
    gateway = params.get("external_gateway_refinfo")
    if gateway:
        params["external_gateway_refinfo"] = {"network_ref": gateway["network_ref"]}
    for name in EXPECTED.get(document["type"], ()):
        params.setdefault(name, None)
    info = {k: v for k, v in document["_info"].items() if k not in ("source_ids", "tells_apart")}
    return {**document, "params": params, "_info": info}
