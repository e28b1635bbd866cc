"""The order of a server's NICs, as far as Nova tells it.

A server shows its addresses network by network: the networks in the order of their first NICs, and in each its own
NICs in order. So the order among several NICs of one network and those of others can't be seen, nor that of a NIC
without address beside others of its network. Nova makes ports in order: where their ages fit what it
shows, they decide. Source: Compute API v2.1, "Servers", `addresses`.
"""

from __future__ import annotations

import itertools
from typing import Any

from .view import Record

MAC = "OS-EXT-IPS-MAC:mac_addr"


def in_order(ports: list[Record], addresses: dict[str, Any], names: dict[str, str]) -> tuple[list[Record], bool]:
    """Return the ports in the order of the server, and whether that's certain. *names*: network id → name."""
    shown = {label: list(dict.fromkeys(str(a.get(MAC)) for a in found)) for label, found in addresses.items()}
    places = {port["id"]: _place(port, shown, names) for port in ports}
    grouped = sorted(ports, key=lambda p: (places[p["id"]], str(p["created_at"]), str(p["id"])))
    if _certain(grouped, places, shown):
        return grouped, True
    ages = [str(port["created_at"]) for port in ports]
    by_age = sorted(ports, key=lambda p: str(p["created_at"]))
    fits = len(set(ages)) == len(ages) and _fits(by_age, places, shown)
    return (by_age if fits else grouped), False


Place = tuple[int, int]


def _place(port: Record, shown: dict[str, list[str]], names: dict[str, str]) -> Place:
    """Where its network is shown, and where it's shown in there; what isn't shown comes last."""
    labels, mac = list(shown), str(port["mac_address"])
    name = names.get(port["network_id"])
    label = next((label for label in labels if mac in shown[label] and label == name), None)
    label = label or next((label for label in labels if mac in shown[label] or label == name), None)
    if label is None:
        return len(labels), 0
    return labels.index(label), shown[label].index(mac) if mac in shown[label] else len(shown[label])


def _certain(ports: list[Record], places: dict[str, Place], shown: dict[str, list[str]]) -> bool:
    """Whether no other order would be shown like this one."""
    groups = [list(group) for _, group in itertools.groupby(ports, key=lambda p: places[p["id"]][0])]
    unseen = len(ports) > 1 and any(not _seen(group, places, shown) for group in groups)
    return not unseen and all(len(group) == 1 for group in groups[:-1])


def _seen(group: list[Record], places: dict[str, Place], shown: dict[str, list[str]]) -> bool:
    """Whether Nova shows each of these ports of one network, or the network, which has no other."""
    number = places[group[0]["id"]][0]
    if number == len(shown):
        return False
    return len(group) == 1 or all(places[p["id"]][1] < len(list(shown.values())[number]) for p in group)


def _fits(ports: list[Record], places: dict[str, Place], shown: dict[str, list[str]]) -> bool:
    """Whether Nova would show ports in this order as it does."""
    ordered = [places[port["id"]] for port in ports]
    firsts = list(dict.fromkeys(number for number, _ in ordered))
    within = [[place for number, place in ordered if number == first] for first in firsts]
    return firsts == sorted(firsts) and all(places == sorted(places) for places in within)
