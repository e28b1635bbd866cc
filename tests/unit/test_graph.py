"""The graph of steps: what comes before what, which document a reference means, and what is wrong from the start."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stackferry.resources import BY_TYPE, KINDS, Kind
from stackferry.resources.fields import Ref, Text
from stackferry.resources.server_fields import with_group
from stackferry_coordinator.plan.node import Node
from stackferry_coordinator.plan.step import Planned
from stackferry_coordinator.plan.subjects import whole

from ..graphs import build

Document = dict[str, Any]


def ref(name: str | None) -> dict[str, Any]:
    return {"name": name, "project_name": "%auth%", "domain_name": "%auth%"}


def document(kind: str, id_: str | None, info: dict[str, Any] | None = None, **params: Any) -> Document:
    return {"type": KINDS[kind].type, "_info": {**({"id": id_} if id_ else {}), **(info or {})}, "params": params}


def network(id_: str, name: str = "net", **info: Any) -> Document:
    return document("network", id_, info, name=name)


def subnet(id_: str, net: str = "net", source_id: str | None = None, name: str = "s") -> Document:
    return document("subnet", id_, {"network_id": source_id}, name=name, network_ref=ref(net))


def rule(id_: str, group: str = "g", **params: Any) -> Document:
    said = {"direction": "egress", "ether_type": "IPv4", "security_group_ref": ref(group), **params}
    return document("security_group_rule", id_, **said)


def interface(id_: str, router: str = "r", net: str = "net", sub: str = "s") -> Document:
    fixed = [{"ip_address": "10.0.0.1", "subnet_ref": ref(sub)}]
    return document("router_interface", id_, device_ref=ref(router), network_ref=ref(net), fixed_ips_refs=fixed)


def built(*documents: Document) -> dict[str, Node]:
    return {node.key: node for node in build(list(documents))}


PROJECT = [
    interface("i"),
    rule("ru"),
    subnet("s"),
    document("router", "r", name="r", routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}]),
    document("security_group", "g", name="g"),
    network("n"),
    document("keypair", "k", name="k"),
]


@settings(max_examples=30, deadline=None)
@given(st.permutations(PROJECT))
def test_prerequisites_come_first_whatever_the_order_of_documents(documents: list[Document]) -> None:
    nodes = build(documents)
    places = {node.key: number for number, node in enumerate(nodes)}
    assert all(places[before] < places[node.key] for node in nodes for before in node.after)
    assert {key: set(node.after) for key, node in built(*documents).items()} == {
        "network/n": set(),
        "subnet/s": {"network/n"},
        "router/r": set(),
        "router_interface/i": {"network/n", "subnet/s", "router/r"},
        "router/r/finish": {"router/r", "router_interface/i"},
        "security_group/g": set(),
        "security_group_rule/ru": {"security_group/g"},
        "keypair/k": set(),
    }


def test_links_name_the_paths_that_they_stand_at() -> None:
    assert built(*PROJECT)["router_interface/i"].links == {
        "device_ref": "router/r",
        "network_ref": "network/n",
        "fixed_ips_refs.0.subnet_ref": "subnet/s",
    }


def test_a_link_is_a_must_and_a_late_step_after_interfaces_is_not() -> None:
    nodes = built(*PROJECT)
    assert nodes["subnet/s"].after == {"network/n": True}
    assert nodes["router/r/finish"].after == {"router/r": True, "router_interface/i": False}


def test_branches_that_need_nothing_of_each_other_are_independent() -> None:
    nodes = built(network("1", "a"), network("2", "b"), subnet("s1", "a"), subnet("s2", "b"))
    assert (nodes["subnet/s1"].after, nodes["subnet/s2"].after) == ({"network/1": True}, {"network/2": True})


def test_a_reference_to_no_document_is_left_to_the_destination() -> None:
    (node,) = build([subnet("s", "public", "elsewhere")])
    assert (node.after, node.links, node.problem) == ({}, {}, None)


def test_types_that_are_not_imported_make_no_steps() -> None:
    assert build([{"type": "openstack.compute.Flavor", "params": {"name": "f"}, "_info": {}}]) == []
    assert build([]) == []


def test_documents_without_ids_are_steps_of_their_own() -> None:
    nodes = build([document("network", None, name="a"), document("network", None, name="b")])
    assert len({node.key for node in nodes}) == 2
    assert [node.source_id for node in nodes] == [None, None]


def test_a_document_that_comes_twice_is_one_step_and_the_last_one_counts() -> None:
    (node,) = build([network("n", "old"), network("n", "new")])
    assert node.document["params"]["name"] == "new"


# -- which document a reference means ------------------------------------------------------------------------


def test_the_sources_id_decides_between_twins() -> None:
    nodes = built(network("1"), network("2"), subnet("s1", source_id="2"), subnet("s2", source_id="1"))
    assert nodes["subnet/s1"].links == {"network_ref": "network/2"}
    assert nodes["subnet/s2"].links == {"network_ref": "network/1"}


def test_the_id_of_a_path_decides_inside_of_lists() -> None:
    leg = interface("i")
    leg["_info"]["source_ids"] = {"fixed_ips_refs.0.subnet_ref": "s2", "network_ref": "n"}
    nodes = built(network("n"), subnet("s1"), subnet("s2"), document("router", "r", name="r"), leg)
    assert nodes["router_interface/i"].links["fixed_ips_refs.0.subnet_ref"] == "subnet/s2"


def test_a_renamed_document_keeps_those_that_refer_to_it() -> None:
    nodes = built(network("n", "renamed by hand"), subnet("s", "net", source_id="n"))
    assert nodes["subnet/s"].links == {"network_ref": "network/n"}


def test_a_reference_that_was_changed_by_hand_follows_its_name() -> None:
    nodes = built(network("1", "a"), network("2", "b"), subnet("s", "b", source_id="1"))
    assert nodes["subnet/s"].links == {"network_ref": "network/2"}


def test_twins_and_no_id_are_a_problem_that_is_named() -> None:
    node = built(network("1"), network("2"), subnet("s"))["subnet/s"]
    assert node.links == {}
    assert node.problem is not None
    assert node.problem.startswith("network_ref: 2 documents of kind network are named 'net'")


def test_a_rule_that_allows_its_own_group_waits_for_it_once() -> None:
    nodes = built(document("security_group", "g", name="g"), rule("ru", direction="ingress", remote_group_ref=ref("g")))
    assert nodes["security_group_rule/ru"].after == {"security_group/g": True}
    assert nodes["security_group_rule/ru"].links == {
        "security_group_ref": "security_group/g", "remote_group_ref": "security_group/g",
    }  # fmt: skip


def server(id_: str, name: str = "w", **source_ids: str) -> Document:
    """A server with a port in subnet ``s`` of network ``net``."""
    fixed = [{"ip_address": "10.0.0.9", "subnet_ref": ref("s")}]
    port = {"type": "openstack.network.ServerPort", "_info": {"id": f"p{id_}", "source_ids": source_ids},
            "params": {"network_ref": ref("net"), "fixed_ips_refs": fixed}}  # fmt: skip
    found = document("server", id_, {"status": "SHUTOFF"}, name=name, flavor_ref=ref("f"), ports=[port], volumes=[])
    return {**found, "_migration_params": {}}


def workload(*documents: Document) -> dict[str, Node]:
    return {node.key: node for node in build(list(documents), workloads=True)}


def test_the_id_of_a_nested_documents_path_decides_too() -> None:
    by_id = {"network_ref": "2", "fixed_ips_refs.0.subnet_ref": "s2"}
    twins = [network("1"), network("2"), subnet("s1", source_id="1"), subnet("s2", source_id="2")]
    nodes = workload(*twins, server("a", **by_id))
    wanted = {"network_ref": "network/2", "fixed_ips_refs.0.subnet_ref": "subnet/s2"}
    assert nodes["port/pa"].links == wanted
    assert nodes["server/a/check"].problem is None
    assert nodes["server/a/check"].links == {f"ports.0.params.{path}": key for path, key in wanted.items()}


def test_a_subnets_name_is_looked_for_in_the_network_that_is_named_beside_it() -> None:
    """As in files that were written by hand, without ids of the source."""
    nodes = workload(network("1", "other"), network("2"), subnet("s1", "other"), subnet("s2"), server("a"))
    assert nodes["port/pa"].links == {"network_ref": "network/2", "fixed_ips_refs.0.subnet_ref": "subnet/s2"}
    nodes = workload(network("1", "other"), network("2"), subnet("s1", "other"), server("a"))
    assert nodes["port/pa"].links == {"network_ref": "network/2"}


@pytest.mark.parametrize("project", [None, "another"])
def test_what_belongs_to_another_project_is_no_document_of_this_one(project: str | None) -> None:
    foreign = {"name": "default", "project_name": project, "domain_name": project and "Default"}
    rule_ = rule("ru", "default", direction="ingress", remote_group_ref=foreign)
    rule_["_info"]["source_ids"] = {"security_group_ref": "g", "remote_group_ref": "a strangers"}
    node = built(document("security_group", "g", name="default"), rule_)["security_group_rule/ru"]
    assert node.links == {"security_group_ref": "security_group/g"}
    assert node.planned.foreign == (() if project else ("remote_group_ref",))


def grouped(group: str) -> dict[str, Node]:
    """A plan with a server whose scheduler hints name a group, as OS Migrate writes them, and a group ``apart``."""
    found = server("a")
    found["params"]["scheduler_hints"] = {"group": group, "different_host": ["b"], "query": "x"}
    return workload(document("server_group", "g", name="apart", policy="anti-affinity"), with_group(found))


@pytest.mark.parametrize("group", ["g", "apart"])
def test_the_group_in_scheduler_hints_is_a_link_by_id_or_by_name(group: str) -> None:
    assert grouped(group)["server/a/check"].links["server_group_ref"] == "server_group/g"


def test_a_group_that_is_no_document_is_left_to_the_destination() -> None:
    node = grouped("f7a1")["server/a/check"]
    assert "server_group_ref" not in node.links
    assert node.document["params"]["server_group_ref"]["name"] == "f7a1"


# -- twins ---------------------------------------------------------------------------------------------------


def test_twins_follow_one_another_in_the_order_of_documents_and_know_each_other() -> None:
    nodes = built(network("1"), network("2"), network("3"), network("4", "other"))
    assert [nodes[f"network/{n}"].after for n in "1234"] == [{}, {"network/1": False}, {"network/2": False}, {}]
    assert nodes["network/2"].planned == Planned(twins=3, twin_keys=("network/1", "network/3"))
    assert nodes["network/4"].planned == Planned()


@pytest.mark.parametrize("kind", ["server_group", "free_trunk", "security_group", "router", "address_group", "image"])
def test_things_of_one_name_are_twins_whatever_kind_they_are(kind: str) -> None:
    nodes = built(*(document(kind, str(n), name="web") for n in range(3)))
    assert [nodes[f"{kind}/{n}"].planned.twins for n in range(3)] == [3, 3, 3]
    assert nodes[f"{kind}/2"].after == {f"{kind}/1": False}


@pytest.mark.parametrize("meant", ["1", "2"])
def test_a_server_is_in_that_of_two_groups_of_one_name_whose_id_it_says(meant: str) -> None:
    groups = [document("server_group", n, name="spread") for n in ("1", "2")]
    info = {"source_ids": {"server_group_ref": meant}}
    one = document("server", "s", info, name="s", server_group_ref=ref("spread"), flavor_ref=ref("m1"))
    assert built(*groups, one)["server/s"].links["server_group_ref"] == f"server_group/{meant}"


def test_nameless_documents_are_twins() -> None:
    nodes = built(document("network", "1", name=""), document("network", "2", name=None), document("network", "3"))
    assert nodes["network/3"].planned.twins == 3


def test_names_of_subnets_are_their_networks_own() -> None:
    nodes = built(network("1", "a"), network("2", "b"), subnet("s1", "a"), subnet("s2", "b"), subnet("s3", "b"))
    assert nodes["subnet/s1"].planned == Planned()
    assert nodes["subnet/s2"].planned.twin_keys == ("subnet/s3",)


def test_names_of_subnets_are_their_networks_own_when_those_are_not_moved() -> None:
    nodes = built(subnet("s1", "a", "1"), subnet("s2", "b", "2"))
    assert nodes["subnet/s1"].planned == nodes["subnet/s2"].planned == Planned()


def test_servers_of_one_name_are_checked_one_after_the_other_and_moved_side_by_side() -> None:
    nodes = workload(server("a"), server("b"), server("c"), server("d", "other"))
    checks = [nodes[f"server/{id_}/check"] for id_ in "abcd"]
    assert [node.after for node in checks] == [{}, {"server/a/check": False}, {"server/b/check": False}, {}]
    assert checks[1].planned == Planned(twins=3, twin_keys=("server/a", "server/c"))
    assert not any("server/a" in key for key in nodes["server/b"].after)


def test_kinds_without_names_have_no_twins() -> None:
    nodes = built(document("security_group", "g", name="g"), rule("1"), rule("2", ether_type="IPv6"))
    assert nodes["security_group_rule/2"].planned == Planned()


# -- late steps and automatic rules --------------------------------------------------------------------------


def test_only_routers_with_routes_have_a_second_step() -> None:
    routers = [document("router", str(n), name=str(n), routes=routes) for n, routes in enumerate([None, []])]
    assert [node.action for node in build([*routers, document("router", "x", name="x")])] == ["ensure"] * 3


def test_the_second_step_waits_for_the_routers_own_interfaces_only() -> None:
    routes = [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}]
    routers = [document("router", n, name=n, routes=routes) for n in ("r", "q")]
    nodes = built(*routers, network("n"), subnet("s"), interface("i", "r"), interface("j", "q"))
    assert nodes["router/q/finish"].after == {"router/q": True, "router_interface/j": False}
    assert nodes["router/q/finish"].action == "finish"


GROUPS = [document("security_group", "g", name="g"), document("security_group", "h", name="h")]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({}, ["egress IPv4"]),
        ({"ether_type": "IPv6"}, ["egress IPv6"]),
        ({"direction": "ingress", "remote_group_ref": ref("g")}, ["ingress IPv4"]),
        ({"direction": "ingress"}, []),  # from anywhere is nobody's default
        ({"direction": "ingress", "remote_group_ref": ref("h")}, []),
        ({"direction": "ingress", "remote_group_ref": ref("elsewhere")}, []),
        ({"remote_group_ref": ref("g")}, []),
        ({"protocol": "tcp"}, []),
        ({"port_range_min": 1}, []),
        ({"remote_ip_prefix": "10.0.0.0/8"}, []),
        ({"remote_address_group_ref": ref("a")}, []),
    ],
)
def test_a_group_keeps_those_of_neutrons_own_rules_that_the_source_has(said: dict[str, Any], kept: list[str]) -> None:
    nodes = built(*GROUPS, rule("1", **said))
    assert nodes["security_group/g"].planned == Planned(automatic_rules=tuple(kept))
    assert nodes["security_group/h"].planned == Planned()  # the documents hold no rule of it: nothing is known


def pruned(*documents: Document, **how: bool) -> dict[str, Any]:
    nodes = build([*GROUPS, *documents], **how)
    return {node.key: node.planned.prune for node in nodes if node.kind.kind == "security_group"}


def test_rules_are_taken_from_groups_that_are_there_only_where_the_documents_are_a_clouds_own() -> None:
    by_hand, ours = rule("1"), rule("2")
    ours["_info"]["source_ids"] = {"security_group_ref": "g"}
    assert pruned(by_hand) == {"security_group/g": False, "security_group/h": False}
    assert pruned(ours) == {"security_group/g": True, "security_group/h": False}
    assert pruned(by_hand, prune=True) == {"security_group/g": True, "security_group/h": False}
    assert pruned(ours, all_rules=True) == {"security_group/g": True, "security_group/h": True}


def test_a_group_that_had_no_rules_at_the_source_gets_none() -> None:
    """Its export says so, or it would arrive with Neutron's own: everything may go out."""
    (locked,) = build([document("security_group", "g", {"rules": 0}, name="g")])
    assert locked.planned == Planned(automatic_rules=(), prune=True)
    (unknown,) = build([document("security_group", "g", {"rules": 2}, name="g")])
    assert unknown.planned == Planned()


