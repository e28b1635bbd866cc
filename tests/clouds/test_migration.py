"""A realistic tenant crosses between two real clouds, and nothing changes the second time."""

import json
import socket
import time
from collections import Counter

import pytest
from stackferry.messages import CheckCloud, DescribeHosts, DescribeMigrations, DescribeWorkers
from stackferry_sandbox.seed import seed_tenant

from ..unit.coordinator.test_recorded import folded
from .answers import wrong
from .recording import recording
from .test_workloads import left_over, sha256

pytestmark = pytest.mark.clouds
WRITES = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def seeded(source, sandbox):
    seed_tenant(source.connect(), sandbox.connect("src-admin"), disks=sandbox.disks("src"))
    return source


def outcomes(state):
    return Counter(step["outcome"] for step in state["steps"] if step["kind"] and step["action"] != "room")


def bad(state):
    return [
        (s["kind"], s["name"], s["outcome"], s["reason"]) for s in state["steps"] if s["state"] in ("failed", "skipped")
    ]


def writes(sandbox, cloud, project_id, since):
    return [
        r
        for r in sandbox.access_log(cloud, since=since)
        if r.method in WRITES and r.project_id == project_id and "stackferry" in r.agent
    ]


def test_a_tenant_crosses_a_second_run_writes_nothing_and_undo_leaves_nothing(
    seeded, destination, hosts, ferry, sandbox
):
    before = described(destination.connect().network, destination)
    state = ferry.wait(ferry.migrate(seeded.entry, destination.entry, labels={"team": "web"}), timeout=240)
    for question, about in (
        (DescribeMigrations, {}),
        (DescribeMigrations, {"migration": state["id"], "documents": True}),
        (DescribeHosts, {}),
        (DescribeWorkers, {}),
        (CheckCloud, {"place": {"cloud": seeded.entry}, "side": "source"}),
    ):
        for content in ferry._ask(question, about):
            assert wrong(question, content) == []
    assert state["phase"] == "done"
    assert bad(state) == []
    assert outcomes(state)["created"] > 80
    disks = [s for s in state["steps"] if (s["kind"], s["action"]) == ("volume", "ensure")]
    assert len(disks) == 5
    for disk in disks:
        assert sha256(destination, disk["destination_id"]) == sha256(seeded, disk["source_id"]), disk["name"]
    assert left_over(seeded) == left_over(destination) == []

    since = time.time()
    again = ferry.wait(ferry.migrate(seeded.entry, destination.entry), timeout=240)
    assert bad(again) == []
    assert set(outcomes(again)) == {"unchanged"}
    project_id = destination.connect().current_project_id
    assert writes(sandbox, "dst", project_id, since) == []

    source_net, copy_net = seeded.connect().network, destination.connect().network
    assert described(copy_net, destination) == described(source_net, seeded)

    ferry.control(state["id"], "undo")
    undone = ferry.wait_for(state["id"], "undone", timeout=240)
    assert [s["key"] for s in undone["steps"] if "/undo/" in s["key"] and s["state"] in ("failed", "skipped")] == []
    left = described(copy_net, destination)
    assert {kind: left[kind] for kind in left if kind != "rules"} == {k: v for k, v in before.items() if k != "rules"}
    assert [image.name for image in destination.connect().image.images(owner=project_id)] == ["conversion"]
    assert [server.name for server in destination.connect().compute.servers()] == ["conversion"]
    assert list(destination.connect().block_storage.volumes()) == []


def test_the_log_of_a_migration_folds_to_its_state(source, destination, ferry, stack):
    source.connect().network.create_network(name="blue")
    planned = ferry.wait(ferry.migrate(source.entry, destination.entry, mode="plan"), timeout=60)
    ferry.control(planned["id"], "start")
    ferry.wait_for(planned["id"], "done", timeout=60)
    recorded = recording(stack.folder / "stackferry.db", planned["id"])
    assert folded(json.loads(json.dumps(recorded))) == (recorded["head"], recorded["steps"])


