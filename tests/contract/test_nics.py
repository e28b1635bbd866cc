"""The order of NICs, from what Nova shows of a server and Neutron of its ports."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.compute.v2.server import Server
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from stackferry.resources.nics import MAC, in_order
from stackferry_clouds.export import documents as documents_of

from .projects import by_name, view
from .test_workloads import with_servers


def nova(nics: list[tuple[str, str, int]]) -> dict[str, Any]:
    """What Nova shows of NICs (name, network, addresses) that it has in this order."""
    found: dict[str, Any] = {}
    for name, network, many in nics:
        found.setdefault(network, []).extend([{"addr": "x", MAC: name}] * many)
    return found


def port(name: str, network: str, made: int) -> dict[str, Any]:
    return {
        "id": f"id-{name}",
        "mac_address": name,
        "network_id": f"id-{network}",
        "created_at": f"2026-01-01T00:00:{made:02}Z",
    }


NAMES = {f"id-{network}": network for network in "ACD"}
OLD = {"made by hand": lambda n: 9 - n, "made by Nova": lambda n: n, "at once": lambda n: 0}


@pytest.mark.parametrize(
    ("nics", "certain"),
    [
        ([("a", "A", 1), ("c", "C", 1)], True),
        ([("c", "C", 1), ("a", "A", 2)], True),
        ([("a", "A", 1), ("b", "A", 1)], True),
        ([("c", "C", 1), ("a", "A", 1), ("b", "A", 1)], True),
        ([("a", "A", 0), ("c", "C", 1)], True),
        ([("d", "D", 1), ("a", "A", 0), ("c", "C", 2)], True),
        ([("a", "A", 1), ("c", "C", 1), ("b", "A", 1)], False),
        ([("a", "A", 1), ("b", "A", 1), ("c", "C", 1)], False),
        ([("a", "A", 0), ("b", "A", 1)], False),
        ([("a", "A", 0), ("b", "A", 0)], False),
        ([("a", "A", 1), ("b", "A", 0)], False),
    ],
)
@pytest.mark.parametrize("age", OLD)
def test_nics_are_in_the_order_of_the_server_or_it_is_said_that_nobody_knows(
    nics: list[tuple[str, str, int]], certain: bool, age: str
) -> None:
    ports = [port(name, network, OLD[age](n)) for n, (name, network, _) in enumerate(nics)]
    found, known = in_order(sorted(ports, key=lambda p: p["id"], reverse=True), nova(nics), NAMES)
    assert known is certain
    if certain or (age == "made by Nova" and all(many for _, _, many in nics)):
        assert [p["mac_address"] for p in found] == [name for name, _, _ in nics]
    assert sorted(p["id"] for p in found) == sorted(p["id"] for p in ports)


def test_the_port_of_a_network_that_was_renamed_is_known_by_its_mac_address() -> None:
    shown = nova([("c", "C", 1), ("a", "A", 1)])
    found, known = in_order([port("a", "A", 1), port("c", "C", 2)], shown, {"id-A": "new", "id-C": "C"})
    assert ([p["mac_address"] for p in found], known) == (["c", "a"], True)


def test_an_order_that_nobody_knows_is_noted_and_another_one_is_kept() -> None:
    cloud = with_servers()
    look = view(cloud)
    documents_of("server", look)
    assert [note for note in look.notes if "NICs" in note] == []
    (pet,) = (server for server in cloud.all(Server) if server["name"] == "pet")
    third = cloud.seed(Port, network_id=by_name(cloud, Network, "back"), mac_address="fa:16:3e:00:01:09", fixed_ips=[],
                       device_id=pet["id"], device_owner="compute:nova")  # fmt: skip
    cloud.nics[pet["id"]].append(third["id"])
    look = view(cloud)
    found = {d["params"]["name"]: d for d in documents_of("server", look)}["pet"]
    macs = [port["params"]["mac_address"] for port in found["params"]["ports"]]
    (note,) = (note for note in look.notes if "NICs" in note)
    assert sorted(macs) == [f"fa:16:3e:00:01:0{n}" for n in (1, 2, 9)]
    assert note.endswith(f"and this one is assumed: {', '.join(macs)}")
