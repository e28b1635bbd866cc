"""What users tell a migration, one thing after the other; the simulators try every order of two."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.plan.step import Asked, Copying, Passes, Planned, Reversal, Step, Trouble
from stackferry_coordinator.rules import compensation
from stackferry_coordinator.rules.reactions import granted, opened, react
from stackferry_coordinator.rules.transitions import SETTLE, TRIES, known

from .documents import interface, network, router, subnet

MIGRATION = "6b6f4f0c-5d3c-4c59-9d0b-0b6f1c1f0001"
NETWORK = "network/n-a"


class Play:
    """A migration of one network, told what happens."""

    def __init__(self, mode: str = "run", parts: int | None = 1) -> None:
        request = {"migration": MIGRATION, "destination": {"cloud": "dst"}, "mode": mode}
        request |= {"parts": parts} if parts else {"source": {"cloud": "src"}}
        self.ledger: Ledger = opened(request)
        self.now = 1000.0
        self.tell("request-migration", **request)

    def tell(self, name: str, **data: Any) -> list[tuple[str, int]]:
        return [(do.key, do.attempt) for do in react(self.ledger, name, {"migration": MIGRATION, **data}, self.now)]

    def control(self, action: str) -> list[tuple[str, int]]:
        return self.tell("control-migration", action=action)

    def documents(self, part: int = 1, name: str = "a") -> list[tuple[str, int]]:
        return self.tell("submit-documents", part=part, documents=[network(name)])


def test_a_retry_of_what_was_cancelled_while_it_was_read_reads_again() -> None:
    play = Play(parts=None)
    play.control("cancel")
    about = {"attempt": 1, "outcome": "done", "parts": 1}
    play.tell("documents-exported", attempt=1, part=1, documents=[network("a")])
    play.tell("export-ended", **about)
    assert play.ledger.head.phase == "cancelled"
    assert play.control("retry") == [("export", 2)]
    play.tell("documents-exported", attempt=2, part=1, documents=[network("a")])
    assert play.tell("export-ended", **{**about, "attempt": 2}) == [(NETWORK, 1)]


@pytest.mark.parametrize("late", [False, True])
def test_documents_that_come_while_it_is_cancelled_are_there_for_a_retry(late: bool) -> None:
    play = Play(parts=2)
    play.documents(1)
    play.control("cancel")
    assert play.ledger.head.phase == "cancelled"
    if not late:
        assert play.documents(2, "b") == []
    asked = play.control("retry")
    if late:
        assert (asked, play.ledger.head.phase) == ([], "new")
        asked = play.documents(2, "b")
    assert asked == [("room", 1)]
    assert play.tell("step-ended", step="room", attempt=1, outcome="done") == [(NETWORK, 1), ("network/n-b", 1)]


def test_nothing_that_was_there_before_the_start_is_taken_for_what_a_lost_try_has_made() -> None:
    """A plan writes nothing, so what somebody makes between plan and start is theirs, whatever became of the plan's tries."""
    play = Play("plan")
    play.documents()
    for attempt in range(1, TRIES + 1):
        play.tell("step-ended", step=NETWORK, attempt=attempt, outcome="interrupted", retryable=True)
        play.now += 2 * SETTLE
        play.tell("tick")
    play.now += 1000.0
    play.tell("step-ended", step=NETWORK, attempt=play.ledger.step(NETWORK).attempt, outcome="failed", reason="no")
    assert (play.ledger.head.phase, known(play.ledger, NETWORK).state) == ("planned", "failed")
    play.control("start")
    step = known(play.ledger, NETWORK)
    assert (step.asked.first_asked, step.trouble.doubt) == (play.now, False)


@pytest.mark.parametrize("word", ["undo", "retry"])
def test_what_could_not_be_removed_is_tried_again(word: str) -> None:
    play = Play()
    play.documents()
    play.tell("step-ended", step=NETWORK, attempt=1, outcome="created", destination_id="d1")
    removal = f"{NETWORK}/undo/d1"
    assert play.control("undo") == [(removal, 1)]
    play.tell("step-ended", step=removal, attempt=1, outcome="failed", retryable=False, reason="in use")
    assert play.ledger.head.phase == "stuck"
    assert "could not be taken back: in use; undo again" in str(play.ledger.head.reason)
    assert play.control(word) == [(removal, 2)]
    assert (play.ledger.head.phase, play.ledger.head.reason) == ("undoing", None)
    play.tell("step-ended", step=removal, attempt=2, outcome="removed")
    assert play.ledger.head.phase == "undone"


