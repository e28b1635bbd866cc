"""Clouds that are busy, that break off, that answer too late: everything arrives, once."""

import pytest

from .inventory import inventory

pytestmark = pytest.mark.clouds


@pytest.fixture
def small(source):
    network = source.connect().network
    blue = network.create_network(name="blue")
    subnet = network.create_subnet(name="blue-v4", network_id=blue.id, ip_version=4, cidr="10.7.0.0/24")
    router = network.create_router(name="edge")
    network.add_interface_to_router(router, subnet=subnet.id)
    network.create_security_group(name="web")
    return source


def fault(destination, method, path, times, **action):
    user = destination.auth["auth"]["username"]
    return {"id": f"{path}-{user}", "method": method, "path": path, "user": user, "times": times, "action": action}


@pytest.mark.parametrize(
    ("method", "path", "times", "action"),
    [
        ("POST", "/v2.0/networks", 2, {"status": 503, "retry_after": 1}),
        ("POST", "/v2.0/subnets", 3, {"status": 429, "retry_after": 1}),
        ("GET", "/v2.0/routers", 2, {"status": 500}),
        ("POST", "/v2.0/networks", 1, {"drop": "before"}),
        ("POST", "/v2.0/networks", 1, {"drop": "after"}),
        ("POST", "/v2.0/routers", 1, {"drop": "after"}),
        ("POST", "/v2.0/security-groups", 1, {"status": 502}),
    ],
    ids=lambda value: str(value),
)
def test_everything_arrives_once(small, destination, sandbox, ferry, method, path, times, action):
    rule = fault(destination, method, path, times, **action)
    with sandbox.faults("dst", "neutron", [rule]):
        state = ferry.wait(ferry.migrate(small.entry, destination.entry), timeout=120)
    assert [(s["name"], s["reason"]) for s in state["steps"] if s["state"] != "done"] == []
    assert inventory(destination.connect()) == inventory(small.connect())
    assert any(r.fault for r in sandbox.access_log("dst", service="neutron")), "the fault never struck"


def test_what_a_lost_answer_made_is_undone_too(small, destination, sandbox, ferry):
    before = inventory(destination.connect())
    with sandbox.faults("dst", "neutron", [fault(destination, "POST", "/v2.0/networks", 1, drop="after")]):
        state = ferry.wait(ferry.migrate(small.entry, destination.entry), timeout=120)
    ferry.control(state["id"], "undo")
    ferry.wait_for(state["id"], "undone", timeout=60)
    assert inventory(destination.connect()) == before


def test_a_token_that_is_no_longer_valid_is_renewed(small, destination, ferry, sandbox):
    first = ferry.wait(ferry.migrate(small.entry, destination.entry, selection={"kinds": ["network"]}), timeout=60)
    with sandbox.faults("dst", "neutron", [fault(destination, "GET", "/v2.0/", 1, status=401)]):
        second = ferry.wait(ferry.migrate(small.entry, destination.entry), timeout=60)
    for state in (first, second):
        assert [(s["name"], s["reason"]) for s in state["steps"] if s["state"] != "done"] == []


def test_legs_that_are_removed_side_by_side_do_not_bring_back_each_others_routes(source, destination, sandbox, ferry):
    network = source.connect().network
    router, routes = network.create_router(name="edge"), []
    for number in range(3):
        net = network.create_network(name=f"net-{number}")
        cidr = f"10.{number}.0.0/24"
        subnet = network.create_subnet(name=f"v4-{number}", network_id=net.id, ip_version=4, cidr=cidr)
        network.add_interface_to_router(router, subnet=subnet.id)
        routes.append({"destination": f"172.31.{number}.0/24", "nexthop": f"10.{number}.0.7"})
    network.update_router(router, routes=routes)
    before = inventory(destination.connect())
    state = ferry.wait(ferry.migrate(source.entry, destination.entry), timeout=120)
    assert [(s["name"], s["reason"]) for s in state["steps"] if s["state"] != "done"] == []
    # so that each has read the routes before another one writes them
    slow = fault(destination, "GET", "/v2.0/routers/[^/]+$", 3, delay=2)
    with sandbox.faults("dst", "neutron", [slow]):
        ferry.control(state["id"], "undo")
        ferry.wait_for(state["id"], "undone", timeout=60)
    assert inventory(destination.connect()) == before
