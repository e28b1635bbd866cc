"""The core: what a message changes in a migration, and what is to be asked next. No I/O, no clock, no randomness.

``react(ledger, type, data, now)`` is the whole coordinator: it takes in one message and returns the commands
that are due. Everything it knows is in the ledger, so folding the same messages again gives the same state.

Rules, each of which the simulator breaks when it's taken away:

* A delivery must claim its try before it works, and a try can be claimed once. So commands may be sent twice,
  come late or come again. When the claimed delivery's worker is lost, the try ends as ``interrupted``; it rests
  until the lost worker's last request can no longer take effect, and the next try looks before it writes.
* Replies carry the attempt. A late one changes nothing, but what it made is remembered: if another try made
  the same once more, the surplus is removed. And a payload that has arrived is there, whichever try brought it.
* Undo starts only when nothing is under way, goes backwards, and covers whatever any try has made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from stackferry.progress import meter

from ..plan.ledger import Head, Ledger
from ..plan.step import Step, but
from . import (
    answers,
    arrivals,
    compensation,
    controls,
    places,
    planning,
    slices,
    source_cleanup,
    transitions,
    undo,
    warm_passes,
)
from .fetch_modes import fetch_mode

IN_FLIGHT = 32  # tries under way at once in one migration
BY_PLACE = 2  # and so many more for each volume that has a place on the conversion hosts
HELD_UP, LONGEST_HELD_UP = 2.0, 60.0  # seconds that a step rests whose thing another migration is at
MOVING = ("transfer", "copy", "verify")  # actions of which one side offers bytes, and the other fetches them
OFFERED = ("address", "certificate", "size", "pump", "hash_algo", "hash_value")


@dataclass(frozen=True, slots=True)
class Do:
    """A command that is due: one try of one step. ``verb`` tells the commands of one try apart (``fetch``)."""

    key: str
    attempt: int
    verb: str = ""


Handler = Callable[[Ledger, dict[str, Any], float], "list[Do] | None"]


def react(ledger: Ledger, message: str, data: dict[str, Any], now: float) -> list[Do]:
    """Take in one message (by its name, such as ``step-ended``); return the tries that are now due."""
    again = HANDLERS[message](ledger, data, now) or []
    warm_passes.follow(ledger, now)
    compensation.follow(ledger, now)
    if ledger.head.agenda is None:
        _conclude(ledger, now)
    compensation.follow(ledger, now)
    arrivals.note(ledger, now)
    return again + _ask(ledger, now)


def opened(request: dict[str, Any]) -> Ledger:
    """Return the empty ledger of a new request."""
    return Ledger(Head(request["migration"], request, mode=request.get("mode", "run"), parts=_parts(request)))


def _parts(request: dict[str, Any]) -> int | None:
    return request.get("parts") or (None if request.get("source") else 0)


# -- what messages change --------------------------------------------------------------------------------------


def _requested(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    if data.get("source") and not data.get("parts") and ledger.step("export") is None:
        ledger.add(Step("export", "export", name=data["source"]["cloud"], order=-1, state="ready"))
    planning.plan_when_complete(ledger, now)


def _submitted(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    # They may come in while it's being cancelled; a retry needs them.
    head = ledger.head
    if head.parts is not None and head.got >= head.parts:  # what is being planned from must not change
        return
    if head.phase in ("new", "cancelling", "cancelled") and ledger.add_part(0, data["part"], data["documents"]):
        ledger.head = replace(head, got=head.got + 1)
        planning.plan_when_complete(ledger, now)


def _documents(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    head, export = ledger.head, ledger.step("export")
    if head.phase != "new" or head.agenda or export is None or data["attempt"] != export.attempt:
        return
    if head.attempt != data["attempt"]:
        ledger.head = head = replace(head, attempt=data["attempt"], got=0)
    if ledger.add_part(data["attempt"], data["part"], data["documents"]):
        ledger.head = replace(ledger.head, got=head.got + 1)
    if export.state == "asked":
        ledger.change(export, due=now + transitions.LEASE)
    planning.plan_when_complete(ledger, now)


def _export_ended(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    if data["outcome"] == "done":
        export = ledger.step("export")
        if export is None or export.attempt != data["attempt"]:
            return
        ledger.head = replace(ledger.head, parts=data["parts"])
    told = {"stays_behind": data["stays_behind"]} if data.get("stays_behind") else {}
    answers.ended(ledger, {**data, "step": "export", "results": told}, now)
    planning.plan_when_complete(ledger, now)


def _progressed(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    step = ledger.step(data["step"])
    if step is not None and step.state == "asked" and step.attempt == data["attempt"]:
        kept = meter.noted(step.asked.meter, step.attempt, data["done"] - step.done, now)
        moved = {"done": data["done"], "total": data.get("total"), "asked": but(step.asked, meter=kept)}
        ledger.change(step, due=now + transitions.MOVING_LEASE, **moved)


def _offered(ledger: Ledger, data: dict[str, Any], now: float) -> list[Do]:
    """The payload of a transfer can be fetched: ask for that, as part of the same try."""
    step = ledger.step(data["step"])
    if step is None or (step.state, step.attempt) != ("asked", data["attempt"]) or step.action not in MOVING:
        return []
    if transitions.given_up(ledger, step):  # nobody will fetch it: what is taken back needn't wait for the offer's end
        transitions.close(ledger, step, "skipped", reason="given up before it was begun")
        return []
    if ledger.head.phase != "running":
        return []
    offer = {name: data[name] for name in OFFERED if data.get(name) is not None}
    mode = fetch_mode(ledger, step) if step.group else step.copying.mode
    here = {"trouble": but(step.trouble, postponed=None), "due": now + transitions.MOVING_LEASE}  # who was away
    ledger.change(step, copying=but(step.copying, offer=offer, mode=mode), **here)
    return [Do(step.key, step.attempt, "fetch")]


def _postponed(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """Nobody could work on a try now: it rests, and isn't counted."""
    step = ledger.step(data["step"])
    if step is None or (step.state, step.attempt) != ("asked", data["attempt"]):
        return
    since = now if step.trouble.postponed is None else step.trouble.postponed
    if step.group and now - since > transitions.POSTPONED:
        transitions.close(ledger, step, "failed", outcome="missing", reason=data["reason"])
        return
    told = {"trouble": but(step.trouble, postponed=since), "tries": step.tries - 1, "reason": data["reason"]}
    ledger.change(step, state="resting", due=now + transitions.SETTLE, **told)


