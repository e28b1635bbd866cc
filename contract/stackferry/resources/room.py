"""Whether servers and volumes fit into a project's quotas: each by itself, and all of a migration together.

A demand is what a document needs, in a few words, so that those of thousands fit into a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from . import quotas
from .finding import MARK
from .kind import BY_TYPE
from .migration_params import SERVER, chosen
from .view import Ambiguous, Missing, Record, View
from .volume import Volume

Document = dict[str, Any]
Demand = dict[str, Any]


def demand(document: Document) -> Demand:
    """Return what a server with its parts, or a volume, needs. Pure."""
    params, kind = document["params"], BY_TYPE[document["type"]]
    found: Demand = {"kind": kind.kind, "name": params.get("name") or ""}
    if kind is Volume:
        return {**found, "volumes": 1, "gigabytes": int(Volume.told(document).get("size") or 0)}
    how = chosen(SERVER, document)
    ports = [*(params.get("ports") or ()), *(params.get("sub_ports") or ())]
    found |= {"flavor": params["flavor_ref"]["name"], "ports": len(ports)}
    if how["data_copy"]:
        sizes = [int(Volume.told(volume).get("size") or 0) for volume in params.get("volumes") or ()]
        found |= {"volumes": len(sizes), "gigabytes": sum(sizes)}
        found["boot"] = bool(how["boot_disk_copy"] and params.get("image_ref"))
    addresses = [ip["params"].get("floating_ip_address") for ip in params.get("floating_ips") or ()]
    if how["floating_ip_mode"] == "auto":
        found["addresses"] = addresses  # those that are free here are taken
    elif how["floating_ip_mode"] == "new":
        found["floating_ips"] = len(addresses)
    return found


def counted(view: View, wanted: Demand) -> Counter[str]:
    """Return how much of which quota a demand is, at this destination."""
    many = Counter({name: int(wanted.get(name) or 0) for name in ("ports", "volumes", "gigabytes", "floating_ips")})
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
    there = Counter(("server", record["name"] or "") for record in view.records("server"))
    loose = [r for r in view.records(Volume.kind) if not r["attachments"] and MARK not in (r["metadata"] or {})]
    there += Counter((Volume.kind, record["name"] or "") for record in loose)
    many: Counter[str] = Counter()
    for wanted in demands:
        known = view.own(wanted["kind"], wanted["id"]) if wanted.get("id") else None
        named = (wanted["kind"], (known or wanted)["name"] or "")
        if there[named]:
            there[named] -= 1
        elif known is None:
            many += counted(view, wanted)
    return quotas.shortfalls(view, {name: many[name] for name in quotas.SERVICES})
