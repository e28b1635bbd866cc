"""What a name means at a destination: only what its project may use, in the project that the reference names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from openstack.compute.v2.flavor import Flavor
from openstack.image.v2 import image
from openstack.network.v2 import network, security_group, subnet
from stackferry.resources.view import FOREIGN, OWN, Ambiguous, Missing, View

from .fake_cloud import Cloud
from .projects import view

IN_OWN = {"project_name": OWN, "domain_name": OWN}
IN_OPERATORS = {"project_name": "operators", "domain_name": "Default"}
ANYWHERE = {"project_name": None, "domain_name": None}
ROLES = pytest.mark.parametrize("admin", [False, True], ids=["tenant", "admin"])


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def seed(cloud: Cloud, cls: Any, whose: str = "operators", **attributes: Any) -> str:
    project = (cloud.project if whose == "ours" else cloud.operators)["id"]
    owner = {"owner_id" if cls is image.Image else "project_id": project}
    return str(cloud.seed(cls, **owner, **attributes)["id"])


def meant(look: View, kind: str, name: str, where: dict[str, Any]) -> str | None:
    try:
        return look.resolve(kind, {"name": name, **where})
    except Missing:
        return None


@ROLES
@pytest.mark.parametrize("where", [ANYWHERE, IN_OPERATORS, IN_OWN])
def test_a_strangers_private_network_is_nobodys_answer(cloud: Cloud, admin: bool, where: dict[str, Any]) -> None:
    theirs = seed(cloud, network.Network, name="net")
    seed(cloud, subnet.Subnet, name="s", network_id=theirs, cidr="10.0.0.0/24")
    assert meant(view(cloud, admin), "network", "net", where) is None
    assert meant(view(cloud, admin), "subnet", "s", where) is None


@ROLES
@pytest.mark.parametrize("how", ["is_shared", "is_router_external"])
def test_what_everybody_may_use_is_meant_whoever_owns_it_there(cloud: Cloud, admin: bool, how: str) -> None:
    theirs = seed(cloud, network.Network, name="public", **{how: True})
    inside = seed(cloud, subnet.Subnet, name="s", network_id=theirs, cidr="10.0.0.0/24")
    for where in (ANYWHERE, IN_OPERATORS, {"project_name": "of the source", "domain_name": "Default"}):
        assert meant(view(cloud, admin), "network", "public", where) == theirs
        assert meant(view(cloud, True), "subnet", "s", where) == inside
    assert meant(view(cloud, admin), "network", "public", IN_OWN) is None


def test_a_strangers_namesake_does_not_make_the_real_one_ambiguous(cloud: Cloud) -> None:
    real = seed(cloud, network.Network, name="public", is_router_external=True)
    seed(cloud, network.Network, name="public")
    assert meant(view(cloud, True), "network", "public", ANYWHERE) == real


@ROLES
def test_two_that_may_be_used_stay_ambiguous(cloud: Cloud, admin: bool) -> None:
    for whose in ("ours", "operators"):
        seed(cloud, network.Network, whose, name="net", is_shared=True)
    with pytest.raises(Ambiguous):
        view(cloud, admin).resolve("network", {"name": "net", **ANYWHERE})


@ROLES
def test_another_projects_group_never_becomes_our_own(cloud: Cloud, admin: bool) -> None:
    ours = seed(cloud, security_group.SecurityGroup, "ours", name="default")
    seed(cloud, security_group.SecurityGroup, name="default")
    assert meant(view(cloud, admin), "security_group", "default", IN_OWN) == ours
    assert meant(view(cloud, admin), "security_group", "default", IN_OPERATORS) is None
    assert meant(view(cloud, admin), "security_group", "default", {**ANYWHERE, FOREIGN: True}) is None


@ROLES
@pytest.mark.parametrize("kind", ["network", "subnet"])
def test_nor_does_another_projects_network_that_everybody_could_use(cloud: Cloud, admin: bool, kind: str) -> None:
    ours = seed(cloud, network.Network, "ours", name="net")
    inside = seed(cloud, subnet.Subnet, "ours", name="net", network_id=ours, cidr="10.0.0.0/24")
    assert meant(view(cloud, admin), kind, "net", IN_OWN) == {"network": ours, "subnet": inside}[kind]
    assert meant(view(cloud, admin), kind, "net", {**ANYWHERE, FOREIGN: True}) is None


@ROLES
@pytest.mark.parametrize("how", ["is_shared", "is_router_external"])
def test_an_own_network_that_is_for_everybody_is_as_good_as_anybodys(cloud: Cloud, admin: bool, how: str) -> None:
    ours = seed(cloud, network.Network, "ours", name="public", **{how: True})
    assert meant(view(cloud, admin), "network", "public", {**ANYWHERE, FOREIGN: True}) == ours


@ROLES
def test_a_group_that_is_shared_with_the_project_is_meant(cloud: Cloud, admin: bool) -> None:
    seed(cloud, security_group.SecurityGroup, "ours", name="web")
    theirs = seed(cloud, security_group.SecurityGroup, name="web", is_shared=True)
    assert meant(view(cloud, admin), "security_group", "web", IN_OPERATORS) == theirs
    assert meant(view(cloud, admin), "security_group", "web", {**ANYWHERE, FOREIGN: True}) == theirs


@ROLES
def test_the_projects_own_name_means_its_own(cloud: Cloud, admin: bool) -> None:
    ours = seed(cloud, security_group.SecurityGroup, "ours", name="default")
    where = {"project_name": cloud.project["name"], "domain_name": "Default"}
    assert meant(view(cloud, admin), "security_group", "default", where) == ours


def test_of_images_an_administrator_uses_what_the_project_may(cloud: Cloud) -> None:
    seed(cloud, image.Image, name="i", visibility="private")
    seed(cloud, image.Image, name="i", visibility="community")
    shared = seed(cloud, image.Image, name="i", visibility="shared")
    accepted: list[Any] = []
    look = view(cloud, True)
    look.proxy("image").members = lambda id_: accepted if id_ == shared else []
    assert meant(look, "image", "i", ANYWHERE) is None
    accepted.append(SimpleNamespace(member_id=cloud.project["id"], status="accepted"))
    other = view(cloud, True)
    other.proxy("image").members = look.proxy("image").members
    assert meant(other, "image", "i", ANYWHERE) == shared


def test_an_own_image_stands_in_where_there_is_no_public_one(cloud: Cloud) -> None:
    """Images are copied from cloud to cloud by hand; a public one is preferred, as at the source."""
    ours = seed(cloud, image.Image, "ours", name="debian", visibility="private")
    assert meant(view(cloud, True), "image", "debian", {**ANYWHERE, FOREIGN: True}) == ours
    public = seed(cloud, image.Image, name="debian", visibility="public")
    assert meant(view(cloud, True), "image", "debian", {**ANYWHERE, FOREIGN: True}) == public


@ROLES
@pytest.mark.parametrize("where", [ANYWHERE, {**ANYWHERE, FOREIGN: True}])
def test_a_flavor_belongs_to_no_project(cloud: Cloud, admin: bool, where: dict[str, Any]) -> None:
    there = cloud.seed(Flavor, name="m1", vcpus=1, ram=1, disk=1)["id"]
    assert meant(view(cloud, admin), "flavor", "m1", where) == there
