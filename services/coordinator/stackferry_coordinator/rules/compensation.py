"""Taking a workload back: after a failure, a cancel or an undo, the source is as it was and nothing is left. Pure.

A workload that fails stops asking; once nothing of it is under way, whatever any try of any step has done is taken
back, last first, each by a step of its own (``<key>/undo/...``). Other workloads go on meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stackferry.step_key import of_task, read, undo

from ..plan.itinerary import COORDINATOR, Task, task_of
from ..plan.ledger import Ledger
from ..plan.states import OPEN
from ..plan.step import Asked, Copying, Passes, Reversal, Step, but
from . import transitions


def follow(ledger: Ledger, now: float) -> None:
    """Look at the workloads in which something has changed."""
    while ledger.moved:
        group = ledger.moved.pop()
        reason = ledger.troubled.pop(group, None)
        _note_arrival(ledger, group, now)
        if reason is not None and not transitions.failing(ledger, group):
            fail(ledger, group, reason, now)
        elif transitions.failing(ledger, group):
            _carry_on(ledger, group)


def _note_arrival(ledger: Ledger, group: str, now: float) -> None:
    """Keep when a volume that is a workload of its own had all its bytes, and let go of the hosts."""
    if read(group).kind != "volume":
        return
    settle, head = ledger.step(of_task(group, "settle")), transitions.known(ledger, group)
    if head.state == "done" and settle is not None and settle.state not in OPEN:
        ledger.change(head, results={"over": now, **head.results})


def fail(ledger: Ledger, group: str, reason: str, now: float) -> None:
    """Stop asking for a workload's steps; what is under way ends by itself."""
    head = transitions.known(ledger, group)
    ledger.change(head, reversal=but(head.reversal, failing=reason))
    for step in ledger.fresh(ledger.of_group(group)):
        if step.compensates or step.state in ("asked", "holding", "done", "removed"):
            continue
        if transitions.doubtful(step):
            look = but(step.reversal, only_look=True)
            if step.state in ("failed", "skipped"):  # it will be over once more
                transitions.wait_again(ledger, step)
            ledger.change(step, state="resting", due=now + transitions.SETTLE, tries=0, reversal=look)
        elif step.state in ("failed", "skipped"):
            continue
        elif not (step.state == "resting" and step.outcome == "interrupted"):  # else a request may still take effect
            transitions.give_up(ledger, step, f"given up: {reason}")
    _carry_on(ledger, group)


def fail_begun(ledger: Ledger, group: str, reason: str, now: float, ended: bool = False) -> None:
    """Give up a workload that was begun, unless it has arrived: then it only tidies up. *ended*: that, too.

    Its last try may have ended since people asked for it: what it did is taken back all the same.
    """
    if transitions.failing(ledger, group) or (not ended and transitions.arrived(ledger, group)):
        return
    steps = ledger.of_group(group)
    begun = any(step.attempt or step.state == "holding" for step in steps)
    if begun and (any(step.state in (*OPEN, "holding") for step in steps) or _compensations(steps)):
        fail(ledger, group, reason, now)


def _carry_on(ledger: Ledger, group: str) -> None:
    """Once nothing of a failing workload is under way: take back what was done; when that's over, say so."""
    steps = ledger.of_group(group)
    if any(step.state in OPEN for step in steps):
        return
    wanted, head = _compensations(steps), transitions.known(ledger, group)
    if fresh := [step for step in wanted if ledger.step(step.key) is None]:
        ledger.change(head, reversal=but(head.reversal, taken_back=False))
        _order(ledger, steps, fresh)
        if again := {"done": "running", "undone": "undoing", "cancelled": "cancelling"}.get(ledger.head.phase):
            ledger.head = replace(ledger.head, phase=again)  # a try that was thought to be lost has made it
    elif not head.reversal.taken_back:
        for step in ledger.fresh(steps):
            if step.state == "holding":
                transitions.release(ledger, step.key)
        for step in ledger.fresh(steps):
            if step.action == "ensure" and step.state == "done" and step.made:
                ledger.change(step, state="removed")
        head = transitions.known(ledger, group)
        reversal, reason = but(head.reversal, taken_back=True), _verdict(ledger, head, wanted)
        ledger.change(head, reversal=reversal, state="failed", reason=reason)