def test_nothing_is_said_of_automatic_rules_when_no_rules_are_moved() -> None:
    assert built(*GROUPS)["security_group/g"].planned.automatic_rules is None


# -- circles -------------------------------------------------------------------------------------------------


@pytest.fixture
def loop() -> Iterator[type[Kind]]:
    """A kind that refers to its own kind, for as long as a test lasts."""

    class Loop(Kind):
        type: ClassVar[str] = "test.Loop"  # type: ignore[misc]
        file = "loops"
        name = Text("name")
        peer_ref = Ref("loop", "another", attribute="peer_id")

    yield Loop
    del KINDS["loop"], BY_TYPE["test.Loop"]


def circle(*names: str) -> list[Document]:
    pairs = itertools.pairwise([*names, names[0]])
    return [document("loop", name, name=name, peer_ref=ref(peer)) for name, peer in pairs]


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_a_circle_is_named_and_the_rest_is_in_order(loop: type[Kind], names: str) -> None:
    bystander = document("loop", "z", name="z", peer_ref=ref("a"))
    nodes = built(bystander, *circle(*names), network("n"), subnet("s"))
    assert {key for key, node in nodes.items() if node.problem} == {f"loop/{name}" for name in names}
    assert "in a circle: " in str(nodes["loop/a"].problem)
    assert list(nodes).index("loop/z") > list(nodes).index("loop/a")
    assert nodes["subnet/s"].after == {"network/n": True}


