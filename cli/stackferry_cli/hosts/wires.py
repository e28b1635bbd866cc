"""The network of the hosts of one project, and the security group that says who may reach them."""

from __future__ import annotations

import ipaddress
from typing import Any

from stackferry.errors import Error
from stackferry.resources.conversion import MARK

from . import ours
from .wanted import Network, Wanted

SSH = 22


def network_of(wanted: Wanted, connection: Any) -> Any:
    """Return the network that the hosts' ports are in; made, with its way out, unless one that is there is wanted."""
    if isinstance(wanted.network, str):
        return existing(connection, wanted.network)
    outside = external(connection, wanted.network.external)
    network = _network(wanted.network, connection)
    subnet = _subnet(wanted.network, network, connection)
    router = _router(wanted.network, outside, connection)
    legs = connection.network.ports(device_id=router.id)
    if not any(ip["subnet_id"] == subnet.id for leg in legs for ip in leg.fixed_ips):
        connection.network.add_interface_to_router(router, subnet_id=subnet.id)
    return network


def existing(connection: Any, name: str) -> Any:
    """A network that is there, by name or id; raise Error naming those that there are."""
    network = connection.network.find_network(name, ignore_missing=True)
    if network is None:
        raise Error(f"--network {name}: there's none of that name; there are {_names(connection.network.networks())}")
    if not network.subnet_ids:
        raise Error(f"--network {name}: it has no subnet, so hosts would have no address")
    return network


def external(connection: Any, name: str | None) -> Any:
    """The external network of that name or id, or the only one; raise Error naming those that there are."""
    known = list(connection.network.networks(is_router_external=True))
    fitting = [n for n in known if name in (None, n.name, n.id)]
    if len(fitting) == 1:
        return fitting[0]
    what = f"--external-network {name}: there's none of that name" if name else "--external-network is missing"
    raise Error(f"{what}; there are {_names(known)}")


def _names(resources: Any) -> str:
    return ", ".join(sorted(r.name or r.id for r in resources)) or "none at all"


def _network(wanted: Network, connection: Any) -> Any:
    more = {"mtu": wanted.mtu} if wanted.mtu else {}
    return ours.named(connection, "networks", wanted.name) or connection.network.create_network(
        name=wanted.name, description=MARK, **more
    )


def _subnet(wanted: Network, network: Any, connection: Any) -> Any:
    for subnet in ours.found(connection, "subnets"):
        if (subnet.network_id, subnet.name) == (network.id, wanted.subnet):
            return subnet
    more: dict[str, Any] = {"dns_nameservers": list(wanted.nameservers)} if wanted.nameservers else {}
    if wanted.first:
        more["allocation_pools"] = [{"start": wanted.first, "end": wanted.last}]
    if wanted.gateway:
        more["gateway_ip"] = wanted.gateway
    return connection.network.create_subnet(
        network_id=network.id, name=wanted.subnet, description=MARK, cidr=wanted.cidr,
        ip_version=ipaddress.ip_network(wanted.cidr).version, **more,
    )  # fmt: skip


def _router(wanted: Network, outside: Any, connection: Any) -> Any:
    return ours.named(connection, "routers", wanted.router) or connection.network.create_router(
        name=wanted.router, description=MARK, external_gateway_info={"network_id": outside.id}
    )


def group_of(wanted: Wanted, connection: Any) -> Any:
    """Return the security group. Outwards Neutron's default holds; inwards only what is asked for."""
    group = ours.named(connection, "security_groups", wanted.group)
    group = group or connection.network.create_security_group(name=wanted.group, description=MARK)
    last = wanted.guest.port + wanted.guest.agents - 1
    _admit(group, (wanted.guest.port, last), wanted.peers, connection)
    _admit(group, (SSH, SSH), wanted.ssh_from, connection)
    return group


def _admit(group: Any, ports: tuple[int, int], ranges: tuple[str, ...], connection: Any) -> None:
    """Let these ranges in, and at these ports no others; when no range is named, it stays as it is."""
    if not ranges:
        return
    rules = connection.network.security_group_rules(security_group_id=group.id, direction="ingress")
    is_ssh = ports == (SSH, SSH)
    there = {
        (rule.port_range_min, rule.port_range_max, rule.remote_ip_prefix): rule
        for rule in rules
        if rule.description == MARK and (rule.port_range_min == SSH) == is_ssh
    }
    wanted = {(*ports, range_) for range_ in ranges}
    for first, last, range_ in sorted(wanted - there.keys()):
        connection.network.create_security_group_rule(
            security_group_id=group.id, direction="ingress", protocol="tcp", description=MARK,
            ether_type=f"IPv{ipaddress.ip_network(range_).version}",
            port_range_min=first, port_range_max=last, remote_ip_prefix=range_,
        )  # fmt: skip
    for rule in (rule for key, rule in there.items() if key not in wanted):
        connection.network.delete_security_group_rule(rule)
