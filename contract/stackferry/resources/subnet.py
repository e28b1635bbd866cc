"""Subnets: the address ranges of networks. Source: Networking API v2.0, "Subnets"."""

from __future__ import annotations

import ipaddress
from typing import Any

from .fields import Address, Cidr, Flag, Many, Number, Ref, Struct, Text
from .hints import Hints
from .kind import Kind
from .network import Network
from .view import Record, Taken, View

#: modes in which an address follows from the port's MAC address, so that none can be asked for
AUTOMATIC = ("slaac", "dhcpv6-stateless")


class Subnet(Kind):
    """An address range in a network."""

    type = "openstack.subnet.Subnet"
    file = "subnets"
    scope = "network_ref"
    for_everybody = True
    fixed = frozenset(
        {
            "cidr",
            "ip_version",
            "ipv6_address_mode",
            "ipv6_ra_mode",
            "network_ref",
            "segment_ref",
            "subnet_pool_ref",
        }
    )
    admin = {"segment_ref": None}
    info = (
        "created_at",
        "id",
        "network_id",
        "prefix_length",
        "project_id",
        "revision_number",
        "segment_id",
        "subnet_pool_id",
        "updated_at",
    )

    name = Text("name; may be empty")
    description = Text("free text")
    network_ref = Ref("network", "the network it's in", required=True)
    cidr = Cidr("its range")
    ip_version = Number("4 or 6")
    ipv6_address_mode = Text("slaac, dhcpv6-stateful or dhcpv6-stateless")
    ipv6_ra_mode = Text("who sends router advertisements, as ipv6_address_mode")
    gateway_ip = Address("address of the gateway; null: none", nullable=True)
    allocation_pools = Many(Struct(start=Address(), end=Address()), "ranges that addresses are given from", empty=True)
    dns_nameservers = Many(Address(), "resolvers, in order of preference", ordered=True)
    host_routes = Many(Struct(destination=Cidr(), nexthop=Address()), "routes that DHCP hands out")
    is_dhcp_enabled = Flag("whether DHCP serves it")
    dns_publish_fixed_ip = Flag("whether its addresses are published by DNS")
    service_types = Many(Text(), "device owners that may take addresses")
    segment_ref = Ref("segment", "the segment it's on")
    subnet_pool_ref = Ref("subnet_pool", "the pool its range is from")
    tags = Many(Text(), "labels")

    @classmethod
    def usable(cls, view: View, record: Record) -> bool:
        """As its network."""
        network = view.get("network", record["network_id"])
        return network is not None and Network.usable(view, network)

    @classmethod
    def fingerprint(cls, view: View, record: Record) -> list[str] | None:
        """Subnets of one name differ by their ranges."""
        return [record["cidr"]]

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        """Nothing; ranges of one network may not overlap."""
        beside = [s for s in view.records(cls.kind) if s["network_id"] == body.get("network_id")]
        if other := overlapping(body.get("cidr"), beside):
            raise Taken(
                f"{body['cidr']} overlaps {other['cidr']}, which subnet {other['name']!r} of its network has here"
            )
        return []


def overlapping(cidr: str | None, subnets: list[Record]) -> Record | None:
    """The first subnet whose range has addresses in common with another range."""
    if not cidr:
        return None  # it comes from a pool
    wanted = ipaddress.ip_network(cidr)
    known = [(subnet, ipaddress.ip_network(subnet["cidr"])) for subnet in subnets if subnet["cidr"]]
    return next((s for s, has in known if has.version == wanted.version and has.overlaps(wanted)), None)


def automatic(subnet: Record) -> bool:
    """Whether ports in it get an address that follows from their MAC address; to Neutron, either mode says so."""
    return subnet["ipv6_address_mode"] in AUTOMATIC or subnet["ipv6_ra_mode"] in AUTOMATIC


def choosable(fixed_ip: dict[str, Any], view: View, *, leg: bool = False) -> dict[str, Any]:
    """A document's fixed IP as it can be asked for: without an address where the subnet gives it by itself.

    A router's *leg* may be on the gateway's address everywhere.
    """
    subnet = view.get("subnet", view.resolve("subnet", fixed_ip["subnet_ref"]))
    if subnet is None or not automatic(subnet) or (leg and fixed_ip.get("ip_address") == subnet["gateway_ip"]):
        return fixed_ip
    return {"subnet_ref": fixed_ip["subnet_ref"]}
