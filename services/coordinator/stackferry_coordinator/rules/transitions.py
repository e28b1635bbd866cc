"""How a step ends, rests, and comes again; and what that does to the steps after it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..plan.itinerary import place_of, task_of
from ..plan.ledger import Ledger
from ..plan.states import OPEN
from ..plan.step import Step, but, over_it, verdict

MOVING_LEASE = 90.0  # the same once bytes are under way: whoever moves them says every few seconds that it does
LEASE = 300.0  # seconds in which a claimed try must end or show progress; an unclaimed one is asked for again
LONGEST = 600.0  # seconds that no lease and no rest is longer than
SETTLE = 15.0  # seconds after which a request whose sender died can no longer take effect
BACKOFF = (2.0, 5.0, 15.0, 60.0)  # seconds before another try after a failure that may pass
TRIES = 5
PATIENCE = 5.0  # seconds until a look at what a cloud is still busy with
AWAITED = 10.0  # the same for what people do; they may take days
POSTPONED = 900.0  # seconds without an agent on a host after which its volume's workload is given up
OUTAGE = 900.0  # seconds of an outage (of a cloud, of the network between hosts) after which a workload is given up
PATIENT = 6 * 3600.0  # seconds after which nothing is expected of it any more
LOST = ("failed", "skipped")


def known(ledger: Ledger, key: str) -> Step:
    """Return a step that must be there."""
    step = ledger.step(key)
    if step is None:
        raise KeyError(key)
    return step


def close(ledger: Ledger, step: Step, state: str, **changes: Any) -> None:
    """End a step, and free or skip what comes after it."""
    if (
        ledger.head.agenda and state in ("failed", "skipped") and not step.group
    ):  # a retry that is under way isn't for it
        changes["trouble"] = but(step.trouble, late=ledger.head.agenda["since"])
    ledger.change(step, state=state, due=None, **changes)
    if state == "failed" and step.group and not step.compensates and not tolerated(step):
        ledger.troubled.setdefault(step.group, f"{label(step)}: {changes.get('reason') or step.reason}")
    for key, hard in ledger.after(step.key):
        after = known(ledger, key)
        if after.state != "waiting":
            continue
        if hard and state in ("failed", "skipped") and not tolerated(step):
            close(ledger, after, "skipped", outcome=None, reason=_why_skipped(step, state))
        else:
            waits = after.waits - 1
            ledger.change(after, waits=waits)
            if not waits:
                free(ledger, known(ledger, key))


def give_up(ledger: Ledger, step: Step, reason: str) -> None:
    """Skip a step of a workload that is given up; what of other workloads waits for it needn't any longer."""
    ledger.change(step, state="skipped", due=None, reason=reason)
    for key, hard in ledger.after(step.key):
        after = known(ledger, key)
        if not hard and after.group != step.group and after.state == "waiting":
            after = ledger.change(after, waits=after.waits - 1)
            if not after.waits:
                free(ledger, after)


def free(ledger: Ledger, step: Step) -> None:
    """Nothing stands before a step any more: it may be asked, or does at once what only the coordinator does.

    One that makes no sense fails instead.
    """
    if problem := step.planned.problem:
        close(ledger, step, "failed", outcome="conflict", reason=problem)
    elif step.action == "assign":
        ledger.change(step, state="wanting", due=None)
    elif step.action == "release":
        release(ledger, place_of(step.key))
        close(ledger, step, "done", outcome="done")
    elif step.action == "cutover":
        ledger.change(step, state="resting", due=None)
        ledger.deciding.add(step.key)
    else:
        ledger.change(step, state="ready")


def release(ledger: Ledger, key: str) -> None:
    """Give a volume's place on the conversion hosts back."""
    place = ledger.step(key)
    if place is not None and place.state == "holding":
        ledger.change(place, state="removed")


def tolerated(step: Step) -> bool:
    """Whether the failure of a workload's step is only reported."""
    task = task_of(step.key) if step.group else None
    return task is not None and task.tolerated and not step.compensates


def label(step: Step) -> str:
    """What people call a step of a workload."""
    task = task_of(step.key)
    what = f"{step.kind.replace('_', ' ')} {step.name!r}"
    return f"{what}: {task.id}" if task is not None and task.name else what


