"""How long the coordinator bears with outages and busy clouds, and what a cancel leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_coordinator.plan.states import OPEN
from stackferry_coordinator.plan.step import Step, verdict
from stackferry_coordinator.rules import transitions
from stackferry_coordinator.rules.answers import _downtime as downtime
from stackferry_coordinator.rules.reactions import opened, react
from stackferry_coordinator.rules.transitions import AWAITED, OUTAGE, PATIENT, TRIES

from .documents import awaited, server, volume
from .test_workload_commands import until_asked
from .workload_world import MIGRATION, Unkind, WorkloadWorld

COPY = "volume/a-disk0/copy/0"


def ended(world: WorkloadWorld, key: str, now: float, outcome: str, answered: bool = False, **changes: Any) -> Step:
    """A try of a step ends so; return the step afterwards."""
    step = world.ledger.change(transitions.known(world.ledger, key), state="asked", **changes)
    step = world.ledger.change(step, tries=step.tries + 1)
    transitions.again(world.ledger, step, {"outcome": outcome, "reason": "no", "answered": answered}, now)
    return transitions.known(world.ledger, key)


def test_an_outage_gives_a_workload_up_when_it_lasts_and_not_after_so_many_tries() -> None:
    world, _ = until_asked(COPY, [server("a")])
    for number in range(3 * TRIES):
        assert ended(world, COPY, number * OUTAGE / (3 * TRIES), "interrupted").state == "resting"
    assert ended(world, COPY, OUTAGE + 1, "interrupted").state == "failed"


def test_a_try_that_came_further_begins_a_new_count() -> None:
    world, _ = until_asked(COPY, [server("a")])
    for hour in range(20):
        assert ended(world, COPY, hour * 3600.0, "interrupted", done=100 + hour).state == "resting"
    assert ended(world, COPY, 20 * 3600.0, "interrupted", done=119).state == "failed"  # that is no further


def test_a_failure_that_may_pass_is_counted() -> None:
    world, _ = until_asked(COPY, [server("a")])
    states = [ended(world, COPY, float(number), "failed").state for number in range(1, TRIES)]  # one was asked before
    assert states == ["resting"] * (TRIES - 2) + ["failed"]


@pytest.mark.parametrize("age", [0.0, 10 * PATIENT], ids=["new", "of days ago"])
def test_patience_with_a_busy_cloud_begins_with_the_wait(age: float) -> None:
    key = "volume/a-disk0/expose"
    world, _ = until_asked(key, [server("a")])
    began = transitions.known(world.ledger, key).asked.first_asked + age
    assert ended(world, key, began, "pending").state == "resting"
    assert ended(world, key, began + PATIENT, "pending").state == "resting"
    assert ended(world, key, began + PATIENT + 1, "pending").state == "failed"


def test_people_may_take_longer_to_shut_a_server_down() -> None:
    world, _ = until_asked("server/a/wait", [awaited(server("a"))])
    for day in range(3):
        waiting = ended(world, "server/a/wait", day * 86400.0, "pending")
        assert (waiting.state, waiting.due) == ("resting", day * 86400.0 + AWAITED)
        assert {s.state for s in world.ledger.all() if s.action == "assign"} == {"waiting"}  # no place is kept for it


def test_downtime_begins_when_a_server_is_first_told_to_stop_or_seen_stopped() -> None:
    world, _ = until_asked("server/a/stop", [server("a")])
    since = transitions.known(world.ledger, "server/a/stop").asked.since
    ended(world, "server/a/stop", since + 30, "pending")
    world._tell("tick", {"migration": MIGRATION})
    world.now = since + 60
    world._tell("tick", {"migration": MIGRATION})
    assert transitions.known(world.ledger, "server/a/stop").attempt == 2
    assert downtime(world.ledger, "server/a", since + 100) == {"stopped": since, "downtime": 100.0}
    world, _ = until_asked("server/a/stop", [awaited(server("a"))])
    down = transitions.known(world.ledger, "server/a/wait").results["down"]
    assert downtime(world.ledger, "server/a", down + 50)["downtime"] == 50.0


def test_an_agent_that_is_back_is_waited_for_anew_the_next_time() -> None:
    world, _ = until_asked(COPY, [server("a")])
    about = {"migration": MIGRATION, "step": COPY, "attempt": 1}
    world._tell("postponed", {**about, "reason": "no agent answers on host h"})
    world.now += 60
    world._tell("tick", {"migration": MIGRATION})
    assert transitions.known(world.ledger, COPY).trouble.postponed < world.now
    world._tell("segment-offered", {**about, "attempt": 2, "address": "h:1", "certificate": "pem", "size": 1 << 30})
    assert transitions.known(world.ledger, COPY).trouble.postponed is None


def test_an_export_that_is_silent_is_another_try() -> None:
    ledger = opened({"migration": MIGRATION, "source": {"cloud": "src"}, "destination": {"cloud": "dst"}})
    react(ledger, "request-migration", ledger.head.request, 0.0)
    for number in range(1, 3 * TRIES):  # nobody may be there to read for hours
        due = react(ledger, "tick", {"migration": MIGRATION}, number * 1000.0)
        assert [(do.key, do.attempt) for do in due] == [("export", number + 1)]


def test_what_is_found_after_a_retry_is_ours_only_if_a_lost_try_may_have_made_it() -> None:
    world, _ = until_asked("port/port-a", [server("a")])
    for outcome, kept in (("failed", False), ("interrupted", True)):
        ended(world, "port/port-a", 10.0, outcome)
        transitions.reopen(world.ledger, lambda step: step.key == "port/port-a")
        assert (transitions.known(world.ledger, "port/port-a").asked.first_asked is not None) is kept
        react(world.ledger, "tick", {"migration": MIGRATION}, 20.0)


def until(world: WorkloadWorld, condition: Any) -> None:
    for _ in range(20000):
        if condition():
            return
        world._step()
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("seed", range(10))
def test_a_cancel_leaves_a_server_that_has_arrived_and_lets_it_tidy_up(seed: int) -> None:
    world = WorkloadWorld([server("a", 2), server("b", 3)], seed, Unkind(0, 0, 0, 0), slots=4)
    world._tell("request-migration", world.request)
    world._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": world.documents})
    mine = world.ledger.of_group
    until(world, lambda: world.ledger.steps.get("server/a") and verdict(world.ledger.steps["server/a"]) == "done")
    assert any(step.state in OPEN for step in mine("server/a"))
    world._tell("control-migration", {"migration": MIGRATION, "action": "cancel"})
    until(world, world._over)
    world.check()
    assert world.ledger.head.phase == "cancelled"
    assert {step.state for step in mine("server/a")} <= {"done", "removed"}
    power = {name: world.clouds.power[name] for name in "ab"}
    assert power == {"a": "SHUTOFF", "b": "SHUTOFF" if verdict(world.ledger.steps["server/b"]) == "done" else "ACTIVE"}  # fmt: skip


def test_a_volume_has_arrived_when_its_bytes_have() -> None:
    world, _ = until_asked("volume/loose/copy/0", [volume("loose")])
    head = transitions.known(world.ledger, "volume/loose")
    assert (head.state, verdict(head)) == ("done", "again")
    until(world, world._over)
    head = transitions.known(world.ledger, "volume/loose")
    assert (verdict(head), head.results["over"]) == ("done", pytest.approx(world.now, abs=100))


def test_a_retry_leaves_alone_what_is_still_being_taken_back() -> None:
    world = WorkloadWorld([server("a"), server("b", 3)], 1, Unkind(0, 0, 0, 0, broken="copy"))
    world._tell("request-migration", world.request)
    world._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": world.documents})
    mine = world.ledger.of_group
    until(world, lambda: any(step.compensates and step.state in OPEN for step in mine("server/a")))
    assert world.ledger.head.phase == "running"
    world._tell("control-migration", {"migration": MIGRATION, "action": "retry"})
    assert not [step.key for step in mine("server/a") if step.state in OPEN and not step.compensates]
    until(world, world._over)
    world.check()
    world._tell("control-migration", {"migration": MIGRATION, "action": "retry"})
    assert [step.key for step in mine("server/a") if step.state in OPEN and not step.compensates]


@pytest.mark.parametrize("key", ["server/a", "volume/a-disk0", "server/a/stop"])
def test_a_cloud_that_is_there_and_fails_at_a_request_is_asked_a_few_times_only(key: str) -> None:
    """A server is down meanwhile; an hour of the same answer tells no more than a minute of it."""
    world, _ = until_asked(key, [server("a")])
    begun = transitions.known(world.ledger, key).tries
    rested = [ended(world, key, 60.0 * number, "interrupted", answered=True).state for number in range(TRIES - begun)]
    assert rested == [*["resting"] * (TRIES - begun - 1), "failed"]
    assert f"gave up after {TRIES} tries" in str(transitions.known(world.ledger, key).reason)
