"""A plan that is made, or begun, slice by slice is the plan that is made at once, whoever makes its slices."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.rules import slices
from stackferry_coordinator.rules.reactions import Do, opened, react

from .documents import as_found, awaited, forwarding, image, network, ref, server, stack, trunked, volume, warm

MIGRATION = "6b6f4f0c-5d3c-4c59-9d0b-0b6f1c1f0002"
SOURCE = {"source": {"cloud": "src"}}


@contextmanager
def size(number: int) -> Iterator[None]:
    with mock.patch.object(slices, "PLAIN", number), mock.patch.object(slices, "GROUPS", number):
        yield


def tenant(seed: int) -> list[dict[str, Any]]:
    """Networks, twins, images, servers of every sort, some with what can't be moved, in any order."""
    rng = random.Random(seed)
    found = [
        *stack(0),
        network("net0", "n-twin"),
        image("i"),
        image("k", kernel="i"),
        forwarding("a"),
        forwarding("wrong"),
    ]
    shapes = [lambda s: s, trunked, awaited, as_found, warm]
    found += [rng.choice(shapes)(server(name, rng.randrange(3), net="net0")) for name in "abcde"]
    found += [server(f"imaged{n}", 0, "SHUTOFF") for n in range(3)]
    twins = [server(id_, 1) for id_ in ("one", "two")]
    for twin in twins:
        twin["params"]["name"] = "twin"
    found += [*twins, volume("loose"), volume("a-disk0"), warm(server("wrong", 2), source_access="detach")]
    rng.shuffle(found)
    return found


def request(**more: Any) -> dict[str, Any]:
    return {"migration": MIGRATION, "destination": {"cloud": "dst"}, "parts": 1, **SOURCE, **more}


def asked(documents: list[dict[str, Any]], **more: Any) -> tuple[Ledger, list[Do]]:
    """A migration of these documents, planned in one slice as far as that goes."""
    data = request(**more)
    ledger = opened(data)
    react(ledger, "request-migration", data, 1.0)
    return ledger, react(ledger, "submit-documents", {"migration": MIGRATION, "part": 1, "documents": documents}, 1.0)


def on(ledger: Ledger, rng: random.Random | None = None) -> list[Do]:
    """Do all slices; *rng*: some of them are done by somebody who has nothing but the database."""
    due: list[Do] = []
    while ledger.head.agenda:
        if rng is None or rng.random() < 0.5:
            ledger.outlines.clear()
        due += react(ledger, slices.GO_ON, {"migration": MIGRATION}, 1.0)
    return due


def compared(ledger: Ledger, due: list[Do], rng: random.Random) -> None:
    """Answer every question of a plan."""
    while due:
        one = due.pop(rng.randrange(len(due)))
        outcome = "done" if one.key.startswith("room") else rng.choice(["missing", "unchanged", "conflict"])
        answer = {"migration": MIGRATION, "step": one.key, "attempt": one.attempt, "outcome": outcome, "reason": "so"}
        due += react(ledger, "step-ended", answer, 1.0)


def state(ledger: Ledger) -> dict[str, Any]:
    """All that is known of each step, and of what stands before it, but for the order among equals."""
    return {key: (replace(step, order=0), sorted(ledger.before(key))) for key, step in ledger.steps.items()}


@pytest.mark.parametrize("mode", ["run", "plan", "export"])
@pytest.mark.parametrize("seed", range(12))
def test_a_plan_in_slices_is_the_plan_in_one(seed: int, mode: str) -> None:
    with size(500):
        whole, due = asked(tenant(seed), mode=mode)
    assert whole.head.agenda is None
    for number in (1, 2, 3):
        with size(number):
            sliced, first = asked(tenant(seed), mode=mode)
            assert sliced.head.agenda
            assert not first
            assert {one.key for one in on(sliced, random.Random(seed))} == {one.key for one in due}
        assert state(sliced) == state(whole)
        assert (sliced.head.phase, sliced.head.counts) == (whole.head.phase, whole.head.counts)


@pytest.mark.parametrize("seed", range(12))
def test_a_plan_begun_in_slices_is_the_plan_begun_at_once(seed: int) -> None:
    started: list[Ledger] = []
    for number in (500, 1, 2, 3):
        ledger, due = asked(tenant(seed), mode="plan")
        compared(ledger, due, random.Random(seed))
        assert ledger.head.phase == "planned"
        with size(number):
            react(ledger, "control-migration", {"migration": MIGRATION, "action": "start"}, 1.0)
            on(ledger, random.Random(seed))
        started.append(ledger)
    assert started[0].head.phase == "running"
    with size(500):
        direct, _ = asked(tenant(seed), mode="run")
    assert started[0].steps.keys() == direct.steps.keys() | {"room-at-source"} & started[0].steps.keys()
    for ledger in started[1:]:
        assert state(ledger) == state(started[0])


def test_documents_without_ids_are_the_same_steps_when_their_plan_is_begun() -> None:
    subnet = {
        "type": "openstack.subnet.Subnet",
        "params": {"name": "s", "network_ref": ref("n"), "cidr": "10.0.0.0/24"},
    }
    ledger, due = asked([subnet, {"type": "openstack.network.Network", "params": {"name": "n"}}], mode="plan")
    before = set(ledger.steps)
    compared(ledger, due, random.Random(1))
    react(ledger, "control-migration", {"migration": MIGRATION, "action": "start"}, 1.0)
    assert set(ledger.steps) == before


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_what_is_cancelled_while_it_is_planned_ends_and_can_be_retried_whole(cut: int) -> None:
    with size(500):
        whole, due = asked(tenant(cut), mode="run")
    with size(1):
        ledger, _ = asked(tenant(cut), mode="run")
        for _ in range(cut):
            react(ledger, slices.GO_ON, {"migration": MIGRATION}, 1.0)
        assert not react(ledger, "control-migration", {"migration": MIGRATION, "action": "cancel"}, 2.0)
        assert not on(ledger)
        assert ledger.head.phase == "cancelled"
        assert ledger.steps.keys() == whole.steps.keys()
        react(ledger, "control-migration", {"migration": MIGRATION, "action": "retry"}, 3.0)
        assert {one.key for one in on(ledger)} == {one.key for one in due}


def test_documents_of_one_name_are_kept_however_many_there_are() -> None:
    ledger, _ = asked([network("same", f"n{number}") for number in range(2000)], mode="export")
    on(ledger)
    assert (ledger.head.phase, ledger.head.counts) == ("done", {"done": 2000})


def test_documents_that_come_while_it_is_planned_change_nothing() -> None:
    with size(1):
        ledger, _ = asked(tenant(1), mode="run")
        late = {"migration": MIGRATION, "part": 2, "documents": [network("late")]}
        react(ledger, "submit-documents", late, 1.0)
        on(ledger)
    assert "network/n-late" not in ledger.steps