def again(ledger: Ledger, step: Step, data: dict[str, Any], now: float) -> None:
    """Let the step rest and come back, unless its tries are used up."""
    if data["outcome"] in ("interrupted", "pending"):
        # It may have made something, until a try has looked.
        step = ledger.change(step, trouble=but(step.trouble, doubt=True))
    step = _interrupted(ledger, step, now) if data["outcome"] == "interrupted" else step
    if step.action == "transfer" and ledger.head.phase == "undoing":
        close(ledger, step, "skipped", outcome=data["outcome"], reason="undone before it was complete")
        return
    if given_up(ledger, step) or (step.group and _cancelled(ledger, step)):  # or will be, by a later slice
        _leave(ledger, step, data, now)
        return
    if _cancelled(ledger, step):
        close(ledger, step, "skipped", outcome=data["outcome"], reason="cancelled")
        return
    if data["outcome"] == "pending":
        _wait(ledger, step, data, now)
        return
    if step.tries >= TRIES * (2 if step.compensates else 1):
        out = data["outcome"] == "interrupted" and not data.get("answered")
        if step.group and out and step.trouble.outage is not None and now - step.trouble.outage <= OUTAGE:
            _rest(ledger, ledger.change(step, tries=step.tries - 1), data, now + BACKOFF[-1])
            return
        reason = f"gave up after {step.tries} tries: {data.get('reason') or data['outcome']}"
        close(ledger, step, "failed", outcome=data["outcome"], reason=reason)
        return
    pause = SETTLE if data["outcome"] == "interrupted" else BACKOFF[min(step.tries, len(BACKOFF)) - 1]
    _rest(ledger, step, data, now + pause)


def _cancelled(ledger: Ledger, step: Step) -> bool:
    """Whether a step that didn't work isn't tried again, since everything is cancelled that isn't nearly over."""
    nearly_over = step.compensates or (step.group and arrived(ledger, step.group))
    return ledger.head.phase == "cancelling" and not nearly_over


def ends_here(ledger: Ledger, step: Step) -> bool:
    """Whether a step that has written nothing needn't."""
    return _cancelled(ledger, step) or given_up(ledger, step) or ledger.head.phase == "undoing"


def _rest(ledger: Ledger, step: Step, data: dict[str, Any], until: float) -> None:
    ledger.change(step, state="resting", due=until, outcome=data["outcome"], reason=data.get("reason"))


def _interrupted(ledger: Ledger, step: Step, now: float) -> Step:
    """Note since when tries are interrupted; one that came further than any before it begins a new count."""
    reached, since = step.trouble.reached, step.trouble.outage
    if since is None or step.done > reached:
        since = now
    return ledger.change(step, trouble=but(step.trouble, outage=since, reached=max(step.done, reached)))


def failing(ledger: Ledger, group: str) -> bool:
    """Whether a workload is given up, and being taken back."""
    return known(ledger, group).reversal.failing is not None


def arrived(ledger: Ledger, group: str) -> bool:
    """Whether a workload is at the destination; what is left to do for it is to tidy up."""
    return verdict(known(ledger, group)) == "done"


def given_up(ledger: Ledger, step: Step) -> bool:
    """Whether a step belongs to a workload that is given up, and doesn't take anything back."""
    return bool(step.group) and not step.compensates and failing(ledger, step.group)


def doubtful(step: Step) -> bool:
    """Whether a lost try may have made something that nobody knows of."""
    half_made = bool(step.group) and step.outcome == "failed"  # such as a server that ended in ERROR
    return step.action == "ensure" and (half_made or step.trouble.doubt)


def _leave(ledger: Ledger, step: Step, data: dict[str, Any], now: float) -> None:
    """A try of a workload that is given up didn't work: only what it may have made is looked for."""
    step = ledger.change(step, outcome=data["outcome"])
    if doubtful(step) and step.tries < 2 * TRIES:
        look = but(step.reversal, only_look=True)
        ledger.change(step, state="resting", due=now + SETTLE, reversal=look)
    elif data["outcome"] == "interrupted":  # its request may still take effect; only then it can be taken back
        ledger.change(step, state="resting", due=now + SETTLE, reason=data.get("reason"))
    else:
        close(ledger, step, "skipped", reason=data.get("reason"))


