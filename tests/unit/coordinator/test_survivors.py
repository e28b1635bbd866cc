"""What mutants of the core came through with, until these tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stackferry_coordinator.plan.ledger import Head, Ledger
from stackferry_coordinator.plan.step import Step, Trouble
from stackferry_coordinator.rules import relocation, transitions, undo, warm_passes
from stackferry_coordinator.rules.reactions import opened, react
from stackferry_coordinator.rules.transitions import LEASE, known

MIGRATION = "6b6f4f0c-5d3c-4c59-9d0b-0b6f1c1f0003"


def ledger(*steps: Step, **head: Any) -> Ledger:
    found = Ledger(Head("m", {}, **head))
    for step in steps:
        found.add(step)
    return found


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step("network/a", "ensure", "network", "a", state="failed", trouble=Trouble(doubt=True), reason="403"),
         "network 'a' may have been made by a try that was lost: 403; undo again"),
        (Step("server/a/stop/undo/1", "start", "server", "a", state="failed", group="server/a", reason="403"),
         "server 'a' could not be taken back: 403; undo again"),
        (Step("network/a/surplus/n", "remove", "network", "a", state="failed", reason="403"),
         "network 'a' could not be taken back: 403; undo again"),
    ],
)  # fmt: skip
def test_an_undo_that_leaves_something_in_doubt_says_what(step: Step, said: str) -> None:
    left = ledger(step, phase="undoing")
    undo.carry_on(left)
    assert (left.head.phase, left.head.reason) == ("stuck", said)


def test_an_undo_is_over_where_a_failure_has_left_nothing() -> None:
    left = ledger(Step("network/a", "ensure", "network", "a", state="failed", reason="403"), phase="undoing")
    undo.carry_on(left)
    assert left.head.phase == "undone"


def test_one_that_is_given_up_is_waited_for_no_longer_and_others_still_are() -> None:
    given_up = Step("server/a", "ensure", "server", "a", group="server/a")
    both = ledger(given_up, Step("server/b/stop", "stop", group="server/b", waits=2))
    both.link("server/a", "server/b/stop", False)
    transitions.give_up(both, given_up, "given up")
    assert replace(known(both, "server/b/stop"), reason=None) == Step(
        "server/b/stop", "stop", group="server/b", waits=1
    )


def test_an_exporter_has_time_again_with_each_part_of_the_documents() -> None:
    request = {"migration": MIGRATION, "source": {"cloud": "src"}, "destination": {"cloud": "dst"}}
    reading = opened(request)
    react(reading, "request-migration", request, 0.0)
    react(reading, "documents-exported", {"migration": MIGRATION, "attempt": 1, "part": 1, "documents": []}, 200.0)
    assert known(reading, "export").due == 200.0 + LEASE


@pytest.mark.parametrize(("many", "why"), [(19, None), (20, "20 passes were made")])
def test_passes_come_to_an_end_however_they_shrink(many: int, why: str | None) -> None:
    written = [1 << (40 - number) for number in range(many)]
    assert warm_passes._due({"cutover": "auto", "cutover_below": 0}, written, asked=False, now=0.0) == why


def test_an_export_whose_command_may_be_lost_is_asked_again_and_no_try_is_used_up() -> None:
    asked = ledger(Step("export", "export", state="asked", attempt=1, tries=1, due=10.0), phase="new")
    react(asked, "tick", {}, 10.0)
    assert (known(asked, "export").tries, known(asked, "export").attempt) == (1, 2)  # the second one counts again


def test_what_another_migration_holds_up_uses_up_no_try() -> None:
    held = ledger(Step("network/a", "ensure", "network", "a", state="asked", attempt=4, tries=3), phase="running")
    react(held, "held-up", {"migration": "m", "step": "network/a", "attempt": 4, "reason": "another one"}, 10.0)
    step = known(held, "network/a")
    assert (step.state, step.tries, step.trouble.held_up) == ("resting", 2, 10.0)


@pytest.mark.parametrize(("state", "is_on"), [
    ("waiting", False), ("skipped", False), ("failed", False), ("resting", True), ("done", True),
])  # fmt: skip
def test_a_volume_is_on_its_host_when_that_was_asked_for(state: str, is_on: bool) -> None:
    attach = Step("volume/v/attach-source", "attach", "volume", "v", state=state, group="server/s")
    assert relocation._may_be_attached(ledger(attach), attach) is is_on
