"""A segment is over when both ends say the same of it: how many blocks crossed, and what all of them were. Pure.

Neither end is believed alone. The destination says how its try ended, the source what it has answered in it; whoever
comes first waits for the other in the step (``copying``). A try whose source says nothing ends with its lease, and the
next one begins where the journal says.
"""

from __future__ import annotations

from typing import Any

from ..plan.ledger import Ledger
from ..plan.step import Step, but
from . import transitions

SEGMENT = ("copy", "verify")
#: what a block was answered with
ANSWERS = ("same", "zero", "raw", "zstd")


def judged(ledger: Ledger, step: Step, data: dict[str, Any], now: float) -> dict[str, Any] | None:
    """Return how a try ended: as its worker says; or failed, when a segment's source says otherwise than who wrote it.

    None while the source of a segment that's said to be done hasn't spoken.
    """
    is_done = data["outcome"] == "done" and step.action in SEGMENT
    if not is_done or transitions.given_up(ledger, step) or _needs_nobody(step, data):
        return data
    served = step.copying.served
    if served is None or served["attempt"] != data["attempt"]:
        due: dict[str, Any] = {"due": now + transitions.MOVING_LEASE} if step.state == "asked" else {}
        ledger.change(step, copying=but(step.copying, said=data), **due)
        return None
    if why := _differs(step, data.get("results") or {}, served):
        about: dict[str, Any] = {name: data[name] for name in ("migration", "step", "attempt") if name in data}
        return {**about, "outcome": "failed", "reason": why, "retryable": True}
    return data


def served(ledger: Ledger, data: dict[str, Any]) -> dict[str, Any] | None:
    """Take in what a source says to have answered; return what the destination had said, if it's to be judged now."""
    step = ledger.step(data["step"])
    if step is None or step.state not in ("asked", "resting") or step.attempt != data["attempt"]:
        return None
    told = {name: data.get(name) for name in ("attempt", "blocks", "digest")}
    step = ledger.change(step, copying=but(step.copying, served=told))
    waiting = step.copying.said
    return waiting if waiting and waiting["attempt"] == step.attempt else None


def _looked_at(results: dict[str, Any]) -> int:
    counts = results.get("counts")
    found = [counts.get(answer) for answer in ANSWERS] if isinstance(counts, dict) else []
    return sum(max(0, many) for many in found if isinstance(many, int))


def _needs_nobody(step: Step, data: dict[str, Any]) -> bool:
    """Whether nothing was to be asked for: the journal knew all of it from a try before. A later pass asks for all."""
    return step.copying.mode == "copy" and not _looked_at(data.get("results") or {})


def _differs(step: Step, said: dict[str, Any], served: dict[str, Any]) -> str | None:
    """What the two ends don't agree on; None when they do."""
    if step.copying.mode == "copy":
        crossed = _looked_at(said)
        if served["blocks"] in (None, crossed):  # nbdkit doesn't count; what it served is verified afterwards
            return None
        return f"the destination says that {crossed} blocks crossed, and the source that {served['blocks']} did"
    if served["digest"] is None:
        return f"the destination says that it has compared all, and the source that {served['blocks']} blocks were read"
    if served["digest"] != said.get("part"):
        return "source and destination don't have the same: their digests of this part differ"
    return None
