"""Addresses of ports and of routers' legs: who chooses them, and what it means to have none."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from openstack.network.v2.router import Router
from openstack.network.v2.subnet import Subnet
from stackferry.resources import KINDS
from stackferry_clouds import apply

from .fake_cloud import Cloud, eui64
from .projects import Document, exported, flat, infrastructure, migrate, outcomes, view

RANGE, MAC, LEG = "2001:db8:7::/64", "fa:16:3e:aa:00:01", "fa:16:3e:aa:00:02"
MODES = [("slaac", None), (None, "slaac"), (None, "dhcpv6-stateless"), ("dhcpv6-stateless", "dhcpv6-stateless")]
OWN = {"project_name": "%auth%", "domain_name": "%auth%"}


def with_modes(address: str | None, ra: str | None) -> Cloud:
    """A project with a network of such a subnet, and a router with a leg in it that isn't on the gateway's address."""
    cloud = infrastructure()
    net = cloud.seed(Network, name="net")["id"]
    subnet = cloud.seed(Subnet, name="six", network_id=net, cidr=RANGE, ip_version=6, gateway_ip="2001:db8:7::1",
                        allocation_pools=[{"start": "2001:db8:7::2", "end": "2001:db8:7::ff"}],
                        ipv6_address_mode=address, ipv6_ra_mode=ra)["id"]  # fmt: skip
    router = cloud.seed(Router, name="router", is_admin_state_up=True)["id"]
    cloud.seed(Port, network_id=net, device_id=router, device_owner="network:router_interface", mac_address=LEG,
               fixed_ips=[{"subnet_id": subnet, "ip_address": eui64(RANGE, LEG)}])  # fmt: skip
    return cloud


def port(**params: Any) -> Document:
    said = {"network_ref": {"name": "net", **OWN}, **params}
    return {"type": KINDS["port"].type, "params": said, "_info": {"id": "p"}, "_migration_params": {}}


def six(address: str) -> dict[str, Any]:
    return {"ip_address": address, "subnet_ref": {"name": "six", **OWN}}


@pytest.mark.parametrize(("address_mode", "ra_mode"), MODES)
def test_either_mode_of_a_subnet_gives_legs_and_ports_their_addresses(
    address_mode: str | None, ra_mode: str | None
) -> None:
    documents, destination = flat(exported(with_modes(address_mode, ra_mode))), infrastructure()
    ended = outcomes(migrate(documents, view(destination)))
    assert {outcome for outcome, _ in ended.values()} == {"created"}, ended
    document = port(mac_address=MAC, fixed_ips_refs=[six(eui64(RANGE, MAC))])
    made = apply.ensure("port", document, view(destination), {})
    (address,) = destination.rows[Port][made.destination_id]["fixed_ips"]
    assert address["ip_address"] == eui64(RANGE, MAC)
    destination.writes.clear()
    assert {outcome for outcome, _ in outcomes(migrate(documents, view(destination))).values()} == {"unchanged"}
    assert apply.ensure("port", document, view(destination), {}).outcome == "unchanged"
    assert destination.writes == []


@pytest.mark.parametrize("known", [{}, {"look": True, "first_asked": 0}], ids=["later", "after a lost try"])
def test_a_port_without_addresses_is_made_without_and_found_by_its_mac_address(known: dict[str, Any]) -> None:
    destination = with_modes(None, None)
    document = port(mac_address=MAC, fixed_ips_refs=[])
    made = apply.ensure("port", document, view(destination), {})
    assert (made.outcome, destination.rows[Port][made.destination_id]["fixed_ips"]) == ("created", [])
    destination.rows[Port][made.destination_id].pop("updated_at", None)
    destination.writes.clear()
    again = apply.ensure("port", document, view(destination), known)
    assert (again.destination_id, destination.writes) == (made.destination_id, [])


def test_a_port_of_a_network_of_others_without_addresses_is_found_by_its_server() -> None:
    destination = with_modes(None, None)
    (net,) = (n for n in destination.all(Network) if n["name"] == "net")
    net.update(project_id=destination.operators["id"], is_shared=True)
    document = port(mac_address=MAC, fixed_ips_refs=[])
    document["params"]["network_ref"] = {"name": "net", "project_name": None, "domain_name": None}
    made = apply.ensure("port", document, view(destination), {})
    row = destination.rows[Port][made.destination_id]
    assert row["mac_address"] != MAC
    row.update(device_id="server", device_owner="compute:nova")
    destination.writes.clear()
    again = apply.ensure("port", document, view(destination), {"device_id": "server"})
    assert (again.outcome, again.destination_id, destination.writes) == ("unchanged", made.destination_id, [])


def leg_of(cloud: Cloud) -> dict[str, Any]:
    (leg,) = (row for row in cloud.all(Port) if row["device_owner"] == "network:router_interface")
    return leg


@pytest.mark.parametrize("modes", [(None, None), ("slaac", "slaac"), (None, "slaac")])
@pytest.mark.parametrize("address", ["2001:db8:7::1", "its own"], ids=["gateway", "other"])
def test_a_leg_keeps_name_and_mac_address_and_so_its_address(modes: tuple[Any, Any], address: str) -> None:
    source, destination = with_modes(*modes), infrastructure()
    leg = leg_of(source)
    leg.update(name="uplink")
    if address != "its own":
        leg["fixed_ips"][0]["ip_address"] = address
    ended = migrate(flat(exported(source)), view(destination))
    assert {(o.outcome, tuple(o.notes)) for o in ended.values()} == {("created", ())}, outcomes(ended)
    there = leg_of(destination)
    assert (there["name"], there["mac_address"]) == ("uplink", LEG)
    assert there["fixed_ips"][0]["ip_address"] == leg["fixed_ips"][0]["ip_address"]


@pytest.mark.parametrize("modes", [(None, None), ("slaac", "slaac")])
def test_a_leg_in_a_network_of_others_says_what_it_does_not_keep(modes: tuple[Any, Any]) -> None:
    source, destination = with_modes(*modes), infrastructure()
    documents = exported(source)
    (leg,) = documents.pop("router_interface")
    migrate([d for some in documents.values() for d in some], view(destination))
    (net,) = (n for n in destination.all(Network) if n["name"] == "net")
    net.update(project_id=destination.operators["id"], is_shared=True)
    for subnet in destination.all(Subnet):
        subnet.update(is_shared=True)
    leg["params"]["network_ref"] = {"name": "net", "project_name": None, "domain_name": None}
    leg["_info"] = {}
    ended = apply.ensure("router_interface", leg, view(destination), {})
    assert (ended.outcome, ended.reason) == ("created", None)
    whose = "network 'net' belongs to another project, which alone chooses it"
    other = f"it gets another address than {eui64(RANGE, LEG)}: its subnet gives them itself"
    assert ended.notes == [f"mac_address was left out: {whose}", *([other] if any(modes) else [])]
    there = leg_of(destination)
    assert (there["fixed_ips"][0]["ip_address"] != eui64(RANGE, LEG)) is any(modes)
    assert there["mac_address"] != LEG
