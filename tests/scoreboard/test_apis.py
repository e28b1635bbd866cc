"""R6, R12: clouds that fail at each verb of each kind; and people who change their minds at each step."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from stackferry.client import Client
from stackferry_cli.local.processes import until
from stackferry_sandbox.seed import seed_tenant

from ..clouds.inventory import inventory
from .board import Row, scaled, scored
from .world import PATIENCE, Crossing, World

pytestmark = [pytest.mark.scoreboard, pytest.mark.clouds, pytest.mark.timeout(14_400)]
HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"
#: what a cloud does instead of an answer
FAULTS: dict[str, dict[str, Any]] = {
    "401": {"status": 401},
    "403": {"status": 403, "body": {"NeutronError": {"message": "policy", "type": "x", "detail": ""}}},
    "404": {"status": 404, "body": {"message": "not here"}},
    "409": {"status": 409, "body": {"message": "conflict"}},
    "413": {"status": 413, "retry_after": 1},
    "429": {"status": 429, "retry_after": 1},
    "500": {"status": 500},
    "500 after": {"status": 500, "performed": True},
    "502 html": {"status": 502, "body": HTML},
    "503": {"status": 503, "retry_after": 1},
    "200 html": {"status": 200, "body": HTML},
    "cut json": {"status": 200, "body": '{"networks": [{"id": "'},
    "huge": {"status": 200, "body": "[" + "0," * 6_000_000 + "0]"},
    "drop before": {"drop": "before"},
    "drop after": {"drop": "after"},
    "slow": {"delay": 8},
}
#: the API's paths of what a tenant has, by service
PATHS = {
    "neutron": ("networks", "subnets", "routers", "ports", "security-groups", "security-group-rules", "address-groups",
                "floatingips", "trunks"),
    "nova": ("os-keypairs", "os-server-groups"),
    "glance": ("images",),
}  # fmt: skip
VERBS = ("GET", "POST", "PUT")
ROUNDS = 40
KINDS = ["network", "subnet", "router", "router_interface", "security_group", "security_group_rule", "address_group",
         "keypair", "server_group", "image", "free_port", "free_floating_ip"]  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_r6_a_cloud_that_fails_at_each_verb_of_each_kind(
    world: World, sandbox: Any, new_tenant: Any, name: str
) -> None:
    """Once for each path and verb; what it can't stand it says, and the next run brings the rest: nothing twice."""
    action = FAULTS[name]
    with scored(f"R6 {name}", f"destination answers {name} once, to each verb of each kind") as row:
        source, destination = new_tenant("src"), new_tenant("dst")
        seed_tenant(source.connect(), sandbox.connect("src-admin"))
        user = destination.auth["auth"]["username"]
        rules = {
            service: [
                {"id": f"{name}-{verb}-{path}-{user}", "method": verb, "path": f"/{path}(/[^/]*){{0,2}}$", "user": user,
                 "times": 1, "action": action}
                for path in paths for verb in VERBS
            ]
            for service, paths in PATHS.items()
        }  # fmt: skip
        with sandbox.faults("dst", "neutron", rules["neutron"]), sandbox.faults("dst", "nova", rules["nova"]), \
                sandbox.faults("dst", "glance", rules["glance"]):  # fmt: skip
            told, silent = 0, []
            for _ in range(ROUNDS):  # a fault that can't be stood ends a run before it meets the others
                before, state = row.attempted, _run(world, row, source, destination)
                bad = [s for s in state["steps"] if s["state"] in ("failed", "skipped")]
                told, silent = told + len(bad), silent + [s["key"] for s in bad if not s["reason"]]
                row.attempted = sum(
                    1 for service in PATHS for r in sandbox.access_log("dst", service=service)
                    if r.fault and r.fault.startswith(f"{name}-") and r.fault.endswith(user)
                )  # fmt: skip
                if row.attempted == before:
                    break
        second = _run(world, row, source, destination)
        row.recovered = row.attempted
        row.notes.append(f"{told} times something could not be made, and the reason was said")
        row.unexpected += len(silent)
        bad = [(s["key"], s["reason"]) for s in second["steps"] if s["state"] not in ("done", "removed")]
        row.unexpected += len(bad)
        row.notes += [str(bad[:5])] if bad else []
        _compare(row, source, destination)


def _run(world: World, row: Row, source: Any, destination: Any) -> dict[str, Any]:
    with Client(world.stack.uri(), timeout=120) as ferry:
        migration = ferry.migrate(source.entry, destination.entry, selection={"kinds": KINDS})
        row.acknowledged += 1
        state = ferry.wait(migration, timeout=900)
        row.completed += state["phase"] in ("done", "stuck")
        row.stuck += state["phase"] == "stuck"
        return state


def _compare(row: Row, source: Any, destination: Any) -> None:
    want, have = inventory(source.connect()), inventory(destination.connect())
    of_servers: Counter[Any] = Counter(
        {k: v for k, v in want.items() if k[0] == "port" and k[1].startswith("compute:")}
    )
    lost, twice = want - of_servers - have, have - want
    row.lost += sum(lost.values())
    row.duplicated += sum(twice.values())
    row.notes += [f"lost {list(lost)[:5]}"] * bool(lost) + [f"twice {list(twice)[:5]}"] * bool(twice)


ACTIONS = ("pause", "cancel", "undo", "undo twice")


def test_r12_people_who_change_their_minds_at_each_step(world: World) -> None:
    """At each step: pause and resume; cancel and retry; undo. Then all is there, or nothing is."""
    with scored("R12", "pause and resume, cancel and retry, undo, at each step") as row:
        for action in ACTIONS:
            for step in range(0, 27, max(1, round(1 / min(1, scaled(100) / 100)))):
                crossing = world.crossing(row, size=2, payload=0)
                before = inventory(crossing.destination.connect())
                if not crossing.goes_on(step):
                    crossing.judge(row)
                    continue
                row.attempted += 1
                _change_mind(crossing, action, row, before)


def _change_mind(crossing: Crossing, action: str, row: Row, before: Counter[Any]) -> None:
    with Client(crossing.world.stack.uri(), timeout=120) as ferry:
        if action == "pause":
            ferry.control(crossing.migration, "pause")
            until(lambda: ferry.show(crossing.migration)["paused"] or crossing.is_over, 60)
            if not crossing.is_over:
                ferry.control(crossing.migration, "resume")
        elif action == "cancel":
            ferry.control(crossing.migration, "cancel")
            if until(lambda: crossing.phase in ("cancelled", "done"), PATIENCE) and crossing.phase == "cancelled":
                ferry.control(crossing.migration, "retry")
        else:
            until(lambda: crossing.phase != "new", 60)  # there's nothing to undo yet: that's refused
            ferry.control(crossing.migration, "undo")
            if not until(lambda: crossing.phase == "undone", PATIENCE):
                row.stuck += 1
                row.notes.append(f"{crossing.migration} is {crossing.phase}, and not undone")
                return
            row.completed += 1
            row.recovered += 1
            left = inventory(crossing.destination.connect()) - before
            row.duplicated += sum(left.values())
            row.notes += [f"left by undo: {list(left)[:5]}"] * bool(left)
            return
    row.recovered += 1
    crossing.judge(row)
