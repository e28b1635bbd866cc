"""Servers that are at the destination already: nothing of them is moved, and what describes them is brought up to date."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_coordinator.plan.ledger import Head, Ledger, Stale
from stackferry_coordinator.plan.step import Step
from stackferry_coordinator.rules import transitions

from .documents import server
from .test_workload_commands import until_asked
from .workload_world import MIGRATION, WorkloadWorld


def checked(document: dict[str, Any], outcome: str, key: str = "server/a") -> WorkloadWorld:
    """A world in which the check of a workload has just ended so."""
    world, _ = until_asked(f"{key}/check", [document])
    world.commands.clear()
    about = {"migration": MIGRATION, "step": f"{key}/check", "attempt": 1}
    world._tell("step-ended", {**about, "outcome": outcome, "destination_id": "there"})
    return world


@pytest.mark.parametrize("volumes", [0, 1, 3])
def test_a_server_whose_description_has_changed_is_updated_and_nothing_of_it_is_moved(volumes: int) -> None:
    world = checked(server("a", volumes), "updated")
    head = transitions.known(world.ledger, "server/a")
    assert (head.state, head.waits, head.destination_id) == ("asked", 0, "there")
    assert {s.state for s in world.ledger.all() if s is not head} == {"done"}
    about = {"migration": MIGRATION, "step": "server/a", "attempt": 1}
    world._tell("step-ended", {**about, "outcome": "updated", "destination_id": "there"})
    assert world.ledger.head.phase == "done"


@pytest.mark.parametrize("volumes", [0, 1, 3])
def test_a_server_that_is_as_it_should_be_is_left_alone(volumes: int) -> None:
    world = checked(server("a", volumes), "unchanged")
    assert world.ledger.head.phase == "done"
    assert transitions.known(world.ledger, "server/a").destination_id == "there"


def test_a_copy_of_a_step_that_is_out_of_date_is_refused() -> None:
    ledger = Ledger(Head("m", {}))
    old = ledger.add(Step("a", "ensure", waits=2))
    new = ledger.change(old, waits=1)
    with pytest.raises(Stale):
        ledger.change(old, reason="why")
    assert ledger.change(new, reason="why") == ledger.step("a")
    assert (new.waits, transitions.known(ledger, "a").reason) == (1, "why")
    with pytest.raises(ValueError, match="there already"):
        ledger.add(Step("a", "ensure"))
