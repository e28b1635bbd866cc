"""Thousands of migrations in an unkind world; and the simulator must notice when a rule is taken away."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from dataclasses import replace
from unittest import mock

import pytest
from stackferry_coordinator.rules import answers, reactions, transitions, undo
from stackferry_coordinator.rules.reactions import Do, opened, react

from .documents import image, network, stack, subnet
from .operator import NEXT, PAIRS
from .simulation import Faults, Violation, World
from .slicing import sliced

SEEDS = int(os.environ.get("SEEDS", "1500"))
CONTROLS = ((), ("retry",), ("pause",), ("cancel",), ("undo",), ("cancel", "retry"), ("pause", "undo"),
            ("cancel", "undo"), ("undo", "undo"))  # fmt: skip
DOCUMENTS = (
    stack(1),
    [image("kernel"), image("disk", kernel="kernel"), image("other"), network("a")],
    [*stack(1), *stack(2)],
    [image("disk"), *stack(1)],
    [network("a"), network("b"), subnet("a1", "a"), subnet("a2", "a")],
)
FLAKY = (0.02, 0.1, 0.3, 0.0)


def world(seed, **changes):
    flaky = FLAKY[seed // len(CONTROLS) % len(FLAKY)]
    faults = Faults(crash=flaky, fail=flaky, permanent=0.2, duplicate=flaky, controls=CONTROLS[seed % len(CONTROLS)])
    return World(DOCUMENTS[seed % len(DOCUMENTS)], seed, replace(faults, **changes))


@pytest.mark.thorough
def test_every_migration_ends_whole():
    phases = Counter(world(seed).run() for seed in range(SEEDS))
    assert set(phases) <= {"done", "undone", "cancelled", "stuck"}
    assert phases["done"] > SEEDS / 4
    assert phases["undone"]


HASTE = (0.3, 0.02, 0.005)


def told_two(seed):
    """A world in which somebody says two things, in every order and at any moment."""
    words = PAIRS[seed % len(PAIRS)]
    return world(seed, controls=words, haste=HASTE[seed % len(HASTE)], planned="start" in words or seed % 4 == 0)


@pytest.mark.thorough
def test_every_migration_ends_whole_whatever_two_things_it_is_told():
    phases, said = Counter(), set()
    for seed in range(len(PAIRS) * len(DOCUMENTS) * len(HASTE)):
        played = told_two(seed)
        phases[played.run()] += 1
        said.update(itertools.pairwise(played.operator.said))
    assert set(phases) == {"planned", "done", "undone", "cancelled", "stuck"}
    assert said >= {(one, other) for one, others in NEXT.items() for other in others if "cutover" not in (one, other)}


@pytest.mark.thorough
def test_payloads_meet_every_fate():
    fates = Counter()
    for seed in range(SEEDS // 2):
        played = world(seed)
        played.run()
        fates.update((s.state, s.outcome) for s in played.ledger.all() if s.action == "transfer")
    assert fates["done", "created"] > sum(fates.values()) / 2
    assert {("done", "unchanged"), ("failed", "interrupted"), ("failed", "failed"), ("skipped", None)} <= fates.keys()


def test_the_same_messages_give_the_same_state():
    for seed in range(50):
        played = world(seed)
        played.run()
        again = opened(played.request)
        with sliced(seed):
            for name, data, now in played.log:
                react(again, name, data, now)
        assert again.head == played.ledger.head
        assert again.steps == played.ledger.steps


def without(module, name, replacement):
    return mock.patch.object(module, name, replacement)


def _accept_late(real):
    def ended(ledger, data, now):
        step = ledger.step(data["step"])
        real(ledger, {**data, "attempt": step.attempt if step else data["attempt"]}, now)

    return ended


def _soft(real):
    def close(ledger, step, state, **changes):
        ledger.after, after = lambda key: [(k, False) for k, _ in after(key)], ledger.after
        try:
            real(ledger, step, state, **changes)
        finally:
            ledger.after = after

    return close


def _claim_always(ledger, data, now):
    step = ledger.step(data["step"])
    if step is not None and (step.state, step.attempt) == ("asked", data["attempt"]):
        ledger.change(step, claim=data["token"])


def _fetch_any_offer(ledger, data, now):
    step = ledger.step(data["step"])
    ledger.change(step, copying=replace(step.copying, offer=data))
    return [Do(step.key, step.attempt, "fetch")]


def _begin_while_undoing(ledger, step, data, now, real=transitions.again):
    phase = ledger.head.phase
    ledger.head = replace(ledger.head, phase="running")
    real(ledger, step, data, now)
    ledger.head = replace(ledger.head, phase=phase)


def _count_postponed(ledger, data, now, real=reactions.HANDLERS["postponed"]):
    real(ledger, data, now)
    step = ledger.step(data["step"])
    ledger.change(step, tries=step.tries + 1)


def _spare_always(ledger, step, data, now, real=answers.succeeded):
    real(ledger, step, {**data, "payload_missing": False}, now)


def handled(message, by):
    return mock.patch.dict(reactions.HANDLERS, {message: by})


BROKEN = {
    "every claim is granted": lambda: handled("step-claimed", _claim_always),
    "no rest after an interruption": lambda: without(transitions, "SETTLE", 0.0),
    "surplus stays": lambda: without(answers, "_remove_surplus", lambda ledger, step: None),
    "late replies count": lambda: handled("step-ended", _accept_late(reactions.HANDLERS["step-ended"])),
    "dependants of a failure go on": lambda: without(transitions, "close", _soft(transitions.close)),
    "leases never end": lambda: handled("tick", lambda ledger, data, now: None),
    "undo in any order": lambda: without(
        undo, "order", lambda ledger, removals: [ledger.change(r, state="ready") for r in removals]
    ),
    "undo doesn't look for what lost tries made": lambda: mock.patch.object(
        transitions, "doubtful", return_value=False
    ),
    "undo waits for what made nothing": lambda: without(
        undo, "_in_doubt", lambda s: s.state == "failed" and (s.action == "remove" or s.outcome == "interrupted")
    ),
    "any offer is fetched": lambda: handled("image-offered", _fetch_any_offer),
    "progress keeps no lease": lambda: handled("step-progressed", lambda ledger, data, now: None),
    "waiting for an importer is a try": lambda: handled("postponed", _count_postponed),
    "a missing payload is spared": lambda: without(answers, "succeeded", _spare_always),
    "a payload is begun while it's undone": lambda: without(transitions, "again", _begin_while_undoing),
    "what arrived late is lost": lambda: without(answers, "_arrived", lambda ledger, step, data: False),
}


@pytest.mark.parametrize("bug", BROKEN)
def test_the_simulator_notices_a_broken_rule(bug):
    with BROKEN[bug](), pytest.raises((Violation, AssertionError, KeyError)):
        for seed in itertools.islice(itertools.count(), 3000):
            world(seed).run()


@pytest.mark.parametrize("promise", ["work_unclaimed", "never_look", "half_is_whole", "write_unrecorded"])
def test_the_simulator_notices_a_broken_promise_of_the_workers(promise):
    with pytest.raises(Violation):
        for seed in range(3000):
            world(seed, **{promise: True}).run()