def described(network, tenant):
    """What a project has, without ids: by names, addresses and rules."""
    project = tenant.connect().current_project_id
    nets = {n.id: n for n in network.networks(project_id=project)}
    subnets = list(network.subnets(project_id=project))
    routers = {r.id: r for r in network.routers(project_id=project)}
    groups = {g.id: g for g in network.security_groups(project_id=project)}
    address_groups = {g.id: g for g in network.address_groups(project_id=project)}
    legs = [p for p in network.ports(project_id=project) if p.device_owner.startswith("network:router_interface")]
    by_id = {s.id: s for s in subnets}
    return {
        "networks": sorted((n.name, n.description, n.mtu, n.is_port_security_enabled, tuple(sorted(n.tags))) for n in nets.values()),
        "subnets": sorted(
            (nets[s.network_id].name, s.name, s.cidr, s.gateway_ip or "", tuple(s.dns_nameservers), str(s.allocation_pools),
             str(sorted(map(str, s.host_routes))), s.is_dhcp_enabled, s.ipv6_address_mode or "")
            for s in subnets
        ),
        "routers": sorted((r.name, bool(r.external_gateway_info), str(sorted(map(str, r.routes)))) for r in routers.values()),
        "legs": sorted(
            (routers[p.device_id].name, tuple(sorted(
                "auto" if by_id[ip["subnet_id"]].ipv6_address_mode == "slaac" else ip["ip_address"] for ip in p.fixed_ips)))
            for p in legs
        ),
        "groups": sorted((g.name, g.description, g.stateful) for g in groups.values()),
        "rules": sorted(
            (groups[r.security_group_id].name, r.direction, r.ether_type, r.protocol or "", str(r.port_range_min),
             str(r.port_range_max), r.remote_ip_prefix or "",
             groups[r.remote_group_id].name if r.remote_group_id else "",
             address_groups[r.remote_address_group_id].name if r.remote_address_group_id else "")
            for r in network.security_group_rules(project_id=project)
        ),
        "address_groups": sorted((g.name, tuple(sorted(g.addresses))) for g in address_groups.values()),
    }  # fmt: skip


def test_plan_start_and_undo(source, destination, ferry):
    network = source.connect().network
    blue = network.create_network(name="blue")
    network.create_subnet(name="blue-v4", network_id=blue.id, ip_version=4, cidr="10.7.0.0/24")
    selection = {"kinds": ["network", "subnet"]}

    planned = ferry.wait(ferry.migrate(source.entry, destination.entry, mode="plan", selection=selection), timeout=60)
    assert planned["phase"] == "planned"
    assert {(s["kind"], s["outcome"]) for s in planned["steps"] if s["kind"]} == {
        ("network", "created"),
        ("subnet", "created"),
        ("quota", "done"),  # both together fit
    }
    mine = destination.connect().current_project_id
    assert list(destination.connect().network.networks(project_id=mine)) == []

    ferry.control(planned["id"], "start")
    done = ferry.wait_for(planned["id"], "done", timeout=60)
    assert bad(done) == []
    assert [n.name for n in destination.connect().network.networks(project_id=mine)] == ["blue"]

    ferry.control(planned["id"], "undo")
    assert ferry.wait_for(planned["id"], "undone", timeout=60)["phase"] == "undone"
    assert list(destination.connect().network.networks(project_id=mine)) == []


def test_a_conflict_stops_only_what_depends_on_it(source, destination, ferry):
    for tenant, cidr in ((source, "10.7.0.0/24"), (destination, "10.8.0.0/24")):
        network = tenant.connect().network
        blue = network.create_network(name="blue")
        network.create_subnet(name="blue-v4", network_id=blue.id, ip_version=4, cidr=cidr)
    green = source.connect().network.create_network(name="green")
    source.connect().network.create_subnet(name="green-v4", network_id=green.id, ip_version=4, cidr="10.9.0.0/24")

    kinds = {"kinds": ["network", "subnet"]}
    state = ferry.wait(ferry.migrate(source.entry, destination.entry, selection=kinds), timeout=60)
    by_name = {s["name"]: s for s in state["steps"]}
    assert by_name["blue-v4"]["outcome"] == "conflict"
    assert "another cidr" in by_name["blue-v4"]["reason"]
    assert by_name["green-v4"]["outcome"] == "created"


def test_a_client_whose_connection_was_lost_goes_on(source, destination, ferry):
    source.connect().network.create_network(name="blue")
    migration = ferry.migrate(source.entry, destination.entry, selection={"kinds": ["network"]})
    for _ in range(2):  # as the broker does with who hasn't been heard of for long
        ferry._listener.connection.connection.transport.sock.shutdown(socket.SHUT_RDWR)
        assert ferry.wait(migration, timeout=60)["phase"] == "done"
    assert migration in {known["id"] for known in ferry.migrations()}
