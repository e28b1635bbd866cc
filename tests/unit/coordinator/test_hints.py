"""What an importer is told of earlier tries: what is younger than the first of them may be theirs."""

from __future__ import annotations

from typing import Any

from stackferry_coordinator.commands.resources import command
from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.rules.reactions import Do, opened, react

from .documents import network

MIGRATION = "00000000-0000-0000-0000-000000000001"
KEY = "network/n-net"


def planned() -> Ledger:
    request = {"migration": MIGRATION, "destination": {"cloud": "dst"}, "mode": "plan", "parts": 1}
    ledger = opened(request)
    react(ledger, "request-migration", request, 1.0)
    react(ledger, "submit-documents", {"migration": MIGRATION, "part": 1, "documents": [network("net")]}, 2.0)
    told(ledger, 3.0, outcome="created")
    react(ledger, "control-migration", {"migration": MIGRATION, "action": "start"}, 4.0)
    return ledger


def told(ledger: Ledger, now: float, **ended: Any) -> None:
    step = ledger.step(KEY)
    assert step is not None
    react(ledger, "step-ended", {"migration": MIGRATION, "step": KEY, "attempt": step.attempt, **ended}, now)


def hints(ledger: Ledger) -> dict[str, Any]:
    step = ledger.step(KEY)
    assert step is not None
    assert step.state == "asked"
    found: dict[str, Any] = command(ledger, Do(KEY, step.attempt), lambda *_: None, [])[1]["hints"]
    return found


def test_a_first_try_after_a_plan_looks_afresh_and_has_made_nothing_yet() -> None:
    assert hints(planned()) == {"look": True, "made": [], "replaced": {}}


def test_what_a_lost_try_has_made_is_looked_for_from_its_beginning() -> None:
    ledger = planned()
    told(ledger, 5.0, outcome="interrupted", retryable=True)
    react(ledger, "tick", {"migration": MIGRATION}, 100.0)
    found = hints(ledger)
    assert (found["look"], found["first_asked"]) == (True, 4.0)


def test_what_another_migration_made_until_it_was_met_is_no_lost_trys() -> None:
    ledger = planned()
    step = ledger.step(KEY)
    assert step is not None
    react(ledger, "met", {"migration": MIGRATION, "step": KEY, "attempt": step.attempt}, 50.0)
    step = ledger.step(KEY)
    assert step is not None
    assert step.asked.first_asked == 4.0  # how long it took is counted from there
    told(ledger, 60.0, outcome="interrupted", retryable=True)
    react(ledger, "tick", {"migration": MIGRATION}, 100.0)
    found = hints(ledger)
    assert (found["look"], found["first_asked"]) == (True, 51.0)
