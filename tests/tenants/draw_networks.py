"""Networks, subnets and routers of a random tenant."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from .description import Body, Description, Thing, ref
from .draw import Draw

#: address mode and router advertisement mode
MODES = {
    "none": {},
    "slaac": {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"},
    "stateless": {"ipv6_address_mode": "dhcpv6-stateless", "ipv6_ra_mode": "dhcpv6-stateless"},
    "stateful": {"ipv6_address_mode": "dhcpv6-stateful", "ipv6_ra_mode": "dhcpv6-stateful"},
    "ra only slaac": {"ipv6_ra_mode": "slaac"},
    "ra only stateful": {"ipv6_ra_mode": "dhcpv6-stateful"},
    "address only slaac": {"ipv6_address_mode": "slaac"},
}
AUTOMATIC = ("slaac", "stateless", "ra only slaac", "address only slaac")


@dataclass(eq=False)
class Range:
    """A subnet, and which of its addresses are given away."""

    thing: Thing
    net: Net
    cidr: Any
    automatic: bool = False
    advertised: bool = False  # by another's router, so that none of ours may stand in it
    reserved: bool = False  # for a service type
    gateway: str | None = None
    routed: bool = False  # whether a router stands at the gateway's address
    outside: bool = False  # whether a router with a gateway leads out of it
    used: int = 10

    def address(self) -> str:
        """One more address of it."""
        self.used += 1
        return str(self.cidr[self.used])


@dataclass(eq=False)
class Net:
    """A network with its ranges."""

    thing: Thing
    ranges: list[Range] = field(default_factory=list)

    @property
    def mtu(self) -> int:
        """The largest packet; Neutron's own choice is 1450 here."""
        return int(self.thing.body.get("mtu", 1450))

    def usable(self, version: int | None = None) -> list[Range]:
        """Ranges in which a port of a tenant gets an address."""
        return [r for r in self.ranges if not r.reserved and version in (None, r.cidr.version)]


def networks(draw: Draw, made: Description, many: int) -> list[Net]:
    """So many networks with some subnets each."""
    found: list[Net] = []
    for _ in range(many):
        net = Net(_network(draw, made))
        for _ in range(draw.number(0, 3, "subnets of a network")):
            _subnet(draw, made, net, sum(len(n.ranges) for n in [*found, net]))
        found.append(net)
    return found


def _network(draw: Draw, made: Description) -> Thing:
    body: Body = {"name": draw.name("network"), "description": draw.description("network")}
    if draw.chance(0.3, "network mtu"):
        body["mtu"] = draw.pick((1280, 1400, 1442), "network mtu")
    if draw.chance(0.2, "network without port security"):
        body["port_security_enabled"] = False
    if draw.chance(0.15, "network down"):
        body["admin_state_up"] = False
    if draw.chance(0.15, "network dns_domain"):
        body["dns_domain"] = "inside.example."
    return made.add("network", body, tags=draw.tags("network"))


def _subnet(draw: Draw, made: Description, net: Net, number: int) -> None:
    version = 6 if draw.chance(0.35, "subnet v6") else 4
    if version == 4 and number and draw.chance(0.15, "subnet whose range is in another network, too"):
        number = 0
    if any(r.cidr.overlaps(_cidr(draw, version, number)) for r in net.ranges):
        number = 100 + len(net.ranges)
    cidr = _cidr(draw, version, number)
    body: Body = {
        "name": draw.name("subnet"), "description": draw.description("subnet"), "network_id": ref(net.thing),
        "ip_version": version, "cidr": str(cidr),
    }  # fmt: skip
    range_ = Range(made.add("subnet", body, tags=draw.tags("subnet")), net, cidr, gateway=str(cidr[1]))
    if version == 6:
        mode = draw.pick(list(MODES), "subnet mode")
        body |= MODES[mode]
        range_.automatic, range_.advertised = mode in AUTOMATIC, mode.startswith("address only")
    if not {"ipv6_ra_mode", "ipv6_address_mode"} & set(body) and draw.chance(0.2, "subnet without DHCP"):
        body["enable_dhcp"] = False
    if not range_.automatic:
        _addresses(draw, body, range_)
    if draw.chance(0.4, "subnet resolvers"):
        resolvers = {4: ["9.9.9.9", "1.1.1.1", "8.8.8.8"], 6: ["2620:fe::fe", "2001:4860:4860::8888"]}[version]
        body["dns_nameservers"] = draw.some(resolvers, 3, "subnet resolvers")
    if draw.chance(0.25, "subnet host routes"):
        ranges = {4: ["172.30.0.0/16", "172.29.0.0/24", "0.0.0.0/0"], 6: ["2001:db8:ff::/48"]}[version]
        body["host_routes"] = [{"destination": d, "nexthop": str(cidr[7])} for d in draw.some(ranges, 2, "host routes")]
    if net.usable(4) and draw.chance(0.15, "subnet service types"):
        types = ("compute:nova", "network:floatingip_agent_gateway", "network:router_gateway")
        body["service_types"] = draw.some(types, 2, "subnet service types")
        range_.reserved = bool(body["service_types"])
    net.ranges.append(range_)


