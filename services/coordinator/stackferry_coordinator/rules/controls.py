"""What users tell a migration: start, pause, resume, cancel, retry, undo. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stackferry import cleanup

from ..plan.ledger import Ledger, Step
from . import compensation, planning, quotas, transitions, undo


def _start(ledger: Ledger, now: float) -> None:
    """Do what was planned."""
    if ledger.head.phase != "planned":
        return
    ledger.head = replace(ledger.head, mode="run", phase="running", paused=False, reason=None)
    documents = [ledger.documents[s.key] for s in ledger.all() if s.action == "compare"]
    for step in ledger.all():
        if step.action == "compare":
            hints = {n: v for n, v in step.hints.items() if n not in transitions.OF_A_TRY}  # a comparison makes nothing
            ledger.change(step, action="ensure", state="waiting", outcome=None, destination_id=None, hints=hints)
    planning.add_late_steps(ledger, documents)
    transitions.reopen(ledger, lambda step: step.action != "export" and step.key != quotas.AT_SOURCE)


def _retry(ledger: Ledger, now: float) -> None:
    """Give everything that failed, and what it held up, another round."""
    head = ledger.head
    export = ledger.step("export")
    if any(step.compensates and not step.group for step in ledger.all()):
        undo.begin(ledger, now)
        return
    is_planned = any(step.action != "export" for step in ledger.all())
    if not is_planned or (export is not None and export.state == "failed"):
        phase = "new"
    else:
        phase = "planning" if head.mode == "plan" else "running"
    ledger.head = replace(head, phase=phase, paused=False, reason=None)
    # A payload that can't be taken in may need another image to be made first.
    failed = {s.key.removesuffix("/transfer") for s in ledger.all() if s.action == "transfer" and s.state == "failed"}
    anew = _workloads_to_retry(ledger)
    transitions.reopen(
        ledger,
        lambda step: step.key in anew or (not step.group and _unfinished(step, failed)) or not is_planned,
    )
    planning.plan_when_complete(ledger)  # the documents may have come while it was cancelled


def _unfinished(step: Step, failed: set[str]) -> bool:
    if step.action in cleanup.ACTIONS:  # only its own command deletes at the source
        return False
    if step.key == quotas.AT_SOURCE and step.results.get("refused"):
        return True
    return step.state in ("failed", "skipped") or (step.key in failed and step.action != "keep")


def _workloads_to_retry(ledger: Ledger) -> set[str]:
    """The steps of workloads that get another round: all of a failed one, or what could not be taken back of it."""
    chosen: set[str] = set()
    for group in ledger.groups():
        steps = ledger.of_group(group)
        left = {s.key for s in steps if s.compensates and s.state in ("failed", "skipped")}
        over = {s.key for s in steps if not s.compensates}
        if left:
            head = transitions.known(ledger, group)
            ledger.change(head, hints={n: v for n, v in head.hints.items() if n != "taken_back"})
            chosen |= left
        elif transitions.failing(ledger, group):
            if transitions.known(ledger, group).hints.get("taken_back"):  # else it's still being taken back
                compensation.begin_again(ledger, group)
                chosen |= over
        else:
            chosen |= {s.key for s in steps if s.state in ("failed", "skipped")}
    return chosen


def _cancel(ledger: Ledger, now: float) -> None:
    """Ask nothing more; what is under way ends. What was made stays (``undo`` removes it), except of
    workloads that are under way: half a server is of no use."""
    ledger.head = replace(ledger.head, phase="cancelling", paused=False)
    compensation.fail_all(ledger, "cancelled", now)
    undo.drop_unasked(ledger, "cancelled")


def _pause(ledger: Ledger, now: float) -> None:
    ledger.head = replace(ledger.head, paused=True)


def _resume(ledger: Ledger, now: float) -> None:
    ledger.head = replace(ledger.head, paused=False)


CONTROLS: dict[str, Callable[[Ledger, float], None]] = {
    "start": _start,
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "retry": _retry,
    "undo": undo.begin,
}
