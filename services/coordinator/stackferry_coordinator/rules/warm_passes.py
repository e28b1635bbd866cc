"""Warm migration: pass after pass over fresh snapshots while the server runs, until it's time to cut over. Pure.

A pass is a round of the itinerary's ``warm-`` lines. When the last of them is over, the server's ``cutover`` step
decides: cut over now, rest until the next pass, or begin it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stackferry.moved import earlier
from stackferry.resources.migration_params import SERVER, chosen, moment
from stackferry.step_key import of_task, read

from ..plan.itinerary import task_of
from ..plan.ledger import Ledger
from ..plan.states import OPEN
from ..plan.step import Step, but
from . import transitions

MOST = 20  # passes, where nobody says when to cut over
SHRINKS = 0.9  # a pass that writes more than this part of what the one before wrote: more passes don't help
KEPT = "warm-volume"  # the warm line that one round is enough for


def follow(ledger: Ledger, now: float) -> None:
    """Decide what is to be decided now."""
    while ledger.deciding:
        step = transitions.known(ledger, ledger.deciding.pop())
        if step.state == "resting" and not transitions.failing(ledger, step.group):
            _decide(ledger, step, now)


def ask(ledger: Ledger, servers: Iterable[str] | None) -> None:
    """Somebody wants to cut over: after the pass that is under way, or at once where none is."""
    for step in _waiting(ledger, set(servers or ())):
        ledger.change(step, passes=but(step.passes, asked=True))
        if step.state == "resting":
            ledger.deciding.add(step.key)


def refusal(ledger: Ledger, servers: Iterable[str] | None) -> str | None:
    """Return why these servers can't be told to cut over; None when each of them can."""
    if not servers:
        return None if _waiting(ledger, set()) else "no server of this migration waits to cut over"
    missing = [server for server in servers if not _waiting(ledger, {server})]
    return f"no server {missing[0]!r} of this migration waits to cut over" if missing else None


def _waiting(ledger: Ledger, servers: set[str]) -> list[Step]:
    """The cut-overs that are still to come, of servers by name or id, or of all."""
    steps = [step for group in ledger.groups() if (step := ledger.step(of_task(group, "cutover")))]
    mine = [s for s in steps if s.state in OPEN and not transitions.failing(ledger, s.group)]
    return [s for s in mine if not servers or servers & {s.name, str(s.source_id)}]


def _decide(ledger: Ledger, step: Step, now: float) -> None:
    steps = _of_pass(ledger, step.group)
    written, number = list(step.results.get("written") or []), step.passes.number
    if len(written) < number:
        written.append(sum((s.results.get("counts") or {}).get("written", 0) for s in steps if s.action == "copy"))
        step = ledger.change(step, results={**step.results, "written": written}, passes=but(step.passes, ended=now))
    how = chosen(SERVER, ledger.documents[step.group])
    why = _due(how, written, step.passes.asked, now)
    if why is not None:
        results = {**step.results, "passes": number, "why": why}
        transitions.close(ledger, step, "done", outcome="done", results=results)
        return
    due = _next(how, step.passes.ended or now, now)
    ledger.change(step, due=due)
    if due <= now:
        _again(ledger, transitions.known(ledger, step.key), steps)


def _due(how: dict[str, Any], written: list[int], asked: bool, now: float) -> str | None:
    """Return why it's time to cut over; None when it isn't."""
    if asked:
        return "it was asked for"
    if how["cutover"] == "manual":
        return None
    if how["cutover"] != "auto":
        return "it was time" if now >= moment(how["cutover"]) else None
    if written[-1] <= how["cutover_below"]:
        return f"the last pass wrote {written[-1]} bytes"
    if len(written) >= MOST:
        return f"{MOST} passes were made"
    shrunk = len(written) < 3 or written[-1] < SHRINKS * written[-2]
    return None if shrunk else "passes don't get smaller any more"


def _next(how: dict[str, Any], ended: float, now: float) -> float:
    """When the next pass begins: at once where the server is to be cut over soon."""
    if how["cutover"] == "auto":
        return now
    due: float = ended + how["pass_interval"]
    return due if how["cutover"] == "manual" else min(due, moment(how["cutover"]))


def _of_pass(ledger: Ledger, group: str) -> list[Step]:
    """The steps that each pass repeats."""
    steps = [s for s in ledger.of_group(group) if read(s.key).is_warm and s.key == s.of]
    return [s for s in steps if (task := task_of(s.key)) and task.id != KEPT]


def _again(ledger: Ledger, cutover: Step, steps: list[Step]) -> None:
    """Begin the next pass."""
    number = cutover.passes.number + 1
    ledger.change(cutover, passes=but(cutover.passes, number=number))
    for step in steps:
        # Which hosts a volume was on tells whose journal counts; of the others, what the passes before took.
        kept = step.results if step.action == "assign" else earlier(step.results, step.seconds)
        own = {"passes": but(step.passes, number=number), "results": kept}
        ledger.change(step, outcome=None, done=0, seconds=0.0, **own)
    transitions.reopen_keys(ledger, {step.key: step.state not in OPEN for step in [cutover, *steps]})
