"""How a step ends, rests, and comes again; and what that does to the steps after it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .ledger import OPEN, Ledger, Step

LEASE = 300.0  # seconds in which a claimed try must end or show progress; an unclaimed one is asked for again
SETTLE = 15.0  # seconds after which a request whose sender died can no longer take effect
BACKOFF = (2.0, 5.0, 15.0, 60.0)  # seconds before another try after a failure that may pass
TRIES = 5


def known(ledger: Ledger, key: str) -> Step:
    """Return a step that must be there."""
    step = ledger.step(key)
    if step is None:
        raise KeyError(key)
    return step


def close(ledger: Ledger, step: Step, state: str, **changes: Any) -> None:
    """End a step, and free or skip what comes after it."""
    ledger.put(replace(step, state=state, due=None, **changes))
    for key, hard in ledger.after(step.key):
        after = known(ledger, key)
        if after.state != "waiting":
            continue
        if hard and state in ("failed", "skipped"):
            fate = "failed" if state == "failed" else "was skipped"
            why = f"needs {step.kind.replace('_', ' ')} {step.name!r}, which {fate}"
            close(ledger, after, "skipped", outcome=None, reason=why)
        else:
            waits = after.waits - 1
            ledger.put(replace(after, waits=waits, state="waiting" if waits else "ready"))


def again(ledger: Ledger, step: Step, data: dict[str, Any], now: float) -> None:
    """Let the step rest and come back, unless its tries are used up."""
    if step.action == "transfer" and ledger.head.phase == "undoing":
        close(ledger, step, "skipped", outcome=data["outcome"], reason="undone before it was complete")
        return
    if step.tries >= TRIES:
        reason = f"gave up after {step.tries} tries: {data.get('reason') or data['outcome']}"
        close(ledger, step, "failed", outcome=data["outcome"], reason=reason)
        return
    pause = SETTLE if data["outcome"] == "interrupted" else BACKOFF[min(step.tries, len(BACKOFF)) - 1]
    ledger.put(replace(step, state="resting", due=now + pause, outcome=data["outcome"], reason=data.get("reason")))


def reopen(ledger: Ledger, which: Callable[[Step], bool]) -> None:
    """Give steps another round, as soon as what they wait for is over."""
    chosen = [step.key for step in ledger.all() if which(step)]
    for key in chosen:
        ledger.put(replace(known(ledger, key), state="waiting", tries=0, reason=None, due=None))
    for key in chosen:
        waits = sum(1 for before, _ in ledger.before(key) if known(ledger, before).state in OPEN)
        state = "waiting" if waits else "ready"
        ledger.put(replace(known(ledger, key), waits=waits, state=state))
