"""Routers' legs keep their MAC addresses, and so the addresses that follow from them, in a real Neutron."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_clouds.export import documents
from stackferry_clouds.view import ProjectView

from ..contract.projects import migrate, outcomes

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]
KINDS = ("network", "subnet", "router", "router_interface")
MODES = {"slaac": {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}, "ra": {"ipv6_ra_mode": "slaac"}, "none": {}}


def look(tenant: Any) -> ProjectView:
    c = tenant.connect()
    return ProjectView(c, c.current_project_id, False, tenant.cloud)


def legs(tenant: Any) -> set[tuple[Any, ...]]:
    c = tenant.connect()
    found = [
        port
        for port in c.network.ports(project_id=c.current_project_id)
        if port.device_owner.startswith("network:router")
    ]
    return {(p.name, p.mac_address, tuple(sorted(ip["ip_address"] for ip in p.fixed_ips))) for p in found}


def test_legs_arrive_with_name_mac_address_and_addresses(source: Any, destination: Any) -> None:
    network = source.connect().network
    router, second = network.create_router(name="edge"), network.create_router(name="second")
    for number, (name, modes) in enumerate(MODES.items()):
        net = network.create_network(name=name)
        four = network.create_subnet(network_id=net.id, name=f"{name}4", ip_version=4, cidr=f"10.{number}.0.0/24")
        six = network.create_subnet(
            network_id=net.id, name=f"{name}6", ip_version=6, cidr=f"2001:db8:{number}::/64", **modes
        )
        for subnet in (four, six):
            network.add_interface_to_router(router, subnet=subnet.id)
        port = network.create_port(network_id=net.id, name=f"{name} uplink", fixed_ips=[{"subnet_id": six.id}])
        network.add_interface_to_router(second, port=port.id)
    found = [document for kind in KINDS for document in documents(kind, look(source))]
    ended = outcomes(migrate(found, look(destination)))
    assert {outcome for outcome, _ in ended.values()} == {"created"}, ended
    assert legs(destination) == legs(source)
    assert len(legs(source)) == 9
    again = outcomes(migrate(found, look(destination)))
    assert {outcome for outcome, _ in again.values()} == {"unchanged"}, again