def test_two_circles_are_both_named(loop: type[Kind]) -> None:
    nodes = built(*circle("a", "b"), *circle("c", "d"))
    assert all(node.problem for node in nodes.values())


def test_a_document_that_refers_to_itself_needs_nobody(loop: type[Kind]) -> None:
    (node,) = build(circle("a"))
    assert (node.after, node.problem) == ({}, None)


def behind_a_router() -> list[Document]:
    """A server with a floating IP, a router's leg in its network, and one in another network."""
    port = document("port", "p", network_ref=ref("net"), fixed_ips_refs=[{"ip_address": "10.0.0.9"}])
    address = document("floating_ip", "f", floating_network_ref=ref("ext"), fixed_ip_address="10.0.0.9")
    server = document("server", "a", {"status": "ACTIVE"}, name="a", flavor_ref=ref("m1"), ports=[port],
                      floating_ips=[address], image_ref=ref("base"))  # fmt: skip
    router = document("router", "r", name="r", external_gateway_refinfo={"network_ref": ref("ext")})
    others = [network("n2", "other"), subnet("s2", "other", name="s2"), interface("i2", net="other", sub="s2")]
    return [{**server, "_migration_params": {}}, router, network("n"), subnet("s"), interface("i"), *others]


def test_a_floating_ip_and_the_look_whether_it_can_be_come_after_the_leg_of_its_network() -> None:
    nodes = {node.key: node for node in build([whole(d) for d in behind_a_router()], workloads=True)}
    for key in ("floating_ip/f", "server/a/check"):
        assert nodes[key].after.get("router_interface/i") is False, key
        assert "router_interface/i2" not in nodes[key].after
    assert nodes["server/a/check"].planned.led == ()


