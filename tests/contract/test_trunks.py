"""Trunks and sub-ports beyond what holds for every kind, held against a cloud in memory."""

from __future__ import annotations

from typing import Any

from openstack.network.v2.extension import Extension
from openstack.network.v2.floating_ip import FloatingIP
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from openstack.network.v2.trunk import Trunk
from stackferry.resources.server_parts import port_of
from stackferry_clouds import apply
from stackferry_clouds.export import documents as documents_of

from .projects import by_name, view
from .test_workloads import ground, in_trunk, moved, servers, with_servers  # noqa: F401 - a fixture


def test_a_trunk_with_other_ports_inside_is_somebody_elses(moved: Any) -> None:  # noqa: F811
    document, destination, made = moved
    (trunk,) = document["params"]["trunks"]
    hints = in_trunk(document, trunk, made)
    assert apply.ensure("trunk", trunk, view(destination), hints).outcome == "unchanged"
    ended = apply.ensure("trunk", trunk, view(destination), {**hints, "sub_ports": hints["sub_ports"][:1]})
    assert (ended.outcome, destination.writes) == ("conflict", [])
    assert "with other sub-ports" in (ended.reason or "")


def test_a_trunk_needs_trunks_and_the_ports_that_it_names() -> None:
    source = with_servers()
    destination, pet = ground(source), servers(source)["pet"]
    destination.rows[Extension].clear()
    pet["params"]["sub_ports"][0]["params"]["trunk_mac_address"] = "fa:16:3e:99:99:99"
    ended = apply.compare("server", pet, view(destination, admin=True), {})
    assert ended.outcome == "missing"
    assert "has no trunks" in (ended.reason or "")
    assert "sub-ports in a trunk of fa:16:3e:99:99:99 have none" in (ended.reason or "")


def test_what_cannot_be_read_of_a_trunk_is_noted() -> None:
    source = with_servers()
    look = view(source)
    trunk = next(row for row in source.all(Trunk) if row["name"] == "bundle")
    trunk["sub_ports"] = [*trunk["sub_ports"], {"port_id": "far", "segmentation_id": 9, "segmentation_type": "vlan"}]
    documents_of("server", look)
    assert "server 'pet': its sub-port far can't be read, and stays" in look.notes


def test_floating_ips_of_sub_ports_belong_to_the_server_too() -> None:
    source = with_servers()
    inside = next(row for row in source.all(Port) if row["name"] == "vlan 7")
    source.seed(FloatingIP, floating_network_id=by_name(source, Network, "public"), port_id=inside["id"],
                floating_ip_address="203.0.0.78", fixed_ip_address="10.8.0.17")  # fmt: skip
    pet = servers(source)["pet"]
    found = {d["params"]["floating_ip_address"]: port_of(pet, d) for d in pet["params"]["floating_ips"]}
    assert found == {"203.0.0.77": ("port", 1), "203.0.0.78": ("sub_port", 0)}
