"""Address groups and security groups of a random tenant."""

from __future__ import annotations

from typing import Any

from .description import Body, Description, Thing, ref
from .draw import NAMES, Draw

GROUP_NAMES = [name for name in NAMES if name]
PROTOCOLS = (None, "tcp", "udp", "icmp", "ipv6-icmp", "6", "17", "47", "vrrp", "112", "sctp", "esp", "1", "58", "igmp")
WITH_PORTS = ("tcp", "udp", "6", "17", "sctp")
ICMP = ("icmp", "ipv6-icmp", "1", "58")


def groups(draw: Draw, made: Description, many: int) -> list[Thing]:
    """So many security groups, and what is done to `default`; the rules come last, since they refer to all."""
    addresses = [_address_group(draw, made) for _ in range(draw.number(0, 2, "address groups"))]
    default = made.add("default_group", {})
    found = []
    for _ in range(many):
        body: Body = {
            "name": draw.name("security group", GROUP_NAMES),
            "description": draw.description("security group"),
        }
        if draw.chance(0.25, "security group stateless"):
            body["stateful"] = False
        bare = draw.chance(0.35, "security group without the automatic rules")
        found.append(made.add("security_group", body, tags=draw.tags("security group"), bare=bare))
    what = draw.pick(("as it is", "as it is", "locked down", "more rules", "described"), "default group")
    if what == "locked down":
        default.more["bare"] = True
    if what == "described":
        default.more["description"] = "ours"
    for group in found:
        for _ in range(draw.number(0, 4, "rules of a group")):
            _rule(draw, made, group, [*found, default], addresses)
    if what == "more rules":
        for _ in range(2):
            _rule(draw, made, default, [*found, default], addresses)
    return found


def _address_group(draw: Draw, made: Description) -> Thing:
    ranges = ("192.0.2.0/24", "198.51.100.7/32", "2001:db8:aa::/64", "203.0.113.0/28")
    body = {"name": draw.name("address group"), "description": draw.description("address group"),
            "addresses": draw.some(ranges, 4, "addresses of a group")}  # fmt: skip
    return made.add("address_group", body)


def _rule(draw: Draw, made: Description, group: Thing, groups_: list[Thing], addresses: list[Thing]) -> None:
    protocol = draw.pick(PROTOCOLS, "rule protocol")
    version = "IPv6" if protocol in ("ipv6-icmp", "58") else draw.pick(("IPv4", "IPv4", "IPv6"), "rule ethertype")
    if version == "IPv6" and protocol in ("icmp", "1", "igmp"):
        version = "IPv4"
    body: Body = {"security_group_id": ref(group), "direction": draw.pick(("ingress", "ingress", "egress"), "rule"),
                  "ethertype": version}  # fmt: skip
    if protocol is not None:
        body["protocol"] = protocol
    body |= _ports(draw, protocol)
    remote = draw.pick(("nothing", "range", "itself", "group", "address group", "everything"), "rule remote")
    if remote == "range":
        body["remote_ip_prefix"] = "10.1.0.0/16" if version == "IPv4" else "2001:db8:1::/48"
    if remote == "everything":
        body["remote_ip_prefix"] = "0.0.0.0/0" if version == "IPv4" else "::/0"
    if remote == "itself":
        body["remote_group_id"] = ref(group)
    if remote == "group":
        body["remote_group_id"] = ref(draw.random.choice(groups_))
    if remote == "address group" and addresses:
        body["remote_address_group_id"] = ref(draw.random.choice(addresses))
    if draw.chance(0.3, "rule description"):
        body["description"] = draw.description("rule")
    made.add("rule", body)


def _ports(draw: Draw, protocol: Any) -> Body:
    if protocol in WITH_PORTS and draw.chance(0.7, "rule ports"):
        first = draw.random.randrange(1, 60000)
        return {"port_range_min": first, "port_range_max": first + draw.pick((0, 0, 100), "rule ports")}
    if protocol in ICMP and draw.chance(0.6, "rule ICMP type"):
        return {"port_range_min": draw.pick((0, 8, 3, 128), "rule ICMP type")} | (
            {"port_range_max": draw.pick((0, 4), "rule ICMP code")} if draw.chance(0.5, "rule ICMP code") else {}
        )
    return {}