def _cidr(draw: Draw, version: int, number: int) -> Any:
    if version == 6:
        return ipaddress.ip_network(f"2001:db8:{number:x}::/64")
    return ipaddress.ip_network(f"10.20.{number}.0/{24 if number % 3 else 25}")


def _addresses(draw: Draw, body: Body, range_: Range) -> None:
    """Its gateway and its pools."""
    cidr = range_.cidr
    where = draw.pick(("first", "first", "none", "other", "outside the pools"), "subnet gateway")
    if where == "none":
        body["gateway_ip"] = range_.gateway = None
    elif where == "other":
        body["gateway_ip"] = range_.gateway = str(cidr[100])
    pools = draw.pick(("all", "all", "one", "two"), "subnet pools")
    if pools != "all":
        halves = [(2, 60), (70, 90)][: 1 if pools == "one" else 2]
        body["allocation_pools"] = [{"start": str(cidr[a]), "end": str(cidr[b])} for a, b in halves]


def routers(draw: Draw, made: Description, nets: list[Net], many: int) -> None:
    """So many routers, with legs and routes."""
    for _ in range(many):
        body: Body = {"name": draw.name("router"), "description": draw.description("router")}
        gateway = draw.chance(0.6, "router with a gateway")
        if gateway:
            body["external_gateway_info"] = {"network_id": {"$": "public"}}
        if draw.chance(0.15, "router down"):
            body["admin_state_up"] = False
        router = made.add("router", body, tags=draw.tags("router"))
        legs = _legs(draw, made, router, [r for net in nets for r in net.usable()], gateway)
        if legs and draw.chance(0.35, "router routes"):
            leg = draw.random.choice(legs)
            ranges = ["172.16.0.0/16", "172.17.1.0/24"] if leg.cidr.version == 4 else ["2001:db8:fe::/48"]
            routes = [{"destination": d, "nexthop": leg.address()} for d in draw.some(ranges, 2, "router routes")]
            if routes and not leg.automatic:
                made.add("routes", {"router": {"routes": routes}}, router=ref(router))


def _has_ipv6(range_: Range) -> bool:
    """Whether a leg there has an IPv6 address: its own, or one that its network gives to every port."""
    return range_.cidr.version == 6 or any(other.automatic for other in range_.net.ranges)


def _legs(draw: Draw, made: Description, router: Thing, ranges: list[Range], gateway: bool) -> list[Range]:
    legs: list[Range] = []
    for range_ in draw.some(ranges, 3, "legs of a router"):
        if any(range_.cidr.overlaps(other.cidr) for other in legs):
            continue
        at_gateway = range_.gateway is not None and not range_.routed
        if (range_.automatic and not at_gateway) or range_.advertised:
            continue
        where = draw.pick(("gateway", "gateway", "elsewhere", "named port"), "leg")
        if range_.automatic and any(other.net is range_.net for other in legs):
            continue  # that leg's port has an address here already
        if at_gateway and (where == "gateway" or range_.automatic):
            made.add("leg", {"subnet_id": ref(range_.thing)}, router=ref(router))
            range_.routed = True
        elif any(other.advertised for other in range_.net.ranges):
            continue  # the port gets an address there by itself, and Neutron refuses it as a leg
        elif _has_ipv6(range_) and any(other.net is range_.net and _has_ipv6(other) for other in legs):
            continue  # Neutron takes one IPv6 port of a network
        else:
            port: Body = {"network_id": ref(range_.net.thing),
                          "fixed_ips": [{"subnet_id": ref(range_.thing), "ip_address": range_.address()}]}  # fmt: skip
            if where == "named port":
                port |= {"name": draw.name("leg"), "description": draw.description("leg")}
            leg = made.add("port", port, tags=draw.tags("leg") if where == "named port" else None)
            made.add("leg", {"port_id": ref(leg)}, router=ref(router))
        range_.outside = range_.outside or (gateway and range_.cidr.version == 4)
        legs.append(range_)
    return legs
