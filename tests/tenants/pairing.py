"""Which object of one project is which of another: by what they hold and what they stand in, never by id."""

from __future__ import annotations

from typing import Any

from .reading import Object, Reading, colours, plain

#: in this order, so that what an object stands in has its counterpart first
ORDER = ("keypair", "address_group", "security_group", "rule", "network", "subnet", "router", "image", "server_group",
         "volume", "port", "server", "trunk", "floating_ip", "port_forwarding", "snapshot", "rbac_policy")  # fmt: skip
#: what must be the same, or it's another thing
MUST = {
    "subnet": ("network", "ip_version"), "rule": ("group", "direction", "ethertype"), "port": ("network",),
    "keypair": ("name",), "port_forwarding": ("floating_ip",), "trunk": ("port",), "snapshot": ("volume",),
    "rbac_policy": ("object_type", "object"), "image": ("payload",),
}  # fmt: skip
#: what tells more than other fields
WEIGHT = {"name": 4, "cidr": 6, "mac_address": 6, "fixed_ips": 4, "content": 5, "payload": 5, "nics": 5, "volumes": 4,
          "fixed_ip_address": 3, "port": 5, "device": 4}  # fmt: skip
ENOUGH = 0.5  # of all weights
UNKNOWN = "?"


def pair(source: Reading, destination: Reading) -> dict[str, str]:
    """Return id at the source → id at the destination."""
    found: dict[str, str] = {}
    alike = list(zip(colours(source), colours(destination), strict=True))
    for kind in ORDER:
        ours, theirs = ([o for o in side.values() if o.kind == kind] for side in (source, destination))
        scores = [
            (score + _alike(alike, a.id, b.id), a.id, b.id)
            for a in ours for b in theirs if (score := _score(a, b, found)) >= ENOUGH
        ]  # fmt: skip
        taken: set[str] = set()
        for _, a_id, b_id in sorted(scores, key=lambda s: -s[0]):
            if a_id not in found and b_id not in taken:
                found[a_id] = b_id
                taken.add(b_id)
    return found


def _alike(rounds: list[tuple[dict[str, str], dict[str, str]]], a: str, b: str) -> float:
    """How far around two objects all looks the same."""
    return sum(0.2 for ours, theirs in rounds if ours.get(a) == theirs.get(b))


def _score(a: Object, b: Object, known: dict[str, str]) -> float:
    """The share of fields in which they're the same; what is linked to counts once its counterpart is known."""
    for name in MUST.get(a.kind, ()):
        if not _same(a.fields.get(name), b.fields.get(name), known):
            return 0
    if a.fields.get("owner") == "network:router_interface" != b.fields.get("owner"):
        return 0
    total = same = 0.0
    for name, value in a.fields.items():
        weight = WEIGHT.get(name, 1)
        total += weight
        same += weight * _same(value, b.fields.get(name), known)
    return same / total if total else 1


def _same(ours: Any, theirs: Any, known: dict[str, str]) -> bool:
    told, other = plain(ours, lambda id_: known.get(id_, UNKNOWN)), plain(theirs, str)
    if UNKNOWN in str(told):
        other = plain(theirs, lambda id_: id_ if id_ in known.values() else UNKNOWN)
    return bool(told == other)
