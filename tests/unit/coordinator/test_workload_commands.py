"""What the steps of a workload ask for: above all, that no disk is written to which was there before."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_coordinator.commands import command

from .documents import server, volume
from .workload_world import MIGRATION, Unkind, WorkloadWorld

EARLIER = "id-of-an-earlier-migration"


def until_asked(key: str, documents: list[dict[str, Any]]) -> tuple[WorkloadWorld, dict[str, Any]]:
    """Play a kind world until a step is asked; return it with the step's command."""
    world = WorkloadWorld(documents, 1, Unkind(0, 0, 0, 0))
    world._tell("request-migration", world.request)
    world._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": documents})
    for _ in range(5000):
        due = next((sent.do for sent in world.commands if sent.do.key == key), None)
        if due is not None:
            return world, command(world.ledger, due, lambda *_: EARLIER, ["pem"])[1]
        world._step()
    raise AssertionError(f"{key} was never asked")


@pytest.mark.parametrize("key", ["volume/a-disk0", "volume/loose"])
def test_a_disk_is_always_made_anew_and_marked(key: str) -> None:
    _, data = until_asked(key, [server("a"), volume("loose")])
    assert data["hints"] == {"marker": f"{MIGRATION}/{key.partition('/')[2]}"}


@pytest.mark.parametrize("key", ["port/port-a", "floating_ip/fip-a"])
def test_a_part_of_a_server_is_not_what_it_was_in_an_earlier_migration(key: str) -> None:
    assert "destination_id" not in until_asked(key, [server("a")])[1]["hints"]


@pytest.mark.parametrize("key", ["server/a/check", "volume/loose/check"])
def test_what_has_arrived_earlier_is_known_again(key: str) -> None:
    assert until_asked(key, [server("a"), volume("loose")])[1]["hints"]["destination_id"] == EARLIER


@pytest.mark.parametrize("outcome", ["unchanged", "updated"])
def test_a_disk_that_was_there_before_is_never_written_to(outcome: str) -> None:
    world, _ = until_asked("volume/a-disk0", [server("a")])
    about = {"migration": MIGRATION, "step": "volume/a-disk0", "attempt": 1}
    world.commands.clear()
    world._tell("step-ended", {**about, "outcome": outcome, "destination_id": "precious"})
    step = world.ledger.step("volume/a-disk0")
    assert (step.state, step.reason) == ("failed", "volume precious was there before: copying would overwrite it")
    while world.ledger.head.phase != "done":
        world._step()
    assert world.clouds.power["a"] == "ACTIVE"
    assert world.clouds.clones == world.clouds.content == world.clouds.made == {}


def test_a_journal_belongs_to_the_disk_that_was_made() -> None:
    world, data = until_asked("volume/a-disk0/copy/0", [server("a")])
    assert data["copy"] == f"{MIGRATION}/{world.ledger.step('volume/a-disk0').destination_id}"
