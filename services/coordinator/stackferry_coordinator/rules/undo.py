"""Undo: remove whatever any try has made, last first, once nothing is under way. Pure."""

from __future__ import annotations

from dataclasses import replace

from stackferry.step_key import surplus

from ..plan.ledger import Ledger
from ..plan.step import Step
from . import compensation, slices, transitions

UNBEGUN = "undone before it was begun"


def begin(ledger: Ledger, now: float) -> None:
    """Remove whatever was made; first find out what an interrupted try has made, without making more."""
    ledger.head = replace(ledger.head, phase="undoing", paused=False, reason=None)
    slices.begin(ledger, "undo", now)


def plain(ledger: Ledger, steps: list[Step], now: float) -> None:
    """The same for some steps of no workload."""
    _again(ledger, steps)
    drop_unasked(ledger, steps, UNBEGUN)
    for step in ledger.fresh(steps):
        if transitions.doubtful(step) and step.state in ("skipped", "failed"):
            ledger.change(step, state="resting", due=now + transitions.SETTLE, tries=0)


def workload(ledger: Ledger, group: str, now: float) -> None:
    """The same for a workload."""
    _again(ledger, ledger.of_group(group))
    compensation.fail_begun(ledger, group, "undone", now, ended=True)
    drop_unasked(ledger, ledger.of_group(group), UNBEGUN)


def _again(ledger: Ledger, steps: list[Step]) -> None:
    """Take away once more what could not be."""
    taking = [s for s in steps if (s.action == "remove" or s.compensates) and s.state in ("failed", "skipped")]
    transitions.reopen_unfreed(ledger, dict.fromkeys((s.key for s in taking), True))


def drop_unasked(ledger: Ledger, steps: list[Step], reason: str) -> None:
    """Skip what isn't under way; a workload that is given up, or has arrived, sees to itself."""
    for step in ledger.fresh(steps):
        if step.compensates or (step.group and _sees_to_itself(ledger, step.group)):
            continue
        idle = step.state in ("waiting", "ready", "wanting", "resting") or _unbegun(step)
        if idle and step.action != "remove":
            ledger.change(step, state="skipped", reason=reason, due=None)


def _unbegun(step: Step) -> bool:
    """Whether nobody is at it, or has anything to end: who claims it from now on is refused, and an export makes
    nothing. To wait for them might be for ever."""
    return not step.group and step.state == "asked" and (step.claim is None or step.action == "export")


def _sees_to_itself(ledger: Ledger, group: str) -> bool:
    return transitions.failing(ledger, group) or transitions.arrived(ledger, group)


def carry_on(ledger: Ledger) -> None:
    """Once nothing is under way: remove what was made, last first; when that's over, say so."""
    steps = ledger.plain()
    begun = {s.key for s in steps if s.action == "remove"}
    for step in sorted(steps, key=lambda s: s.order):
        if step.action not in ("ensure", "finish") or step.state == "removed":
            continue
        for removal in compensation.removals(step):
            if removal.key not in begun and surplus(step.key, removal.destination_id or "") not in begun:
                ledger.add(removal)
    if new := [s for s in ledger.plain() if s.action == "remove" and s.key not in begun]:
        order(ledger, new)
    if ledger.head.open:
        return
    for step in ledger.failed():
        if _in_doubt(step):
            lost = transitions.doubtful(step) and not step.compensates
            what = "may have been made by a try that was lost" if lost else "could not be taken back"
            reason = f"{step.kind} {step.name!r} {what}: {step.reason}; undo again"
            ledger.head = replace(ledger.head, phase="stuck", reason=reason)
            return
    ledger.head = replace(ledger.head, phase="undone")


def _in_doubt(step: Step) -> bool:
    """Whether something may be there that should not: a removal failed, or nobody knows what a lost try has made."""
    return step.state == "failed" and (step.action == "remove" or step.compensates or transitions.doubtful(step))


def order(ledger: Ledger, removals: list[Step]) -> None:
    """A removal waits for the removals of everything that came after the resource.

    It is given up only when something can't be removed that was built upon it: that would be refused anyway.
    """
    by_step: dict[str, list[str]] = {}
    for removal in removals:
        by_step.setdefault(removal.of, []).append(removal.key)
    for removal in removals:
        later = ledger.after(removal.of)
        upon = [(removed, hard) for key, hard in later for removed in by_step.get(key, [])]
        for key, hard in upon:
            ledger.link(key, removal.key, hard)
        ledger.change(removal, waits=len(upon), state="waiting" if upon else "ready")