def _wait(ledger: Ledger, step: Step, data: dict[str, Any], now: float) -> None:
    """Look again soon: the cloud, or somebody, is still busy with it. This is no failure, and no try is used up."""
    since, by_people = step.trouble.pending, step.action == "wait"
    since = now if since is None else since
    if now - since > PATIENT and not by_people:
        close(ledger, step, "failed", outcome="failed", reason=f"not over after {PATIENT:.0f} s: {data.get('reason')}")
        return
    results = {**step.results, **(data.get("results") or {})}
    due = now + (AWAITED if by_people else PATIENCE)
    step = ledger.change(step, state="resting", due=due, tries=step.tries - 1, reason=data.get("reason"))
    ledger.change(step, outcome="pending", results=results, trouble=but(step.trouble, pending=since))


def reopen(ledger: Ledger, which: Callable[[Step], bool]) -> None:
    """Give steps another round, as soon as what they wait for is over; what comes after them waits for them again."""
    reopen_keys(ledger, {step.key: step.state not in OPEN for step in ledger.all() if which(step)})


def reopen_keys(ledger: Ledger, chosen: dict[str, bool]) -> None:
    """The same for these steps; the value says whether a step was over."""
    reopen_unfreed(ledger, chosen)
    free_reopened(ledger, chosen)


def reopen_unfreed(ledger: Ledger, chosen: dict[str, bool]) -> None:
    """The same, but that none of them is freed: more may be reopened that they wait for."""
    for key, over in chosen.items():
        for later, _ in ledger.after(key):
            after = known(ledger, later)
            if over and later not in chosen and after.state in ("waiting", "ready"):
                ledger.change(after, state="waiting", waits=after.waits + 1)
    again: dict[str, Any] = {"state": "waiting", "tries": 0, "reason": None, "due": None}
    for key in chosen:
        step, waits, lacks = known(ledger, key), 0, False
        for other, hard in ledger.before(key):
            before = known(ledger, other)
            waits += other in chosen or before.state in OPEN
            lacks |= hard and other not in chosen and before.state in LOST and not tolerated(before)
        doubt = step.trouble.doubt  # else no try of it can have made what is found from now on
        asked = but(step.asked, since=None, first_asked=step.asked.first_asked if doubt else None)
        ledger.change(step, waits=waits, asked=asked, **again, **over_it(step, doubt=doubt, lacks=lacks))


def free_reopened(ledger: Ledger, keys: Iterable[str]) -> None:
    """Free those of these steps that wait for nothing; one that can't be without what failed is skipped again."""
    for key in keys:
        step = known(ledger, key)
        if step.state != "waiting" or (step.waits and not step.trouble.lacks):
            continue
        lost = next((before for before in _needed(ledger, key) if before.state in LOST), None)
        step = ledger.change(step, trouble=but(step.trouble, lacks=False))
        if lost is not None:
            close(ledger, step, "skipped", outcome=None, reason=_why_skipped(lost, lost.state))
        elif not step.waits:
            free(ledger, step)


def wait_again(ledger: Ledger, step: Step) -> None:
    """What comes after a step that was over waits for it again."""
    for key, _ in ledger.after(step.key):
        after = known(ledger, key)
        if after.state in ("waiting", "ready"):
            ledger.change(after, state="waiting", waits=after.waits + 1)


def free_some(ledger: Ledger, limit: int) -> bool:
    """The same for so many of all steps; return whether there may be more."""
    steps = ledger.unfreed(limit)
    free_reopened(ledger, [step.key for step in steps])
    return len(steps) == limit


def _needed(ledger: Ledger, key: str) -> Iterator[Step]:
    """What a step can't be without."""
    for before, hard in ledger.before(key):
        if hard and not tolerated(step := known(ledger, before)):
            yield step


def _why_skipped(needed: Step, state: str) -> str:
    fate = "failed" if state == "failed" else "was skipped"
    return f"needs {needed.kind.replace('_', ' ')} {needed.name!r}, which {fate}"
