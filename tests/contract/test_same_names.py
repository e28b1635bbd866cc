"""What a name means where other things are called the same: subnets of other networks, images that listings leave out."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.identity.v3.project import Project
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from openstack.network.v2.router import Router
from openstack.network.v2.subnet import Subnet
from stackferry.resources import KINDS
from stackferry.resources.view import Ambiguous, Missing
from stackferry_clouds import apply

from .fake_cloud import Cloud
from .fake_glance import seed_image
from .projects import by_name, infrastructure, view

OWN = {"project_name": "%auth%", "domain_name": "%auth%"}
OPERATORS = {"project_name": "operators", "domain_name": "Default"}


def two_networks() -> Cloud:
    cloud = infrastructure()
    for number, name in enumerate(("one", "two")):
        net = cloud.seed(Network, name=name)["id"]
        cloud.seed(Subnet, name="v4", network_id=net, cidr=f"10.{number}.0.0/24", ip_version=4,
                   gateway_ip=f"10.{number}.0.1", allocation_pools=[])  # fmt: skip
    cloud.seed(Router, name="edge")
    return cloud


def in_network(kind: str, name: str, address: str, **params: Any) -> dict[str, Any]:
    fixed_ips = [{"ip_address": address, "subnet_ref": {"name": "v4", **OWN}}]
    said = {"network_ref": {"name": name, **OWN}, "fixed_ips_refs": fixed_ips, **params}
    return {"type": KINDS[kind].type, "params": said, "_info": {}, "_migration_params": {}}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("kind", ["port", "router_interface"])
def test_a_subnet_is_the_one_of_the_network_that_stands_beside_it(kind: str, number: int) -> None:
    cloud = two_networks()
    more = {"device_ref": {"name": "edge", **OWN}} if kind == "router_interface" else {}
    document = in_network(kind, ("one", "two")[number], f"10.{number}.0.1", **more)
    ended = apply.ensure(kind, document, view(cloud), {})
    assert ended.outcome == "created", ended.reason
    (address,) = cloud.rows[Port][ended.destination_id]["fixed_ips"]
    assert cloud.rows[Subnet][address["subnet_id"]]["cidr"] == f"10.{number}.0.0/24"
    again = apply.compare(kind, document, view(cloud), {})
    assert (again.outcome, again.destination_id) == ("unchanged", ended.destination_id)
    server = {"params": {"name": "a", "flavor_ref": {"name": "m1"}, "image_ref": {"name": "base"}, "ports": [document]}}
    if kind == "port":
        lacking = apply.compare("server", {**server, "type": KINDS["server"].type}, view(cloud), {"port_ids": []})
        assert "subnet" not in str(lacking.reason)


def test_a_subnet_of_another_network_is_not_there() -> None:
    cloud = two_networks()
    cloud.seed(Network, name="three")
    ended = apply.ensure("port", in_network("port", "three", "10.0.0.9"), view(cloud), {})
    assert (ended.outcome, ended.reason) == ("missing", "there is no subnet named 'v4' here")


def image(cloud: Cloud, name: str, **how: Any) -> str:
    return str(
        seed_image(cloud, name, b"x", **{"owner_id": cloud.operators["id"], "visibility": "public", **how})["id"]
    )


def test_a_hidden_image_is_found_unless_another_one_of_its_name_is_not_hidden() -> None:
    cloud = infrastructure()
    old = image(cloud, "debian", is_hidden=True)
    assert view(cloud).resolve("image", {"name": "debian"}) == old
    new = image(cloud, "debian")
    assert view(cloud).resolve("image", {"name": "debian"}) == new
    assert view(cloud).resolve("image", {"id": old, "name": "debian"}) == old


def test_a_community_image_is_found_in_the_project_that_a_reference_names_and_nowhere_else() -> None:
    cloud = infrastructure()
    theirs = image(cloud, "debian", visibility="community")
    image(cloud, "debian", visibility="community", owner_id=by_name(cloud, Project, "partner"))
    assert view(cloud, admin=True).resolve("image", {"name": "debian", **OPERATORS}) == theirs
    assert view(cloud).resolve("image", {"id": theirs}) == theirs
    for look in (view(cloud), view(cloud, admin=True)):
        with pytest.raises((Missing, Ambiguous)):
            look.resolve("image", {"name": "debian", "project_name": None, "domain_name": None})
