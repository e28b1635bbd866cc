"""Deletes hosts and, with the last of them, everything else that `hosts deploy` made in a project; nothing more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stackferry.errors import Error

from . import ours
from .connections import CloudUnavailable, explained
from .options import Place

PATIENCE = 300.0  # seconds until the servers are gone
LOOK_EVERY = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """What would be deleted in one project."""

    servers: list[Any]
    ips: list[Any]
    ports: list[Any]
    routers: list[Any]
    subnets: list[Any]
    networks: list[Any]
    groups: list[Any]

    def lines(self) -> Iterator[str]:
        """One line a resource, for people."""
        for server in self.servers:
            yield f"server {server.name} ({server.id})"
        for ip in self.ips:
            yield f"floating IP {ip.floating_ip_address}"
        for word, resources in (
            ("port", self.ports), ("router", self.routers), ("subnet", self.subnets), ("network", self.networks),
            ("security group", self.groups),
        ):  # fmt: skip
            for resource in resources:
                yield f"{word} {resource.name} ({resource.id})"


def look_in(places: Sequence[tuple[Place, Any]], names: Sequence[str] = ()) -> list[tuple[Place, Any, Found]]:
    """What there is of ours in some projects; raise Error naming a host that isn't."""
    found = []
    for place, connection in places:
        with explained(place.cloud):
            found.append((place, connection, look(connection, names)))
    there = {word for _, _, mine in found for server in mine.servers for word in (server.id, server.name)}
    if unknown := sorted(set(names) - there):
        raise Error(f"{', '.join(unknown)}: `hosts deploy` has made no such host there; it's never another's")
    return found


def look(connection: Any, names: Sequence[str] = ()) -> Found:
    """What there is of ours in a project; only these hosts (by name or id) with what belongs to them, if any are named.

    What they share goes when the last host goes.
    """
    servers = ours.servers(connection)
    chosen = [s for s in servers if not names or {s.name, s.id} & set(names)]
    everything = len(chosen) == len(servers) and bool(chosen or not names)
    ports = [p for p in ours.found(connection, "ports") if everything or p.device_id in {s.id for s in chosen}]
    ips = [
        ip for ip in ours.found(connection, "ips") if everything or ip.port_id in {p.id for p in ports}
    ]  # fmt: skip
    shared = {
        plural: list(ours.found(connection, plural)) if everything else []
        for plural in ("routers", "subnets", "networks", "security_groups")
    }
    return Found(chosen, ips, ports, *shared.values())


def delete(found: Found, connection: Any) -> None:
    """Delete it; what is gone already is fine."""
    network, compute = connection.network, connection.compute
    for server in found.servers:
        compute.delete_server(server, ignore_missing=True)
    _await_gone(found.servers, compute)
    for ip in found.ips:
        network.delete_ip(ip, ignore_missing=True)
    for port in found.ports:
        network.delete_port(port, ignore_missing=True)
    for router in found.routers:
        _delete_router(router, network)
    for subnet in found.subnets:
        network.delete_subnet(subnet, ignore_missing=True)
    for one in found.networks:
        network.delete_network(one, ignore_missing=True)
    for group in found.groups:
        network.delete_security_group(group, ignore_missing=True)


def _await_gone(servers: Sequence[Any], compute: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    for server in servers:
        while compute.find_server(server.id, ignore_missing=True) is not None:
            if time.monotonic() > deadline:
                raise CloudUnavailable(
                    f"server {server.name} ({server.id}) is still there after {PATIENCE:.0f} s; see its status"
                )
            time.sleep(LOOK_EVERY)


def _delete_router(router: Any, network: Any) -> None:
    for leg in network.ports(device_id=router.id):
        for subnet in {ip["subnet_id"] for ip in leg.fixed_ips}:
            if leg.device_owner in ("network:router_interface", "network:router_interface_distributed",
                                    "network:ha_router_replicated_interface"):  # fmt: skip
                network.remove_interface_from_router(router, subnet_id=subnet)
    network.delete_router(router, ignore_missing=True)
