"""Whether all that a migration would make fits into a project's quotas: each server by itself, and all together.

A demand is what a document needs, in a few words, so that those of thousands fit into a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from . import quotas
from .kind import BY_TYPE, KINDS
from .marks import MARK
from .migration_params import SERVER, chosen
from .view import Ambiguous, Missing, Record, View
from .volume import Volume

Document = dict[str, Any]
Demand = dict[str, Any]
#: kind → the quota that one of it counts against, and the link to what it's a part of: where that is, it's taken to be
PLAIN = {
    "network": ("networks", None), "subnet": ("subnets", "network_ref"), "router": ("routers", None),
    "router_interface": ("ports", "device_ref"), "security_group": ("security_groups", None),
    "security_group_rule": ("security_group_rules", "security_group_ref"), "server_group": ("server_groups", None),
    "free_port": ("ports", None), "free_floating_ip": ("floating_ips", None),
}  # fmt: skip


def demand(document: Document) -> Demand:
    """Return what a resource needs; of a server, with its parts. Pure."""
    params, kind = document["params"], BY_TYPE[document["type"]]
    found: Demand = {"kind": kind.kind, "name": params.get("name") or ""}
    if kind.kind in PLAIN:
        link = PLAIN[kind.kind][1]
        return {**found, "owner": (params.get(link) or {}).get("name") or ""} if link else found
    if kind is Volume:
        return {**found, **_disks([document])}
    how = chosen(SERVER, document)
    ports = [*(params.get("ports") or ()), *(params.get("sub_ports") or ())]
    found |= {"flavor": params["flavor_ref"]["name"], "ports": len(ports)}
    if how["data_copy"]:
        found |= _disks(params.get("volumes") or [])
        found["boot"] = bool(how["boot_disk_copy"] and params.get("image_ref"))
    addresses = [ip["params"].get("floating_ip_address") for ip in params.get("floating_ips") or ()]
    if how["floating_ip_mode"] == "auto":
        found["addresses"] = addresses  # those that are free here are taken
    elif how["floating_ip_mode"] == "new":
        found["floating_ips"] = len(addresses)
    return found


def _disks(volumes: list[Document]) -> Demand:
    """What volumes need: in all, of each type that is named, and how large the largest is."""
    told = [Volume.told(volume) for volume in volumes]
    sizes = [int(volume.get("size") or 0) for volume in told]
    types: dict[str, list[int]] = {}
    for volume, size in zip(told, sizes, strict=True):
        if type_ := volume.get("volume_type"):
            many, gigabytes = types.get(type_, [0, 0])
            types[type_] = [many + 1, gigabytes + size]
    found: Demand = {"volumes": len(sizes), "gigabytes": sum(sizes), "largest": max(sizes, default=0)}
    return {**found, "types": types} if types else found


def counted(view: View, wanted: Demand) -> Counter[str]:
    """Return how much of which quota a demand is, at this destination."""
    if wanted["kind"] in PLAIN:
        return Counter({PLAIN[wanted["kind"]][0]: 1})
    many = Counter({name: int(wanted.get(name) or 0) for name in ("ports", "volumes", "gigabytes", "floating_ips")})
    if wanted.get("volumes"):
        many[quotas.EACH] = int(wanted.get("largest") or 0)
    for type_, (number, gigabytes) in (wanted.get("types") or {}).items() if wanted.get("volumes") else ():
        many[quotas.of_type("volumes", type_)] += number
        many[quotas.of_type("gigabytes", type_)] += gigabytes
    if wanted["kind"] == "server":
        flavor = flavor_named(view, wanted["flavor"])
        many += Counter(instances=1, cores=int(flavor.get("vcpus") or 0), ram=int(flavor.get("ram") or 0))
        if wanted.get("boot"):
            many += Counter(volumes=1, gigabytes=int(flavor.get("disk") or 0))
    if wanted.get("addresses"):
        free = {ip["floating_ip_address"] for ip in view.records("floating_ip") if not ip["port_id"]}
        many["floating_ips"] += len([address for address in wanted["addresses"] if address not in free])
    return many


def flavor_named(view: View, name: str) -> Record:
    """A flavor of this destination; nothing when there's none."""
    try:
        return view.get("flavor", view.resolve("flavor", {"name": name})) or {}
    except (Missing, Ambiguous):
        return {}


def together(view: View, demands: Iterable[Demand]) -> list[str]:
    """Say which quotas don't suffice for all of them; what is here already (by ``id``, else by name) needs nothing."""
    demands = list(demands)
    there = _there(view, {wanted["kind"] for wanted in demands})
    named = set(there)
    many: Counter[str] = Counter()
    for wanted in demands:
        if owner := _owner(wanted["kind"]):
            is_there = (owner, wanted["owner"]) in named
        else:
            known = view.own(wanted["kind"], wanted["id"]) if wanted.get("id") else None
            one = (wanted["kind"], (known or wanted)["name"] or "")
            is_there = known is not None or there[one] > 0
            there[one] -= 1 if there[one] > 0 else 0
        if not is_there:
            mine = counted(view, wanted)
            largest = max(many[quotas.EACH], mine.pop(quotas.EACH, 0))
            many += mine
            many[quotas.EACH] = largest
    usual = [*quotas.SERVICES, *sorted(many.keys() - quotas.SERVICES.keys())]
    return quotas.shortfalls(view, {name: many[name] for name in usual})


def _there(view: View, kinds: set[str]) -> Counter[tuple[str, str]]:
    """How many of which name the project has, of these kinds and of what they're parts of."""
    kinds = {_owner(kind) or kind for kind in kinds}
    found: Counter[tuple[str, str]] = Counter()
    for kind in kinds:
        for record in view.records(kind):
            is_used = kind == Volume.kind and (record["attachments"] or MARK in (record["metadata"] or {}))
            found[(kind, record["name"] or "")] += not is_used
    return +found


def _owner(kind: str) -> str | None:
    """The kind of what one of this kind is a part of."""
    _, link = PLAIN.get(kind, (None, None))
    return next(KINDS[kind].declared()[link].refs()).kind if link else None