def _verdict(ledger: Ledger, head: Step, wanted: list[Step]) -> str:
    """What people are told of a workload that failed."""
    left = [step for one in wanted if (step := transitions.known(ledger, one.key)).state not in ("removed", "done")]
    what = str(head.reversal.failing)
    if left:
        return f"{what}; {left[0].name or left[0].key} could not be taken back: {left[0].reason}"
    return f"{what}; taken back" if wanted else what


def stuck(ledger: Ledger) -> Step | None:
    """Return a step that should have taken something back and could not, if there is one."""
    return next((s for s in ledger.unsettled() if s.compensates or transitions.doubtful(s)), None)


def _compensations(steps: list[Step]) -> list[Step]:
    """The steps that take back what the tries of a workload's steps have done."""
    found = []
    for step in steps:
        if step.compensates or not step.attempt or step.key != step.of:
            continue
        task = task_of(step.key)
        if step.action == "ensure":
            found += removals(step)
        elif task is not None and task.undo and task.side != COORDINATOR:
            found.append(_taking_back(step, task))
    return found


def removals(step: Step) -> list[Step]:
    """The steps that take away what a step has made, and bring back what it has replaced, in this round."""
    replaced = {id_: told for id_, told in step.asked.replaced.items() if id_ not in step.made}
    return [_removal(step, id_, id_, {}) for id_ in step.made] + [
        _removal(step, f"{id_}/{step.attempt}", id_, {id_: told}) for id_, told in replaced.items()
    ]


def _removal(step: Step, name: str, id_: str, replaced: dict[str, Any]) -> Step:
    key = undo(step.key, name)
    return Step(key, "remove", step.kind, step.name, -step.order, group=step.group, destination_id=id_,
                asked=Asked(replaced=replaced))  # fmt: skip


def _taking_back(step: Step, task: Task) -> Step:
    key = undo(step.key, step.attempt)
    return Step(key, task.undo or "", step.kind, step.name, -step.order, group=step.group, source_id=step.source_id)


def _order(ledger: Ledger, steps: list[Step], fresh: list[Step]) -> None:
    """What is done last is taken back first."""
    later = _descendants(ledger, {step.key for step in steps if not step.compensates})
    for step in fresh:
        upon = [other.key for other in fresh if other.of in later[step.of]]
        for key in upon:
            ledger.link(key, step.key, True)
        ledger.add(replace(step, waits=len(upon), state="waiting" if upon else "ready"))


def _descendants(ledger: Ledger, keys: set[str]) -> dict[str, set[str]]:
    """Step → every step of the workload that comes after it, at whatever distance."""
    after = {key: {k for k, _ in ledger.after(key)} & keys for key in keys}
    found: dict[str, set[str]] = {}

    def reach(key: str) -> set[str]:
        if key not in found:
            found[key] = set(after[key]).union(*(reach(k) for k in after[key]))
        return found[key]

    return {key: reach(key) for key in keys}


def begin_again(ledger: Ledger, group: str) -> None:
    """Forget how a workload failed, since it gets another round: nothing of the first one is left."""
    for step in ledger.of_group(group):
        if step.compensates:
            continue
        anew = {"reversal": Reversal(), "passes": Passes(), "copying": Copying()}
        asked, trouble = but(step.asked, first_asked=None, replaced={}), but(step.trouble, doubt=False)
        nothing: dict[str, Any] = {"made": (), "destination_id": None, "results": {}, "outcome": None}
        ledger.change(step, asked=asked, trouble=trouble, notes=(), changes=(), **anew, **nothing)
