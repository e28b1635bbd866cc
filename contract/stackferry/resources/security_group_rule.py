"""Security group rules. Source: Networking API v2.0, "Security group rules"."""

from __future__ import annotations

from typing import Any

from .fields import Cidr, Number, Portable, Ref, Text
from .hints import Hints
from .kind import Kind
from .security_group import automatic
from .view import PENDING, Record, View

#: IANA protocol numbers that Neutron also knows by name
NAMES = {
    "0": "hopopt", "1": "icmp", "2": "igmp", "4": "ipip", "6": "tcp", "8": "egp", "17": "udp", "33": "dccp",
    "41": "ipv6-encap", "43": "ipv6-route", "44": "ipv6-frag", "46": "rsvp", "47": "gre", "50": "esp",
    "51": "ah", "58": "ipv6-icmp", "59": "ipv6-nonxt", "60": "ipv6-opts", "89": "ospf", "112": "vrrp",
    "113": "pgm", "132": "sctp", "136": "udplite", "icmpv6": "ipv6-icmp",
}  # fmt: skip


class Protocol(Text):
    """An IP protocol by name or number; Neutron treats 6 and tcp as one."""

    def canonical(self, value: Any) -> Any:
        return NAMES.get(str(value), value) if value not in (None, "") else ""


class Prefix(Cidr):
    """A remote range; everything is the same as nothing said, within one ether type."""

    def canonical(self, value: Any) -> Any:
        network = super().canonical(value)
        return None if network in ("0.0.0.0/0", "::/0") else network


class SecurityGroupRule(Kind):
    """One thing that a group allows. It has no name and can't be changed: its content is its identity."""

    type = "openstack.network.SecurityGroupRule"
    file = "security_group_rules"
    scope = "security_group_ref"
    filtered_by = "security_group_ref"
    fixed = frozenset({"description"})
    info = (
        "created_at",
        "id",
        "project_id",
        "remote_group_id",
        "revision_number",
        "security_group_id",
        "updated_at",
    )

    description = Text("free text")
    direction = Text("ingress or egress")
    ether_type = Text("IPv4 or IPv6")
    port_range_max = Number("last port, or ICMP code")
    port_range_min = Number("first port, or ICMP type")
    protocol = Protocol("IP protocol, by name or number; null: any")
    remote_ip_prefix = Prefix("addresses at the other end")
    remote_address_group_ref = Ref(
        "address_group", "addresses at the other end, by group", attribute="remote_address_group_id"
    )
    remote_group_ref = Ref("security_group", "ports at the other end, by group", attribute="remote_group_id")
    security_group_ref = Ref("security_group", "the group it's in", required=True)

    @classmethod
    def title(cls, params: dict[str, Any]) -> str:
        """Group, direction, protocol, ports, other end."""
        ref = lambda name: (params.get(name) or {}).get("name")  # noqa: E731
        ports = [str(params[n]) for n in ("port_range_min", "port_range_max") if params.get(n) is not None]
        other = params.get("remote_ip_prefix") or ref("remote_group_ref") or ref("remote_address_group_ref")
        parts = [
            params.get("direction"),
            params.get("ether_type"),
            params.get("protocol"),
            "-".join(dict.fromkeys(ports)),
            other,
        ]
        return f"{ref('security_group_ref') or '(no name)'}: {' '.join(str(p) for p in parts if p)}"

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """The group's rules that allow the same."""
        if body["security_group_id"] == PENDING and (automatic(PENDING, body) or "").startswith("egress"):
            return [{**dict.fromkeys(cls.attributes()), **body, "id": None}]  # Neutron makes it with its group
        compared: dict[str, Portable] = {cls.attribute(n): f for n, f in cls.declared().items() if n != "description"}
        return [
            record
            for record in view.records_of(cls.kind, "security_group_id", body["security_group_id"])
            if not any(field.differs(body.get(a), record.get(a)) for a, field in compared.items())
        ]