def claimed(play: Play, key: str) -> bool:
    """Whether a worker may begin the first try of a step."""
    data = {"step": key, "attempt": 1, "token": "t", "again": False}
    play.tell("step-claimed", **data)
    return granted(play.ledger, data)


@pytest.mark.parametrize("mode", ["run", "plan"])
def test_a_cancel_waits_for_nobody_who_has_begun_nothing(mode: str) -> None:
    """Such as an importer that isn't there: were it waited for, the migration would never end."""
    play = Play(mode)
    play.documents()
    play.control("cancel")
    assert (play.ledger.head.phase, known(play.ledger, NETWORK).state) == ("cancelled", "skipped")
    assert not claimed(play, NETWORK)


def test_a_cancel_waits_for_no_exporter() -> None:
    play = Play(parts=None)
    assert known(play.ledger, "export").state == "asked"
    play.control("cancel")
    assert play.ledger.head.phase == "cancelled"


def test_a_cancel_waits_for_what_was_begun() -> None:
    play = Play()
    play.documents()
    assert claimed(play, NETWORK)
    play.control("cancel")
    assert play.ledger.head.phase == "cancelling"
    play.tell("step-ended", step=NETWORK, attempt=1, outcome="created", destination_id="d1")
    assert (play.ledger.head.phase, known(play.ledger, NETWORK).destination_id) == ("cancelled", "d1")


def test_an_undo_removes_nothing_that_nobody_has_begun_to_make() -> None:
    play = Play()
    play.documents()
    assert play.control("undo") == []
    assert (play.ledger.head.phase, claimed(play, NETWORK)) == ("undone", False)


def test_another_round_of_a_workload_knows_nothing_of_the_first() -> None:
    ledger = opened({"migration": MIGRATION, "destination": {"cloud": "dst"}, "parts": 1})
    about: dict[str, Any] = {
        "planned": Planned(length=9), "reversal": Reversal("it failed", True, True), "passes": Passes(2, True, 1.0),
        "copying": Copying(mode="rehash", epoch=1, read_in=1), "asked": Asked(1.0, replaced={"d0": {"name": "n"}}),
        "trouble": Trouble(doubt=True), "made": ("d1",), "destination_id": "d1", "results": {"over": 1.0},
    }  # fmt: skip
    ledger.add(Step("server/a", "ensure", group="server/a", outcome="created", **about))
    ledger.add(Step("server/a/undo/d1", "remove", group="server/a", outcome="removed", **about))
    compensation.begin_again(ledger, "server/a")
    fresh = known(ledger, "server/a")
    assert fresh == Step("server/a", "ensure", group="server/a", planned=Planned(length=9))
    assert known(ledger, "server/a/undo/d1").outcome == "removed"  # what was taken back, was


def test_a_retry_begins_nothing_that_needs_what_makes_no_sense() -> None:
    """Two networks of one name, and nothing says which is meant: the subnet's leg can't be without its subnet."""
    play = Play()
    unclear = subnet("s", "a")
    del unclear["_info"]["source_ids"]
    leg_of = interface("r", "a", "s")
    leg_of["_info"]["source_ids"] = {"network_ref": "n-1", "fixed_ips_refs.0.subnet_ref": "s-s"}
    documents = [network("a", "n-1"), network("a", "n-2"), unclear, router("r"), leg_of]
    play.tell("submit-documents", part=1, documents=documents)
    while due := [s for s in play.ledger.all() if s.state == "asked"]:
        for step in due:
            how = {"outcome": "done"} if step.key == "room" else {"outcome": "failed", "retryable": False}
            play.tell("step-ended", step=step.key, attempt=step.attempt, **how)
    leg = "router_interface/i-r-s"
    before = {key: known(play.ledger, key).state for key in ("subnet/s-s", leg)}
    assert before == {"subnet/s-s": "failed", leg: "skipped"}
    asked = {key for key, _ in play.control("retry")}
    assert asked == {"network/n-1", "router/r-r"}
    assert {key: known(play.ledger, key).state for key in ("subnet/s-s", leg)} == before
    assert known(play.ledger, leg).reason == "needs subnet 's', which failed"
