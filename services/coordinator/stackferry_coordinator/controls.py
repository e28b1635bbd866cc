"""What users tell a migration: start, pause, resume, cancel, retry, undo. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from . import moves, planning, undo
from .ledger import Ledger


def _start(ledger: Ledger, now: float) -> None:
    """Do what was planned."""
    if ledger.head.phase != "planned":
        return
    ledger.head = replace(ledger.head, mode="run", phase="running", reason=None)
    documents = [ledger.documents[s.key] for s in ledger.all() if s.action == "compare"]
    for step in ledger.all():
        if step.action == "compare":
            ledger.put(replace(step, action="ensure", state="waiting", outcome=None, destination_id=None))
    planning.add_late_steps(ledger, documents)
    moves.reopen(ledger, lambda step: step.action != "export")


def _retry(ledger: Ledger, now: float) -> None:
    """Give everything that failed, and what it held up, another round."""
    head = ledger.head
    export = ledger.step("export")
    if any(step.action == "remove" and "/undo/" in step.key for step in ledger.all()):
        undo.begin(ledger, now)
        return
    if export is not None and export.state == "failed":
        phase = "new"
    else:
        phase = "planning" if head.mode == "plan" else "running"
    ledger.head = replace(head, phase=phase, reason=None)
    # A payload that can't be taken in may need another image to be made first.
    failed = {s.key.removesuffix("/transfer") for s in ledger.all() if s.action == "transfer" and s.state == "failed"}
    moves.reopen(
        ledger, lambda step: step.state in ("failed", "skipped") or (step.key in failed and step.action != "keep")
    )


def _cancel(ledger: Ledger, now: float) -> None:
    """Ask nothing more; what is under way ends. What was made stays (``undo`` removes it)."""
    ledger.head = replace(ledger.head, phase="cancelled", paused=False)
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
