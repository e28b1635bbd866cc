"""What the destination has and excludes what is to be made is a conflict, told before anything is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from openstack.block_storage.v3.volume import Volume
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from openstack.network.v2.router import Router
from openstack.network.v2.subnet import Subnet
from stackferry_clouds import apply

from .fake_cloud import Cloud
from .projects import Document, infrastructure, view

OWN = {"project_name": "%auth%", "domain_name": "%auth%"}


def document(type_: str, **params: Any) -> Document:
    return {"type": type_, "params": params, "_info": {}, "_migration_params": {}}


def told(cloud: Cloud, kind: str, wanted: Document) -> tuple[str, str | None]:
    """What a plan says, which a run says as well, having written nothing."""
    planned = apply.compare(kind, wanted, view(cloud, admin=True), {})
    if planned.outcome == "conflict":
        ended = apply.ensure(kind, wanted, view(cloud, admin=True), {})
        assert (ended.outcome, ended.reason, cloud.writes) == ("conflict", planned.reason, [])
    return planned.outcome, planned.reason


@pytest.fixture
def cloud() -> Cloud:
    """A network with a subnet, in which a router stands."""
    made = infrastructure()
    mine = made.project["id"]
    net = made.seed(Network, name="n", project_id=mine)
    v4 = made.seed(Subnet, name="v4", network_id=net["id"], cidr="10.0.0.0/24", ip_version=4, project_id=mine)
    edge = made.seed(Router, name="edge", project_id=mine)
    ips = [{"subnet_id": v4["id"], "ip_address": "10.0.0.1"}]
    made.seed(Port, network_id=net["id"], device_id=edge["id"], device_owner="network:router_interface", fixed_ips=ips,
              project_id=mine)  # fmt: skip
    return made


@pytest.mark.parametrize(
    ("cidr", "outcome"),
    [
        ("10.0.0.0/23", "conflict"),
        ("10.0.0.128/25", "conflict"),
        ("10.0.1.0/24", "created"),
        ("2001:db8::/64", "created"),
    ],
)
def test_ranges_of_one_network_do_not_overlap(cloud: Cloud, cidr: str, outcome: str) -> None:
    version = 6 if ":" in cidr else 4
    wanted = document(
        "openstack.subnet.Subnet", name="new", cidr=cidr, ip_version=version, network_ref={"name": "n", **OWN}
    )
    said, why = told(cloud, "subnet", wanted)
    assert said == outcome
    if why:
        assert why == f"{cidr} overlaps 10.0.0.0/24, which subnet 'v4' of its network has here"


@pytest.mark.parametrize(("cidr", "outcome"), [("10.0.0.0/23", "conflict"), ("10.2.0.0/24", "created")])
def test_a_router_does_not_stand_in_two_ranges_that_overlap(cloud: Cloud, cidr: str, outcome: str) -> None:
    mine = cloud.project["id"]
    other = cloud.seed(Network, name="m", project_id=mine)
    cloud.seed(Subnet, name="other", network_id=other["id"], cidr=cidr, ip_version=4, project_id=mine)
    wanted = document(
        "openstack.network.RouterInterface", device_ref={"name": "edge", **OWN}, network_ref={"name": "m", **OWN},
        fixed_ips_refs=[{"ip_address": cidr.replace(".0/", ".9/").partition("/")[0], "subnet_ref": {"name": "other", **OWN}}],
    )  # fmt: skip
    said, why = told(cloud, "router_interface", wanted)
    assert said == outcome
    if why:
        assert why == f"its router stands in 10.0.0.0/24 (subnet 'v4') here, which overlaps {cidr}"


@pytest.mark.parametrize(("segment", "outcome"), [(7, "conflict"), (8, "created")])
def test_a_segment_is_one_networks(cloud: Cloud, segment: int, outcome: str) -> None:
    place = {"provider_network_type": "vlan", "provider_physical_network": "physnet1"}
    theirs = cloud.seed(Network, name="theirs", project_id="p2", provider_segmentation_id=7, **place)
    wanted = document("openstack.network.Network", name="new", provider_segmentation_id=segment, **place)
    said, why = told(cloud, "network", wanted)
    assert said == outcome
    if why:
        assert why == f"vlan physnet1 7 is in use here, by network 'theirs' ({theirs['id']}) of project p2"


@pytest.mark.parametrize(("mtu", "noted"), [(1500, False), (9000, True)])
def test_what_no_plan_can_know_it_says(cloud: Cloud, mtu: int, noted: bool) -> None:
    wanted = document("openstack.network.Network", name="new", mtu=mtu)
    notes = apply.compare("network", wanted, view(cloud, admin=True), {}).notes
    assert any("whether this cloud allows it" in note for note in notes) == noted


def test_what_is_older_than_the_migration_or_marked_for_another_is_never_deleted_whoever_calls_it_made(
    cloud: Cloud,
) -> None:
    there = cloud.seed(Network, name="old", project_id=cloud.project["id"], created_at="2020-01-01T00:00:00Z")
    made = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    wanted = document("openstack.network.Network", name="old")
    before = list(cloud.writes)
    undo = {"destination_id": there["id"]}
    ended = apply.remove("network", wanted, view(cloud, admin=True), {**undo, "since": made + 3601})
    assert (ended.outcome, cloud.writes) == ("conflict", before)
    assert "it isn't ours: it was made 2020-01-01T00:00:00Z, before this migration" in str(ended.reason)
    for since in (made + 3599, None):  # clocks may differ; a ledger of before doesn't say
        assert apply.remove("network", wanted, view(cloud, admin=True), {**undo, "since": since}).outcome == "removed"
        there = cloud.seed(Network, name="old", project_id=cloud.project["id"], created_at="2020-01-01T00:00:00Z")
        undo = {"destination_id": there["id"]}


@pytest.mark.parametrize(("mark", "outcome"), [("m1/s1", "removed"), ("m2/s1", "conflict"), (None, "removed")])
def test_a_volume_that_is_marked_for_another_document_stays(cloud: Cloud, mark: str | None, outcome: str) -> None:
    metadata = {"stackferry": mark} if mark else {}
    there = cloud.seed(Volume, name="disk", size=1, status="available", metadata=metadata)
    wanted = document("openstack.blockstorage.Volume", name="disk")
    hints = {"destination_id": there["id"], "marker": "m1/s1"}
    assert apply.remove("volume", wanted, view(cloud, admin=True), hints).outcome == outcome