@pytest.mark.parametrize(("gateway", "led"), [("ext", ["f"]), ("elsewhere", None)])
def test_a_plan_knows_the_ways_out_that_it_would_make(gateway: str, led: list[str] | None) -> None:
    documents = behind_a_router()
    documents[1]["params"]["external_gateway_refinfo"]["network_ref"]["name"] = gateway
    nodes = {node.key: node for node in build(documents, compared=True)}
    assert nodes["server/a"].planned.led == tuple(led or ())
    assert nodes["server/a"].after["router_interface/i"] is False
    without = build([d for d in documents if d["type"] != KINDS["router_interface"].type], compared=True)
    assert all(node.planned.led == () for node in without)


@pytest.mark.parametrize("how", [{"workloads": True}, {"compared": True}])
def test_a_server_comes_after_its_key_pair(how: dict[str, bool]) -> None:
    server = document(
        "server", "a", {"status": "ACTIVE"}, name="a", flavor_ref=ref("m1"), key_name="k", image_ref=ref("i")
    )
    nodes = {
        node.key: node
        for node in build([{**server, "_migration_params": {}}, document("keypair", "k", name="k")], **how)
    }
    node = nodes["server/a" if "compared" in how else "server/a/check"]
    assert (node.links["key_name"], node.after["keypair/k"]) == ("keypair/k", True)
