"""Servers move through an unkind world: each is whole at one side in the end, and nothing is left over."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from dataclasses import replace
from unittest import mock

import pytest
from stackferry_coordinator.plan import itinerary
from stackferry_coordinator.rules import agreement, compensation, places, reactions, relocation, transitions
from stackferry_coordinator.rules.reactions import opened, react

from .documents import as_found, awaited, network, server, subnet, trunked, volume, warm
from .operator import NEXT, PAIRS
from .simulation import Violation
from .slicing import sliced
from .test_simulator import HASTE, _claim_always
from .workload_world import Unkind, WorkloadWorld

SEEDS = int(os.environ.get("SEEDS", "300"))
CONTROLS = ((), (), (), ("pause",), ("cancel",), ("undo",), ("cancel", "retry"), ("retry",), ("cancel", "undo"))
DOCUMENTS = (
    [server("a", 2)],
    [network("n"), subnet("s", "n"), trunked(server("a", 1, net="n")), as_found(server("b", 3, "SHUTOFF", net="n"))],
    [as_found(server(f"s{n}", n % 3, "ACTIVE" if n % 2 else "SHUTOFF")) for n in range(5)],
    [server("big", 1, size=9), volume("loose", size=5), *[server(name, 0) for name in "pqr"]],
    [warm(trunked(server("w", 2))), server("a", 1), warm(server("off", 1, "SHUTOFF"))],
    [
        awaited(server("h", 2)),
        awaited(warm(server("w", 1))),
        server("a", 1),
        awaited(as_found(server("off", 1, "SHUTOFF"))),
    ],
    [warm(server("m", 2, size=9), cutover="manual", pass_interval=30), warm(server("w", 1))],
)


def world(seed, **changes):
    flaky = (0.0, 0.03, 0.15)[seed % 3]
    unkind = Unkind(crash=flaky, fail=flaky, permanent=0.3, duplicate=flaky, controls=CONTROLS[seed % len(CONTROLS)],
                    lose=(0.0, 0.001, 0.01)[seed // 2 % 3])  # fmt: skip
    return WorkloadWorld(DOCUMENTS[seed % len(DOCUMENTS)], seed, replace(unkind, **changes), slots=1 + seed % 2)


@pytest.mark.thorough
def test_every_server_is_whole_at_one_side():
    ends = Counter()
    for seed in range(SEEDS):
        played = world(seed)
        phase = played.run()
        ends[phase] += 1
        ends.update(step.state for step in played.ledger.all() if step.key == step.group)
    assert set(ends) <= {"done", "undone", "cancelled", "failed", "skipped"}
    assert ends["done"] > SEEDS / 3
    assert ends["failed"]


@pytest.mark.thorough
def test_what_ends_between_the_slices_of_a_cancel_is_taken_back_too():
    many = [*(server(f"s{n}", 0) for n in range(4)), *(server(f"d{n}", 1) for n in range(2)), volume("v")]
    for seed in range(3, 453, 9):  # a slice has one workload
        unkind = Unkind(0.3, 0.05, 0.1, 0.1, controls=("cancel", "retry"), haste=0.03)
        for more in range(3):
            WorkloadWorld(many, seed + more, unkind, slots=4).run()


def told_two(seed):
    """A world in which somebody says two things, in every order and at any moment."""
    words = PAIRS[seed // len(DOCUMENTS) % len(PAIRS)]
    return world(seed, controls=words, haste=HASTE[seed % len(HASTE)], planned="start" in words or seed % 4 == 0)


@pytest.mark.thorough
def test_every_server_is_whole_at_one_side_whatever_two_things_it_is_told():
    phases, said = Counter(), set()
    for seed in range(len(PAIRS) * len(DOCUMENTS)):
        played = told_two(seed)
        phases[played.run()] += 1
        said.update(itertools.pairwise(played.operator.said))
    assert set(phases) == {"planned", "done", "undone", "cancelled"}
    assert said >= {(one, other) for one, others in NEXT.items() for other in others}


@pytest.mark.thorough
def test_hosts_that_are_lost_take_nothing_back():
    for seed in range(SEEDS // 3):
        played = WorkloadWorld([server("a", 2), warm(server("w", 1))], seed, Unkind(0, 0, 0, 0, lose=0.01), slots=2)
        assert played.run() == "done"
        assert {step.state for step in played.ledger.all() if step.key == step.group} == {"done"}


def test_a_destination_that_says_done_without_having_asked_moves_nothing():
    for seed in range(20):
        unkind = Unkind((0, 0.1)[seed % 2], 0, 0, 0.1, lying=True)
        played = WorkloadWorld([server("a", 2), warm(server("w", 1)), volume("v")], seed, unkind)
        assert played.run() == "done"
        assert {step.state for step in played.ledger.all() if step.key == step.group} == {"failed"}
        reason = played.ledger.step("server/a").reason
        assert "the destination says that 1 blocks crossed, and the source that 0 did" in reason or "silent" in reason


def test_the_same_messages_give_the_same_state():
    for seed in range(20):
        played = world(seed)
        played.run()
        again = opened(played.request)
        with sliced(seed):
            for name, data, now in played.log:
                react(again, name, data, now)
        assert again.head == played.ledger.head
        assert again.steps == played.ledger.steps


ACTIONS = sorted({task.action for task in itinerary.WORKLOAD if task.side != itinerary.COORDINATOR})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_failure_at_any_step_leaves_the_source_as_it_was(action, after):
    tolerated = all(task.tolerated for task in itinerary.WORKLOAD if task.action == action)
    for seed in range(10):
        unkind = Unkind(0.05, 0, 0, 0.05, broken=action, after=after)
        servers = [trunked(server("a", 2)), as_found(server("b", 1, "SHUTOFF")), warm(server("w", 2))]
        if action == "wait":
            servers = [awaited(one) for one in servers]
        played = WorkloadWorld(servers, seed, unkind)
        if action == "withdraw" and not after:
            continue  # what can't be deleted stays, and is reported
        assert played.run() == "done"
        states = {step.key: step.state for step in played.ledger.all() if step.key == step.group}
        crossed = {key for key, state in states.items() if state == "done"}
        assert crossed == (set(states) if tolerated else {"server/w"} if action == "verify" else set())
        if not tolerated and action not in ("check", "look", "wait"):
            reasons = [s.reason for s in played.ledger.all() if s.key == s.group and s.key not in crossed]
            assert all("broken" in reason and "taken back" in reason for reason in reasons)


def changed(id_, **changes):
    return mock.patch.object(
        itinerary, "WORKLOAD", tuple(replace(t, **changes) if t.id == id_ else t for t in itinerary.WORKLOAD)
    )


def _all_at_once(ledger, steps, fresh):
    for step in fresh:
        ledger.add(replace(step, state="ready"))


def _never_rehash(ledger, step):
    return "verify" if step.action == "verify" else "copy"


def _reopen_alone(ledger, chosen, real=transitions.reopen_keys):
    real(ledger, dict.fromkeys(chosen, False))


def _never_released(ledger, volume):
    pass


def _believed(ledger, step, data, now):
    return data


def _moved_at_once(ledger, place, attached):
    pass


BROKEN = {
    "a lost host's disks are not taken off it": lambda: mock.patch.object(relocation, "_take_off", _moved_at_once),
    "a warm server is never stopped": lambda: changed("stop", after=("settle",)),
    "a server is stopped that is waited for": lambda: changed("stop", after=("look", "look-again")),
    "the last pass begins too early": lambda: changed("lead", after=("look", "check-volume")),
    "a clone of a pass is not removed": lambda: changed("warm-expose", undo=None),
    "a pass is not verified": lambda: mock.patch.object(reactions, "fetch_mode", _never_rehash),
    "a journal of before another host wrote is believed": lambda: mock.patch.object(
        places, "destination_before", return_value=None
    ),
    "what comes after a reopened step doesn't wait": lambda: mock.patch.object(
        transitions, "reopen_keys", _reopen_alone
    ),
    "every claim is granted": lambda: mock.patch.dict(reactions.HANDLERS, {"step-claimed": _claim_always}),
    "no rest after an interruption": lambda: mock.patch.object(transitions, "SETTLE", 0.0),
    "taken back in any order": lambda: mock.patch.object(compensation, "_order", _all_at_once),
    "what lost tries made is not looked for": lambda: mock.patch.object(transitions, "doubtful", return_value=False),
    "a place is never given back": lambda: mock.patch.object(transitions, "release", _never_released),
    "a stopped server is not started again": lambda: changed("stop", undo=None),
    "a server that was stopped runs there": lambda: changed("power", when="awaited"),
    "a server is stopped there before it's complete": lambda: changed("power", after=("stop",)),
    "a clone is not removed": lambda: changed("expose", undo=None),
    "a disk stays on the source's host": lambda: changed("attach-source", undo=None),
    "a disk stays on the destination's host": lambda: changed("attach-destination", undo=None),
    "disks are read while the server runs": lambda: changed("stop", after=("server",)),
    "the server starts unverified": lambda: changed("detach-destination", after=("copy",)),
    "the server starts before its disks are free": lambda: changed("server", after=("port", "verify")),
    "a destination is believed alone": lambda: mock.patch.object(agreement, "judged", _believed),
    "a disk is attached without a place": lambda: changed("attach-source", after=("stop", "expose")),
}


UNKIND = {"crash": 0.2, "fail": 0.1, "permanent": 0.1}
#: worlds in which a bug shows sooner
APT = {
    "a journal of before another host wrote is believed": {"crash": 0.05, "fail": 0, "permanent": 0, "lose": 0.02},
    "a destination is believed alone": {"lying": True},
}


@pytest.mark.parametrize("bug", BROKEN)
def test_the_simulator_notices_a_broken_rule(bug):
    with BROKEN[bug](), pytest.raises((Violation, AssertionError, KeyError, AttributeError)):
        for seed in itertools.islice(itertools.count(), 1000):
            world(seed, **APT.get(bug, UNKIND)).run()
