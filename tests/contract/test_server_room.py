"""Whether servers fit into a project's quotas together, held against a cloud in memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

from openstack.block_storage.v3.volume import Volume
from openstack.compute.v2.server import Server
from openstack.network.v2.network import Network
from openstack.network.v2.router import Router
from openstack.network.v2.security_group import SecurityGroup
from stackferry.resources import quotas
from stackferry.resources.migration_params import SERVER, chosen
from stackferry.resources.room import counted, demand, together
from stackferry.resources.server_lacks import needed
from stackferry_clouds.export import documents as documents_of

from .projects import Document, infrastructure, view
from .test_workloads import servers, with_servers


def several(**how: Any) -> list[Document]:
    pet = servers(with_servers())["pet"]
    return [{**pet, "params": {**pet["params"], "name": name}, "_migration_params": how} for name in ("a", "b", "c")]


def test_a_demand_is_what_the_check_of_a_server_asks_for() -> None:
    there = infrastructure()
    for document in servers(with_servers()).values():
        for how in ({}, {"boot_disk_copy": True}, {"floating_ip_mode": "new"}, {"floating_ip_mode": "skip"},
                    {"data_copy": False}):  # fmt: skip
            asked = {**document, "_migration_params": how}
            mine = +counted(view(there), demand(asked))
            own = Counter(needed(view(there), asked, chosen(SERVER, asked), {}))
            assert mine == +own, how


def test_servers_that_fit_one_by_one_may_not_fit_together() -> None:
    there = infrastructure()
    there.quotas = {"instances": 3, "cores": 100, "ram": 2500, "volumes": 100, "gigabytes": 40, "ports": 9,
                    "floating_ips": -1, "snapshots": 10}  # fmt: skip
    documents = several()
    for document in documents:
        assert needed(view(there), document, chosen(SERVER, document), {})["instances"] == 1
    found = together(view(there), map(demand, documents))
    assert found == [
        "3 instances are needed, 1 of 3 are used",
        "3072 ram are needed, 1 of 2500 are used",
        "12 ports are needed, 1 of 9 are used",
    ]
    assert together(view(there), map(demand, documents[:1])) == []


def test_what_is_there_already_needs_no_room() -> None:
    there = infrastructure()
    there.quotas = dict.fromkeys(there.quotas, 1) | {"instances": 3}
    first, second, third = map(demand, several(data_copy=False, floating_ip_mode="skip"))
    there.quotas |= {"cores": 5, "ram": 2500, "ports": 9}
    assert together(view(there), [first, second]) == []
    assert together(view(there), [first, second, third]) != []
    there.seed(Server, name="a", status="ACTIVE", flavor={}, image=None, attached_volumes=[])
    renamed = there.seed(Server, name="renamed", status="ACTIVE", flavor={}, image=None, attached_volumes=[])
    assert together(view(there), [first, second, third]) == []
    assert together(view(there), [first, first, second]) == [], "only one of two that share a name is there"
    there.quotas["instances"] = 1
    assert together(view(there), [first, {**second, "id": renamed["id"]}]) == []


def test_a_detached_volume_that_is_there_needs_no_room() -> None:
    there = infrastructure()
    there.quotas = dict.fromkeys(there.quotas, 1)
    spare = demand(documents_of("volume", view(with_servers(), True))[0])
    assert together(view(there), [spare]) == [
        "1 volumes are needed, 1 of 1 are used", "2 gigabytes are needed, 1 of 1 are used",
    ]  # fmt: skip
    there.seed(Volume, name="spare", size=2)
    assert together(view(there), [spare]) == []


def test_networks_and_what_belongs_to_them_are_counted_as_well_unless_they_are_there() -> None:
    there = infrastructure()
    there.quotas = dict.fromkeys(quotas.SERVICES, 2)  # one of each is used
    net = {"kind": "network", "name": "n"}
    group = {"kind": "security_group", "name": "g"}
    wanted = [
        net, {**net, "name": "m"}, {"kind": "subnet", "name": "v4", "owner": "n"}, {"kind": "subnet", "name": "v6", "owner": "n"},
        {"kind": "router", "name": "r"}, *[{"kind": "router_interface", "name": "", "owner": "r"}] * 2,
        group, *[{"kind": "security_group_rule", "name": "", "owner": "g"}] * 3,
    ]  # fmt: skip
    assert together(view(there), wanted) == [
        "2 networks are needed, 1 of 2 are used", "2 subnets are needed, 1 of 2 are used",
        "2 ports are needed, 1 of 2 are used", "3 security group rules are needed, 1 of 2 are used",
    ]  # fmt: skip
    project = there.project["id"]
    there.seed(Network, name="n", project_id=project)
    there.seed(Router, name="r", project_id=project)
    there.seed(SecurityGroup, name="g", project_id=project)
    assert together(view(there), wanted) == []


def test_volumes_count_by_type_and_each_by_itself() -> None:
    there = infrastructure()
    spare = documents_of("volume", view(with_servers(), True))[0]
    wanted = [demand({**spare, "params": {**spare["params"], "volume_type": type_, "size": size}})
              for type_, size in (("fast", 5), ("fast", 7), (None, 3))]  # fmt: skip
    assert wanted[0]["types"] == {"fast": [1, 5]}
    there.quotas |= {
        "gigabytes_fast": 12,
        "volumes_fast": 2,
        "per_volume_gigabytes": 6,
        "gigabytes": 100,
        "volumes": 100,
    }
    assert together(view(there), wanted) == [
        "a volume may have 6 GiB, and one has 7", "12 gigabytes fast are needed, 1 of 12 are used",
        "2 volumes fast are needed, 1 of 2 are used",
    ]  # fmt: skip
    assert together(view(there), wanted[:1]) == []
