"""What users tell a migration: start, pause, resume, cancel, retry, undo. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stackferry import cleanup
from stackferry.step_key import TRANSFER, of_task, read

from ..plan.ledger import Ledger
from ..plan.states import OPEN
from ..plan.step import Step, but
from . import compensation, planning, quotas, slices, transitions, undo


def _start(ledger: Ledger, now: float) -> None:
    """Do what was planned."""
    if ledger.head.phase != "planned":
        return
    ledger.head = replace(ledger.head, mode="run", phase="running", paused=False, reason=None)
    slices.begin(ledger, "start", now)


def _retry(ledger: Ledger, now: float) -> None:
    """Give everything that failed, and what it held up, another round."""
    head = ledger.head
    export = ledger.step("export")
    if ledger.has_plain_undo():
        undo.begin(ledger, now)
        return
    is_planned = sum(head.counts.values()) > (export is not None)
    if not is_planned or (export is not None and export.state == "failed"):
        phase = "new"
    else:
        phase = "planning" if head.mode == "plan" else "running"
    ledger.head = replace(head, phase=phase, paused=False, reason=None)
    if is_planned:
        slices.begin(ledger, "retry", now)
        return
    transitions.reopen(ledger, lambda step: True)
    planning.plan_when_complete(ledger, now)  # the documents may have come while it was cancelled


def _retry_plain(ledger: Ledger, steps: list[Step], now: float) -> None:
    chosen = {step.key: step.state not in OPEN for step in steps if _is_unfinished(ledger, step)}
    transitions.reopen_unfreed(ledger, chosen)


def _is_unfinished(ledger: Ledger, step: Step) -> bool:
    if step.action in cleanup.ACTIONS:  # only its own command deletes at the source
        return False
    if ledger.head.agenda and step.trouble.late == ledger.head.agenda["since"]:
        return False
    if step.key == quotas.AT_SOURCE and step.results.get("refused"):
        return True
    if step.state in ("failed", "skipped"):
        return True
    # A payload that can't be taken in may need another image to be made first.
    payload = ledger.step(of_task(step.key, TRANSFER)) if step.action == "ensure" and step.kind == "image" else None
    return payload is not None and payload.state == "failed"


def _retry_workload(ledger: Ledger, group: str, now: float) -> None:
    """Another round for all of a failed workload, or for what could not be taken back of it."""
    steps = ledger.of_group(group)
    left = {s.key for s in steps if s.compensates and s.state in ("failed", "skipped")}
    chosen: set[str] = set()
    if left:
        head = transitions.known(ledger, group)
        ledger.change(head, reversal=but(head.reversal, taken_back=False))
        chosen = left
    elif transitions.failing(ledger, group):
        if transitions.known(ledger, group).reversal.taken_back:  # else it's still being taken back
            compensation.begin_again(ledger, group)
            # A disk that has left its hosts has left them: nothing of it is there to be detached.
            chosen = {s.key for s in steps if not s.compensates and not (read(s.key).is_move and s.state == "done")}
    else:
        chosen = {s.key for s in steps if s.state in ("failed", "skipped")}
    again = {step.key: step.state not in OPEN for step in ledger.fresh(steps) if step.key in chosen}
    transitions.reopen_unfreed(ledger, again)


def _cancel(ledger: Ledger, now: float) -> None:
    """Ask nothing more; what is under way ends. What was made stays (``undo`` removes it), except of
    workloads that are under way: half a server is of no use."""
    ledger.head = replace(ledger.head, phase="cancelling", paused=False)
    slices.begin(ledger, slices.CANCEL, now)


def _cancel_plain(ledger: Ledger, steps: list[Step], now: float) -> None:
    undo.drop_unasked(ledger, steps, "cancelled")


def _cancel_workload(ledger: Ledger, group: str, now: float) -> None:
    compensation.fail_begun(ledger, group, "cancelled", now)
    undo.drop_unasked(ledger, ledger.of_group(group), "cancelled")


slices.WORKS |= {
    what: slices.Work({"plain": slices.with_plain(plain), "groups": slices.with_groups(workload), "free": slices.free})
    for what, plain, workload in (
        ("retry", _retry_plain, _retry_workload),
        (slices.CANCEL, _cancel_plain, _cancel_workload),  # frees what a retry has reopened that it follows on
        ("undo", undo.plain, undo.workload),
    )
}


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
