"""Things of one name are many things: servers, subnets and networks that share theirs, between two real clouds."""

from __future__ import annotations

import os
from typing import Any

import pytest
from stackferry.client import Client

from .inventory import inventory

pytestmark = pytest.mark.clouds


def boot_image(tenant: Any) -> Any:
    return tenant.connect().image.create_image(
        name="boot", disk_format="raw", container_format="bare", data=b"x" * 512, min_disk=1
    )


def booted(tenant: Any, name: str, image: Any, subnet: Any, address: str, **more: Any) -> Any:
    """A server from an image, with this address."""
    c = tenant.connect()
    fixed = [{"subnet_id": subnet.id, "ip_address": address}]
    port = c.network.create_port(network_id=subnet.network_id, fixed_ips=fixed)
    flavor = c.compute.find_flavor("m1.tiny", ignore_missing=False)
    made = c.compute.create_server(
        name=name, flavor_id=flavor.id, image_id=image.id, networks=[{"port": port.id}], **more
    )
    return c.compute.wait_for_server(made, interval=0.3)


def addresses(server: Any) -> str:
    return " ".join(sorted(ip["addr"] for ips in server.addresses.values() for ip in ips))


def facts(tenant: Any) -> list[tuple[str, str, dict[str, str]]]:
    """(name, addresses, metadata) of the project's servers."""
    found = [(s.name, addresses(s), s.metadata) for s in tenant.connect().compute.servers()]
    return sorted(found, key=str)


def bad(state: Any) -> list[Any]:
    return [(s["key"], s["outcome"], s["reason"]) for s in state["steps"] if s["state"] in ("failed", "skipped")]


def kinds(state: Any, kind: str) -> list[str]:
    return [s["outcome"] for s in state["steps"] if s["kind"] == kind and s["action"] == "ensure" and not s["group"]]


def heads(state: Any) -> list[str]:
    return [s["outcome"] for s in state["steps"] if s["key"] == s["group"]]


def test_servers_networks_and_subnets_that_share_their_names_all_cross(source, destination, ferry):
    c = source.connect()
    image, nets = boot_image(source), [c.network.create_network(name="net") for _ in range(2)]
    subnets = [
        c.network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr=f"10.{n}.0.0/24")
        for n, net in enumerate(nets, 5)
    ]
    booted(source, "worker", image, subnets[0], "10.5.0.10", metadata={"role": "a"})
    booted(source, "worker", image, subnets[1], "10.6.0.10", metadata={"role": "b"})
    booted(source, "worker", image, subnets[1], "10.6.0.11", metadata={"role": "b"})
    before = facts(source)
    state = ferry.wait(ferry.migrate(source.entry, destination.entry), timeout=90)
    assert (state["phase"], bad(state)) == ("done", [])
    assert facts(destination) == before

    again = ferry.wait(ferry.migrate(source.entry, destination.entry), timeout=90)
    assert (bad(again), set(heads(again))) == ([], {"unchanged"})
    assert facts(destination) == before

    server = next(s for s in c.compute.servers() if addresses(s) == "10.6.0.11")
    c.compute.set_server_metadata(server, role="c", more="yes")
    changed = ferry.wait(ferry.migrate(source.entry, destination.entry), timeout=90)
    assert (bad(changed), sorted(heads(changed))) == ([], ["unchanged", "unchanged", "updated"])
    assert facts(destination) == facts(source)

    ferry.control(state["id"], "undo")
    ferry.wait_for(state["id"], "undone", timeout=120)
    assert facts(destination) == []


