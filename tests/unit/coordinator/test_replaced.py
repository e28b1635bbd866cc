"""What an update replaces is recorded before it's written, and brought back by undo."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from stackferry_coordinator.commands.resources import command
from stackferry_coordinator.rules.reactions import Do, opened, react
from stackferry_coordinator.rules.transitions import SETTLE, TRIES, known

from .documents import interface, network, router, server, subnet, volume
from .test_there_already import checked
from .workload_world import MIGRATION, WorkloadWorld

REPLACES = {"description": ["theirs", "ours"]}
CHANGES = [{"field": "description", "from": "theirs", "to": "ours"}]
DIFFERS = {"outcome": "differs", "destination_id": "there", "changes": CHANGES, "replaces": REPLACES}
UPDATED = {"outcome": "updated", "destination_id": "there", "changes": CHANGES}


class Play:
    """A migration of some documents, told what happens."""

    def __init__(self, *documents: dict[str, Any]) -> None:
        request = {"migration": MIGRATION, "destination": {"cloud": "dst"}, "mode": "run", "parts": 1}
        self.ledger, self.now = opened(request), 1000.0
        self.dues: list[Do] = []
        self.tell("request-migration", **request)
        self.tell("submit-documents", part=1, documents=list(documents))
        if self.ledger.step("room"):
            self.ended("room", outcome="done")

    def tell(self, name: str, **data: Any) -> None:
        self.dues = react(self.ledger, name, {"migration": MIGRATION, **data}, self.now)

    def control(self, action: str) -> None:
        self.tell("control-migration", action=action)

    def ended(self, key: str, **outcome: Any) -> None:
        self.tell("step-ended", step=key, attempt=known(self.ledger, key).attempt, **outcome)

    def hints(self, key: str) -> dict[str, Any]:
        """What the worker of the try that was just asked for is told."""
        due = next(due for due in self.dues if due.key == key)
        found: dict[str, Any] = command(self.ledger, due, lambda *_: None, [])[1]["hints"]
        return found


def ended(world: WorkloadWorld, **data: Any) -> None:
    world._tell("step-ended", {"migration": MIGRATION, **data})


def recorded() -> Play:
    """A network that differs: it was asked for twice, the second time with what is known."""
    play = Play(network("a"))
    assert play.hints("network/n-a") == {"made": [], "replaced": {}}
    play.ended("network/n-a", **DIFFERS)
    assert play.hints("network/n-a")["replaced"] == {"there": REPLACES}
    assert "first_asked" not in play.hints("network/n-a")
    return play


def test_what_was_updated_is_brought_back() -> None:
    play = recorded()
    play.ended("network/n-a", **UPDATED)
    assert (play.ledger.head.phase, known(play.ledger, "network/n-a").outcome) == ("done", "updated")
    play.control("undo")
    key = "network/n-a/undo/there/2"
    assert play.hints(key) == {"since": 0.0, "destination_id": "there", "replaced": {"there": REPLACES}}
    play.ended(key, outcome="restored", destination_id="there", notes=["somebody has changed it"])
    taken = known(play.ledger, key)
    assert (play.ledger.head.phase, taken.state, taken.outcome) == ("undone", "removed", "restored")
    assert taken.notes == ("somebody has changed it",)


def test_an_update_whose_answer_was_lost_is_an_update() -> None:
    play = recorded()
    play.ended("network/n-a", outcome="interrupted", retryable=True)
    play.now += SETTLE + 1
    play.tell("tick")
    play.ended("network/n-a", outcome="unchanged", destination_id="there", changes=[])
    step = known(play.ledger, "network/n-a")
    assert (step.state, step.outcome, list(step.changes)) == ("done", "updated", CHANGES)


def test_what_came_between_is_recorded_too() -> None:
    play = recorded()
    more = {"mtu": [1500, 1400], "description": ["newer", "ours"]}
    play.ended("network/n-a", **{**DIFFERS, "replaces": more})
    assert play.hints("network/n-a")["replaced"] == {"there": more}
    play.ended("network/n-a", **{**DIFFERS, "destination_id": "another"})
    assert play.hints("network/n-a")["replaced"] == {"there": more, "another": REPLACES}
    play.ended("network/n-a", **{**UPDATED, "destination_id": "another"})
    play.control("undo")
    assert sorted(due.key for due in play.dues) == ["network/n-a/undo/another/4", "network/n-a/undo/there/4"]


def test_what_somebody_keeps_changing_is_given_up() -> None:
    play, tries = Play(network("a")), 0
    while play.dues:
        tries += 1
        play.ended("network/n-a", **{**DIFFERS, "replaces": {"mtu": [tries, 1400]}})
    step = known(play.ledger, "network/n-a")
    assert (tries, step.state, step.outcome) == (2 * TRIES, "failed", "conflict")
    assert step.reason == "somebody else keeps changing it (mtu), between our looks at it"


@pytest.mark.parametrize(("control", "phase"), [("cancel", "cancelled"), ("undo", "undone")])
def test_nothing_is_updated_once_it_is_over(control: str, phase: str) -> None:
    play = Play(network("a"))
    play.tell("step-claimed", step="network/n-a", attempt=1, token="t", again=False)
    play.control(control)
    play.ended("network/n-a", **DIFFERS)
    assert (play.ledger.head.phase, play.dues) == (phase, [])


def test_what_this_migration_has_made_is_removed_not_brought_back() -> None:
    play = recorded()
    play.ended("network/n-a", outcome="created", destination_id="there")
    play.control("undo")
    assert play.hints("network/n-a/undo/there") == {"since": 0.0, "destination_id": "there"}


@pytest.mark.parametrize("made", [True, False])
def test_routes_of_a_router_that_was_there_are_brought_back_before_it_is(made: bool) -> None:
    play = Play(network("a"), subnet("v4", "a"), router("r", routes=True), interface("r", "a", "v4"))
    for key in ("network/n-a", "subnet/s-v4", "router/r-r"):
        is_router = key.startswith("router")
        play.ended(key, outcome="created" if made or not is_router else "unchanged", destination_id=f"id-{key}")
    play.ended("router_interface/i-r-v4", outcome="created", destination_id="leg")
    finish = "router/r-r/finish"
    assert play.hints(finish)["made"] == (["id-router/r-r"] if made else [])
    if made:
        play.ended(finish, outcome="updated", destination_id="id-router/r-r")
    else:
        play.ended(finish, **{**DIFFERS, "destination_id": "id-router/r-r"})
        play.ended(finish, **{**UPDATED, "destination_id": "id-router/r-r"})
    assert play.ledger.head.phase == "done"
    play.control("undo")
    begun = {due.key for due in play.dues}
    assert begun == ({f"{finish}/undo/id-router/r-r/2"} if not made else {"router_interface/i-r-v4/undo/leg"})


@pytest.mark.parametrize("document", [server("a", 1), volume("v")], ids=["server", "volume"])
def test_a_workload_that_is_there_and_was_updated_is_brought_back(document: dict[str, Any]) -> None:
    key = "volume/v" if document["type"].endswith("ServerVolume") else "server/a"
    world = checked(document, "updated", key)
    tell = partial(ended, world)
    tell(step=key, attempt=1, **DIFFERS)
    tell(step=key, attempt=2, **UPDATED)
    head = known(world.ledger, key)
    assert (world.ledger.head.phase, head.state, head.outcome) == ("done", "done", "updated")
    world._tell("control-migration", {"migration": MIGRATION, "action": "undo"})
    tell(step=f"{key}/undo/there/2", attempt=1, outcome="restored", destination_id="there")
    assert world.ledger.head.phase == "undone"


def test_what_another_round_replaces_is_brought_back_again() -> None:
    world = checked(server("a", 1), "updated")
    tell = partial(ended, world)

    def control(action: str) -> None:
        world._tell("control-migration", {"migration": MIGRATION, "action": action})

    def restore() -> None:
        (taking,) = [step for step in world.ledger.all() if step.compensates and step.state == "asked"]
        tell(step=taking.key, attempt=taking.attempt, outcome="restored", destination_id="there")

    tell(step="server/a", attempt=1, **DIFFERS)
    control("cancel")
    tell(step="server/a", attempt=2, **UPDATED)
    restore()
    assert world.ledger.head.phase == "cancelled"
    control("retry")
    while known(world.ledger, "server/a/check").state != "asked":
        world._step()
    tell(step="server/a/check", attempt=2, outcome="updated", destination_id="there")
    tell(step="server/a", attempt=3, **DIFFERS)
    tell(step="server/a", attempt=4, **UPDATED)
    assert world.ledger.head.phase == "done"
    control("undo")
    restore()
    assert world.ledger.head.phase == "undone"
