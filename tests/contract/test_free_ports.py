"""Ports, floating IPs, forwarded ports and trunks of no server, beyond what holds for every kind."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from openstack.network.v2.extension import Extension
from openstack.network.v2.floating_ip import FloatingIP
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from openstack.network.v2.port_forwarding import PortForwarding
from openstack.network.v2.subnet import Subnet
from openstack.network.v2.trunk import Trunk
from stackferry.errors import EndedInError
from stackferry.resources.conversion import MARK
from stackferry.resources.view import PENDING
from stackferry.selection import selects
from stackferry_clouds import apply
from stackferry_clouds.export import documents as documents_of

from ..graphs import build
from .fake_cloud import Cloud
from .projects import by_name, exported, flat, infrastructure, migrate, outcomes, populated, view
from .test_workloads import with_servers

KINDS = ("free_port", "free_floating_ip", "port_forwarding", "free_trunk")
ADDRESS = "203.0.0.51"


def titles(cloud: Cloud) -> dict[str, list[str]]:
    look = view(cloud)
    found = {kind: documents_of(kind, look) for kind in KINDS}
    return {kind: [str(d["params"].get("name") or d["_info"]["id"]) for d in all_] for kind, all_ in found.items()}


def network(cloud: Cloud, name: str = "net", **more: Any) -> tuple[str, str]:
    """A network with a subnet: their ids."""
    net = cloud.seed(Network, name=name, **more)["id"]
    subnet = cloud.seed(
        Subnet, name="s", network_id=net, cidr="10.4.0.0/24", ip_version=4, gateway_ip=None, project_id=more.get("project_id"),
        allocation_pools=[{"start": "10.4.0.9", "end": "10.4.0.99"}],
    )  # fmt: skip
    return net, subnet["id"]


def forwarding(cloud: Cloud, port: str, **more: Any) -> dict[str, Any]:
    ip = cloud.seed(FloatingIP, floating_network_id=by_name(cloud, Network, "public"), floating_ip_address="203.0.0.90")
    return cloud.seed(PortForwarding, floatingip_id=ip["id"], internal_port_id=port, internal_ip_address="10.0.0.57",
                      **{"internal_port": 80, "external_port": 8080, "protocol": "tcp", **more})  # fmt: skip


# -- which -----------------------------------------------------------------------------------------------------


def test_what_belongs_to_a_server_to_neutron_or_to_a_conversion_host_has_no_document() -> None:
    alone, with_others = populated(admin=False), with_servers(admin=False)
    net = by_name(with_others, Network, "net")
    with_others.seed(Port, network_id=net, name="dhcp", device_owner="network:dhcp", device_id="dhcp-1")
    with_others.seed(Port, network_id=net, name="host", description=MARK)
    assert {k: len(v) for k, v in titles(with_others).items()} == {k: len(v) for k, v in titles(alone).items()}
    look = view(with_others)
    for kind in KINDS:
        documents_of(kind, look)
    assert look.staying == []


def test_what_something_else_uses_stays_and_is_named() -> None:
    cloud = infrastructure()
    net, _ = network(cloud)
    port = cloud.seed(Port, network_id=net, name="lb", device_owner="Octavia", device_id="lb-1", mac_address="fa:1")
    cloud.seed(FloatingIP, floating_ip_address=ADDRESS, port_id=port["id"])
    cloud.seed(Trunk, name="bundle", port_id=port["id"])
    forwarding(cloud, port["id"], internal_port=None)
    look = view(cloud)
    for kind in KINDS:
        documents_of(kind, look)
    assert [(one.kind, one.name, one.reason) for one in look.staying] == [
        ("free_port", "lb", "Octavia uses it"),
        ("free_floating_ip", ADDRESS, f"it leads to port {port['id']} (Octavia), which does not cross"),
        ("port_forwarding", None, "it forwards a range of ports"),
        ("free_trunk", "bundle", "one of its ports does not cross"),
    ]


def test_floating_ips_are_filtered_by_their_addresses() -> None:
    documents = exported(populated(admin=False))
    kept = [d for d in documents["free_floating_ip"] if selects({"filters": {"free_floating_ip": [ADDRESS]}}, d)]
    assert [d["params"]["floating_ip_address"] for d in kept] == [ADDRESS]
    (forwarded,) = documents["port_forwarding"]
    assert selects({"filters": {"free_floating_ip": [ADDRESS]}}, forwarded)
    assert not selects({"filters": {"free_floating_ip": ["203.0.0.52"]}}, forwarded)


# -- who is who ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True], ids=["own network", "somebody else's network"])
def test_nameless_ports_alike_arrive_as_many_as_they_were_and_stay_so(shared: bool) -> None:
    source, destination = infrastructure(), infrastructure()
    for cloud in (source, destination):
        theirs = {"project_id": cloud.operators["id"], "is_shared": True} if shared else {}
        net, subnet = network(cloud, **theirs)
    for cloud, many in ((source, 3), (destination, 0)):
        net, subnet = by_name(cloud, Network, "net"), by_name(cloud, Subnet, "s")
        for number in range(many):
            address = [{"subnet_id": subnet, "ip_address": f"10.4.0.1{number}"}]
            cloud.seed(Port, network_id=net, mac_address=f"fa:16:3e:00:04:0{number}", fixed_ips=address)
    documents = [d for d in flat(exported(source)) if d["type"].endswith(".Port")]
    first = migrate(documents, view(destination))
    assert {o for o, _ in outcomes(first).values()} == {"created"}
    assert len(destination.all(Port)) == 3
    destination.writes.clear()
    again = migrate(documents, view(destination))
    assert {o for o, _ in outcomes(again).values()} == {"unchanged"}
    assert destination.writes == []
    assert len({o.destination_id for o in again.values()}) == 3


def test_floating_ips_alike_arrive_as_many_as_they_were_and_stay_so() -> None:
    source, destination = infrastructure(), infrastructure()
    for number in (60, 61, 62):
        cloud, public = source, by_name(source, Network, "public")
        cloud.seed(FloatingIP, floating_network_id=public, floating_ip_address=f"203.0.0.{number}")
    documents = exported(source)["free_floating_ip"]
    first = migrate(documents, view(destination))
    assert {o for o, _ in outcomes(first).values()} == {"created"}
    assert len(destination.all(FloatingIP)) == 3
    destination.writes.clear()
    assert {o for o, _ in outcomes(migrate(documents, view(destination))).values()} == {"unchanged"}
    assert destination.writes == []


def test_a_reference_to_a_nameless_port_means_the_one_with_its_address() -> None:
    source = populated(admin=True)
    documents, destination = exported(source, admin=True), infrastructure()
    migrate(flat(documents), view(destination, admin=True))
    (trunk,) = documents["free_trunk"]  # its own port has no name, nor has that inside
    assert apply.compare("free_trunk", trunk, view(destination, admin=True), {}).outcome == "unchanged"
    trunk["params"]["port_ref"]["addresses"] = ["10.0.0.99"]
    ended = apply.compare("free_trunk", trunk, view(destination, admin=True), {})
    assert (ended.outcome, ended.reason) == ("missing", "there is no port named '10.0.0.99' here")


# -- what is taken ---------------------------------------------------------------------------------------------


def address_document(source: Cloud, address: str = ADDRESS) -> dict[str, Any]:
    found = exported(source, admin=True)["free_floating_ip"]
    return next(d for d in found if d["params"]["floating_ip_address"] == address)


@pytest.mark.parametrize("verb", [apply.ensure, apply.compare])
def test_the_address_of_a_floating_ip_that_says_something_else_is_a_conflict(verb: Any) -> None:
    document, destination = address_document(populated(admin=True)), infrastructure()
    public = by_name(destination, Network, "public")
    had = destination.seed(FloatingIP, floating_network_id=public, floating_ip_address=ADDRESS, description="theirs")
    before = copy.deepcopy(had)
    ended = verb("free_floating_ip", document, view(destination), {})
    assert (ended.outcome, destination.writes) == ("conflict", [])
    assert ended.reason == f"{ADDRESS} belongs to another floating IP here ({had['id']})"
    assert destination.rows[FloatingIP][had["id"]] == before


def test_an_administrator_learns_in_the_plan_who_has_the_address() -> None:
    document, destination = address_document(populated(admin=True)), infrastructure()
    theirs = destination.seed(
        Port, network_id=by_name(destination, Network, "public"), device_owner="network:floatingip",
        project_id=destination.operators["id"], fixed_ips=[{"subnet_id": "s", "ip_address": ADDRESS}],
    )  # fmt: skip
    ended = apply.compare("free_floating_ip", document, view(destination, admin=True), {})
    assert ended.outcome == "conflict"
    assert f"{ADDRESS} is in use here, by port {theirs['id']}" in str(ended.reason)


@pytest.mark.parametrize(
    ("admin", "address", "note"),
    [
        (True, ADDRESS, None),
        (True, "198.51.100.7", "the external network here does not have it"),
        (False, ADDRESS, "only an administrator can choose it"),
    ],
)
def test_the_plan_says_when_the_address_will_be_another_one(admin: bool, address: str, note: str | None) -> None:
    source, destination = infrastructure(), infrastructure()
    public = by_name(source, Network, "public")
    source.seed(FloatingIP, floating_network_id=public, floating_ip_address=address)
    document = address_document(source, address)
    planned = apply.compare("free_floating_ip", document, view(destination, admin), {})
    expected = [f"it gets another address than {address}: {note}"] if note else []
    assert (planned.outcome, planned.notes) == ("created", expected)
    apply.ensure("free_floating_ip", document, view(destination, admin), {})
    (made,) = destination.all(FloatingIP)
    assert (made["floating_ip_address"] == address) is (note is None)


def test_a_port_that_somebody_uses_by_now_is_not_taken_back() -> None:
    source = populated(admin=True)
    documents, destination = flat(exported(source, admin=True)), infrastructure()
    made = migrate(documents, view(destination, admin=True))
    document = next(d for d in documents if d["params"].get("name") == "vip2")
    id_ = made[f"free_port/{document['_info']['id']}"].destination_id
    destination.rows[Port][str(id_)].update(device_id="server-1", device_owner="compute:nova")
    with pytest.raises(EndedInError, match="in use by now"):
        apply.remove("free_port", document, view(destination, admin=True), {"destination_id": id_})
    assert id_ in destination.rows[Port]


def test_a_cloud_without_the_extensions_says_so() -> None:
    source = populated(admin=True)
    documents, destination = exported(source, admin=True), infrastructure()
    destination.rows[Extension].clear()
    ended = outcomes(migrate(flat(documents), view(destination, admin=True)))
    missing = {key.partition("/")[0]: why for key, (outcome, why) in ended.items() if outcome == "missing"}
    assert missing == {
        "free_trunk": "this cloud has no trunks (Neutron's extension 'trunk')",
        "port_forwarding": "this cloud forwards no ports (Neutron's extension 'floating-ip-port-forwarding')",
    }


def test_ports_go_in_and_out_of_a_trunk() -> None:
    source = populated(admin=True)
    documents, destination = exported(source, admin=True), infrastructure()
    migrate(flat(documents), view(destination, admin=True))
    (trunk,) = documents["free_trunk"]
    vip2 = {"name": "vip2", "project_name": "%auth%", "domain_name": "%auth%"}
    (inside,) = trunk["params"]["sub_ports"]
    for now in ([{**inside, "port_ref": vip2, "segmentation_id": 9}], []):
        trunk["params"]["sub_ports"] = now
        ended = apply.ensure("free_trunk", trunk, view(destination, admin=True), {})
        assert [change["field"] for change in ended.changes] == ["sub_ports"]
        row = next(row for row in destination.all(Trunk) if row["name"] == "free trunk")
        assert [sub["segmentation_id"] for sub in row["sub_ports"]] == [sub["segmentation_id"] for sub in now]
    assert [row["name"] for row in destination.all(Port) if row["device_owner"] == "trunk:subport"] == []


# -- after what ------------------------------------------------------------------------------------------------


def test_what_leads_to_a_port_comes_after_it_and_after_the_legs_of_routers_in_its_network() -> None:
    documents = flat(exported(populated(admin=True), admin=True))
    nodes = {node.key: node for node in build(documents)}
    leg, vip = (next(k for k, n in nodes.items() if n.kind.kind == kind and (kind != "free_port" or
                n.document["params"]["name"] == "vip")) for kind in ("router_interface", "free_port"))  # fmt: skip
    led = [n for n in nodes.values() if vip in n.links.values()]
    assert sorted(n.kind.kind for n in led) == ["free_floating_ip", "port_forwarding"]
    assert all(n.after[vip] is True and n.after[leg] is False for n in led)


@pytest.mark.parametrize(("mac", "planned"), [("fa:16:3e:99:00:01", "unchanged"), ("fa:16:3e:99:00:02", "updated")])
def test_a_plan_knows_a_servers_port_that_is_there_by_its_mac_address(mac: str, planned: str) -> None:
    source, destination = populated(admin=True), populated(admin=True)
    net = by_name(source, Network, "net")
    port = source.seed(Port, network_id=net, device_owner="compute:nova", device_id="s", mac_address="fa:16:3e:99:00:01",
                       fixed_ips=[{"ip_address": "10.0.0.57", "subnet_id": "x"}])  # fmt: skip
    made = forwarding(source, port["id"])
    (document,) = [d for d in documents_of("port_forwarding", view(source)) if d["_info"]["id"] == made["id"]]
    there = destination.seed(Port, network_id=by_name(destination, Network, "net"), device_owner="compute:nova",
                             device_id="d", mac_address=mac, fixed_ips=[{"ip_address": "10.0.0.57", "subnet_id": "y"}])  # fmt: skip
    forwarding(destination, there["id"])
    document["params"]["internal_port_ref"]["id"] = PENDING  # as in a plan
    outcome = apply.compare("port_forwarding", document, view(destination), {})
    assert outcome.outcome == planned, outcome


@pytest.mark.parametrize("workloads", [False, True], ids=["plan", "run"])
def test_a_port_forwarded_to_a_server_comes_after_the_server_and_leads_to_what_its_port_becomes(
    workloads: bool,
) -> None:
    source = with_servers()
    cow = next(row for row in source.all(Port) if row["fixed_ips"][0]["ip_address"] == "10.0.0.57")
    made = forwarding(source, cow["id"])
    look = view(source, admin=True)
    documents = [d for kind in ("network", "server", *KINDS) for d in documents_of(kind, look)]
    nodes = {node.key: node for node in build(documents, workloads=workloads, compared=not workloads)}
    node = nodes[f"port_forwarding/{made['id']}"]
    assert node.links["internal_port_ref"] == f"port/{cow['id']}"
    assert node.after[f"server/{cow['device_id']}"] is True
    assert (node.links["internal_port_ref"] in nodes) is workloads