def _held_up(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """Another migration is at the same thing: this one rests, for a while that grows, and isn't counted."""
    step = ledger.step(data["step"])
    if step is None or (step.state, step.attempt) != ("asked", data["attempt"]):
        return
    since = now if step.trouble.held_up is None else step.trouble.held_up
    pause = min(max(HELD_UP, (now - since) / 4), LONGEST_HELD_UP)
    nothing = {"asked": but(step.asked, first_asked=None), "trouble": but(step.trouble, held_up=since)}
    ledger.change(step, state="resting", due=now + pause, tries=step.tries - 1, reason=data["reason"], **nothing)


def _met(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """Another migration has been at the same thing: what it made is looked for, and isn't this one's."""
    step = ledger.step(data["step"])
    if step is not None and (step.state, step.attempt) == ("asked", data["attempt"]):
        ledger.change(step, asked=but(step.asked, met=now), reason=None)


def _claimed(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """A delivery wants to work on a try: the first one may (see :func:`granted`)."""
    step = ledger.step(data["step"])
    if step is None or step.state != "asked" or step.attempt != data["attempt"]:
        return
    if step.claim is None:
        ledger.change(step, claim=data["token"], due=now + transitions.LEASE)
        ledger.begun.append({name: data[name] for name in ("migration", "step", "attempt")})
    elif data["again"] and step.claim != data["token"]:
        transitions.again(ledger, step, {"outcome": "interrupted", "reason": "its worker was lost"}, now)


def granted(ledger: Ledger, data: dict[str, Any]) -> bool:
    """Whether a delivery may work on its try, after its claim was taken in."""
    step = ledger.step(data["step"])
    return step is not None and (step.state, step.attempt, step.claim) == ("asked", data["attempt"], data["token"])


def _ticked(ledger: Ledger, data: dict[str, Any], now: float) -> list[Do]:
    """Rests that are over; leases that are over; tries that nobody has claimed, whose command may be lost.

    A lease is judged by time in which its worker could be heard: for so many seconds (``listening``) it could.
    """
    again = []
    for step in ledger.fresh(ledger.overdue(now)):
        if step.state == "resting":
            _rested(ledger, step)
        elif step.claim is not None and data.get("listening", transitions.LEASE) < transitions.MOVING_LEASE:
            ledger.change(step, due=now + transitions.MOVING_LEASE)
        elif step.claim is not None:
            transitions.again(ledger, step, {"outcome": "interrupted", "reason": "its worker fell silent"}, now)
        elif step.action == "export":  # nobody claims it, so that two may be at it: only one's parts count
            ledger.change(step, state="ready", due=None, tries=step.tries - 1)
        elif transitions.given_up(ledger, step):  # nobody has begun it, and whoever still gets the command is refused
            transitions.close(ledger, step, "skipped", reason="given up before it was begun")
        else:
            ledger.change(step, due=now + transitions.LEASE)
            again.append(Do(step.key, step.attempt))
    return again


def _rested(ledger: Ledger, step: Step) -> None:
    """A rest is over: another try, unless its workload is given up, and the try could make nothing of its own."""
    if transitions.given_up(ledger, step) and step.action != "ensure":
        transitions.close(ledger, step, "skipped", reason="given up")
    elif step.action == "cutover":
        ledger.deciding.add(step.key)
    else:
        ledger.change(step, state="ready", due=None)


# -- what users ask ----------------------------------------------------------------------------------------------


def _controlled(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    if data["action"] == "cutover":
        warm_passes.ask(ledger, data.get("servers"))
    else:
        controls.CONTROLS[data["action"]](ledger, now)


HANDLERS: dict[str, Handler] = {
    "request-migration": _requested,
    "submit-documents": _submitted,
    "documents-exported": _documents,
    "export-ended": _export_ended,
    "step-ended": answers.ended,
    "step-progressed": _progressed,
    "control-migration": _controlled,
    source_cleanup.ASKED: source_cleanup.begin,
    "step-claimed": _claimed,
    "image-offered": _offered,
    "segment-offered": _offered,
    "segment-served": answers.served,
    "assigned": places.assigned,
    "unassignable": places.unassignable,
    "host-lost": places.host_lost,
    "postponed": _postponed,
    "held-up": _held_up,
    "met": _met,
    "tick": _ticked,
    slices.GO_ON: slices.go_on,
    slices.BROKEN: slices.broken,
}


# -- what follows ------------------------------------------------------------------------------------------------


def _conclude(ledger: Ledger, now: float) -> None:
    """Move the migration on when nothing is left to do in its phase."""
    head = ledger.head
    if head.phase == "new":
        export = ledger.step("export")
        if export is not None and export.state == "failed":
            reason = f"the source can't be read: {export.reason}"
            ledger.head = replace(head, phase="stuck", paused=False, reason=reason)
    elif head.phase in ("planning", "running", "cancelling", "cleaning") and not head.open:
        ended = {"planning": "planned", "cancelling": "cancelled"}.get(head.phase, "done")
        ledger.head = replace(head, phase=ended, paused=False)  # what is over can't wait
        if (left := compensation.stuck(ledger)) is not None:
            reason = f"{left.kind} {left.name!r} could not be taken back ({left.action}): {left.reason}; retry"
            ledger.head = replace(head, phase="stuck", paused=False, reason=reason)
    elif head.phase == "undoing" and not head.open:
        undo.carry_on(ledger)


def _ask(ledger: Ledger, now: float) -> list[Do]:
    """Claim the next tries, as many as may be under way at once."""
    head = ledger.head
    if (
        head.agenda
        or head.paused
        or head.phase not in ("new", "planning", "running", "undoing", "cancelling", "cleaning")
    ):
        return []
    room = IN_FLIGHT + BY_PLACE * head.counts.get("holding", 0) - head.counts.get("asked", 0)
    due = []
    for step in ledger.ready(max(room, 0)):
        first = step.asked.first_asked
        asked = but(step.asked, first_asked=now if first is None else first, asked_before=first is not None)
        if step.action == "stop" and asked.since is None:
            asked = replace(asked, since=now)
        count = {"attempt": step.attempt + 1, "tries": step.tries + 1}
        step = ledger.change(step, state="asked", claim=None, done=0, asked=asked, due=now + transitions.LEASE, **count)
        due.append(Do(step.key, step.attempt))
    return due
