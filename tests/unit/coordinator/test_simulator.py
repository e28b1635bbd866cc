"""Thousands of migrations in an unkind world; and the simulator must notice when a rule is taken away."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from dataclasses import replace
from unittest import mock

import pytest
from stackferry_coordinator import itinerary, moves, undo
from stackferry_coordinator.itinerary import opened, react

from .documents import network, stack, subnet
from .simulation import Faults, Violation, World

SEEDS = int(os.environ.get("SEEDS", "1500"))
CONTROLS = ((), (), ("pause",), ("cancel",), ("undo",), ("cancel", "retry"), ("pause", "undo"), ("cancel", "undo"))
DOCUMENTS = (stack(1), [*stack(1), *stack(2)], [network("a"), network("b"), subnet("a1", "a"), subnet("a2", "a")])


def world(seed, **changes):
    flaky = (0.02, 0.1, 0.3)[seed % 3]
    faults = Faults(crash=flaky, fail=flaky, permanent=0.2, duplicate=flaky, controls=CONTROLS[seed % len(CONTROLS)])
    return World(DOCUMENTS[seed % len(DOCUMENTS)], seed, replace(faults, **changes))


def test_every_migration_ends_whole():
    phases = Counter(world(seed).run() for seed in range(SEEDS))
    assert set(phases) <= {"done", "undone", "cancelled", "stuck"}
    assert phases["done"] > SEEDS / 4
    assert phases["undone"]


def test_the_same_messages_give_the_same_state():
    for seed in range(50):
        played = world(seed)
        played.run()
        again = opened(played.request)
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
        ledger.put(replace(step, claim=data["token"]))


BROKEN = {
    "every claim is granted": lambda: mock.patch.dict(itinerary.HANDLERS, {"step-claimed": _claim_always}),
    "no rest after an interruption": lambda: without(moves, "SETTLE", 0.0),
    "surplus stays": lambda: without(itinerary, "_remove_surplus", lambda ledger, step: None),
    "late replies count": lambda: mock.patch.dict(
        itinerary.HANDLERS, {"step-ended": _accept_late(itinerary.HANDLERS["step-ended"])}
    ),
    "dependants of a failure go on": lambda: without(moves, "close", _soft(moves.close)),
    "leases never end": lambda: mock.patch.dict(itinerary.HANDLERS, {"tick": lambda ledger, data, now: None}),
    "undo in any order": lambda: without(
        undo, "order", lambda ledger, removals: [ledger.put(replace(r, state="ready")) for r in removals]
    ),
    "undo forgets late ones": lambda: without(undo, "carry_on", _undo_only_done),
}


def _undo_only_done(ledger, real=undo.carry_on):
    for step in ledger.all():
        if step.action == "ensure" and step.state != "done" and step.made:
            ledger.put(replace(step, made=()))
    real(ledger)


@pytest.mark.parametrize("bug", BROKEN)
def test_the_simulator_notices_a_broken_rule(bug):
    with BROKEN[bug](), pytest.raises((Violation, AssertionError, KeyError)):
        for seed in itertools.islice(itertools.count(), 3000):
            world(seed).run()


@pytest.mark.parametrize("promise", ["work_unclaimed", "never_look"])
def test_the_simulator_notices_a_broken_promise_of_the_workers(promise):
    with pytest.raises(Violation):
        for seed in range(3000):
            world(seed, **{promise: True}).run()
