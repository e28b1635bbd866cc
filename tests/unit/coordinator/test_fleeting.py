"""Progress: judged once in a while, told at most twice a second, and never after the end of its try."""

from __future__ import annotations

import json

from stackferry.envelope import Envelope
from stackferry.messages import StepProgressed
from stackferry_coordinator.events.fleeting import BELIEVED, PAUSE, Fleeting
from stackferry_coordinator.plan.ledger import Head

MIGRATION = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
HEAD = Head(MIGRATION, {"source": {"cloud": "old"}, "destination": {"cloud": "new"}, "name": "nightly"})


def progress(done: int, step: str = "s", attempt: int = 1) -> Envelope:
    data = {"migration": MIGRATION, "step": step, "attempt": attempt, "done": done}
    return StepProgressed.make("agent", data)


def told(fleeting: Fleeting, now: float) -> dict[str, int]:
    """Step → what is told of it."""
    found = {}
    for outgoing in fleeting.due(now):
        assert (outgoing.exchange, outgoing.key) == ("stackferry.events", f"old.new.{MIGRATION}.step-progressed")
        data = json.loads(outgoing.body)["data"]
        assert data["migration_name"] == "nightly"
        found[data["step"]] = data["done"]
    return found


def test_who_was_just_heard_is_believed_about_the_same_try_for_a_while() -> None:
    fleeting = Fleeting()
    assert not fleeting.take(progress(1), "h1", 0.0)
    fleeting.believe(HEAD, progress(1), "h1", 0.0)
    assert fleeting.take(progress(2), "h1", BELIEVED - 0.1)
    assert not fleeting.take(progress(3), "h2", 1.0), "another sender"
    assert not fleeting.take(progress(3, attempt=2), "h1", 1.0), "another try"
    assert not fleeting.take(progress(3, step="t"), "h1", 1.0), "another step"
    assert not fleeting.take(progress(3), "h1", BELIEVED), "too long ago"
    assert not fleeting.take(progress(3), "h1", -1.0), "a clock that jumped back"
    assert told(fleeting, 10.0) == {"s": 2}


def test_the_latest_of_each_step_is_told_and_not_too_often() -> None:
    fleeting = Fleeting()
    for step in ("s", "t"):
        fleeting.believe(HEAD, progress(1, step), "h1", 0.0)
    assert told(fleeting, 0.0) == {"s": 1, "t": 1}
    for done in range(2, 9):
        assert fleeting.take(progress(done), "h1", done / 100)
        assert told(fleeting, done / 100) == {}
    assert told(fleeting, PAUSE) == {"s": 8}
    assert told(fleeting, 2 * PAUSE) == {}


def test_before_another_word_about_a_step_the_latest_is_told_at_once_and_nobody_is_believed_afterwards() -> None:
    fleeting = Fleeting()
    fleeting.believe(HEAD, progress(1), "h1", 0.0)
    assert told(fleeting, 0.0) == {"s": 1}
    assert fleeting.take(progress(2), "h1", 0.1)
    fleeting.over({"migration": MIGRATION, "step": "t"})
    assert told(fleeting, 0.1) == {}
    fleeting.over({"migration": MIGRATION, "step": "s"})
    assert told(fleeting, 0.1) == {"s": 2}
    assert not fleeting.take(progress(3), "h1", 0.2)