def test_an_import_beside_a_migration_of_the_same_makes_one_set_of_it(source, destination, ferry, stack):
    network = source.connect().network
    for name, cidr in (("blue", "10.5.0.0/24"), ("red", "10.6.0.0/24")):
        net = network.create_network(name=name)
        subnet = network.create_subnet(network_id=net.id, name=f"{name}-v4", ip_version=4, cidr=cidr)
        router = network.create_router(name=name)
        network.add_interface_to_router(router, subnet=subnet.id)
        group = network.create_security_group(name=name)
        network.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp")
    read = ferry.wait(ferry.migrate(source.entry, None, mode="export"), timeout=60)
    steps = ferry.show(read["id"], documents=True)["steps"]
    documents = [step["document"] for step in steps if step["action"] == "keep"]
    assert len(documents) > 8
    with Client(stack.uri()) as other:
        ids = [
            ferry.migrate(source.entry, destination.entry),
            other.migrate(None, destination.entry, documents=documents),
        ]
        states = [client.wait(id_, timeout=120) for client, id_ in zip((ferry, other), ids, strict=True)]
    assert [(state["phase"], bad(state)) for state in states] == [("done", [])] * 2
    assert inventory(destination.connect()) == inventory(source.connect())
    made = [
        s["key"] for state in states for s in state["steps"] if (s["outcome"], s["action"]) == ("created", "ensure")
    ]
    assert len(made) == len(set(made))


def test_two_projects_that_share_a_network_cross_at_the_same_time(new_tenant, ferry, stack):
    guests = [new_tenant(cloud) for cloud in ("src", "dst")]  # deleted first: their ports keep the networks
    owners = [new_tenant(cloud, admin=True) for cloud in ("src", "dst")]
    name = f"shared-{owners[0].name}"
    network = owners[0].connect().network
    net = network.create_network(name=name, is_shared=True)
    subnet = network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr="10.5.0.0/24")
    leg = guests[0].connect().network.create_port(network_id=net.id, name="leg")
    with Client(stack.uri()) as other:
        ids = [client.migrate(*(t.entry for t in pair)) for client, pair in ((other, guests), (ferry, owners))]
        states = [client.wait(id_, timeout=120) for client, id_ in zip((other, ferry), ids, strict=True)]
    assert (states[1]["phase"], bad(states[1])) == ("done", [])
    if bad(states[0]):  # the network was not there yet: that's said, and another round finds it
        assert {outcome for _, outcome, _ in bad(states[0])} == {"missing"}, bad(states[0])
        ferry.control(ids[0], "retry")
        states[0] = ferry.wait_for(ids[0], "done", timeout=60)
    assert bad(states[0]) == []
    there = owners[1].connect().network
    (arrived,) = there.networks(name=name)
    (port,) = there.ports(network_id=arrived.id, device_owner="")
    assert (port.project_id, port.name) == (guests[1].connect().current_project_id, "leg")
    if port.fixed_ips[0]["ip_address"] != leg.fixed_ips[0]["ip_address"]:
        (step,) = [s for s in states[0]["steps"] if (s["kind"], s["name"]) == ("free_port", "leg")]
        assert "fixed_ips" in str(step["notes"])
    assert [s.cidr for s in there.subnets(network_id=arrived.id)] == [subnet.cidr]


TIMES = int(os.environ.get("TIMES") or 2)


@pytest.mark.parametrize("number", range(TIMES))
def test_two_that_move_the_same_at_the_same_instant_make_one_set_of_it(source, destination, ferry, stack, number):
    c = source.connect()
    net = c.network.create_network(name="net")
    subnet = c.network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr="10.5.0.0/24")
    router = c.network.create_router(name="edge")
    c.network.add_interface_to_router(router, subnet=subnet.id)
    group = c.network.create_security_group(name="web")
    c.network.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp")
    image = boot_image(source)
    for name, address in (("a", "10.5.0.10"), ("b", "10.5.0.11")):
        booted(source, name, image, subnet, address)
    with Client(stack.uri()) as other:
        ids = [client.migrate(source.entry, destination.entry) for client in (ferry, other)]
        states = [client.wait(id_, timeout=120) for client, id_ in zip((ferry, other), ids, strict=True)]
    assert [(state["phase"], bad(state)) for state in states] == [("done", [])] * 2
    there, here = (
        {thing: many for thing, many in inventory(connection).items() if "compute:nova" not in thing}
        for connection in (destination.connect(), c)
    )  # ports of servers are told with the servers
    assert there == here
    assert facts(destination) == facts(source)
    made = [
        s["key"] for state in states for s in state["steps"] if s["outcome"] == "created" and s["action"] == "ensure"
    ]
    assert len(made) == len(set(made))  # each thing was made by one of them
