"""The core: what a message changes in a migration, and what is to be asked next. No I/O, no clock, no randomness.

``react(ledger, type, data, now)`` is the whole coordinator: it takes in one message and returns the commands
that are due. Everything it knows is in the ledger, so folding the same messages again gives the same state.

Rules, each of which the simulator breaks when it's taken away:

* A delivery must claim its try before it works, and a try can be claimed once. So commands may be sent twice,
  come late or come again. When the claimed delivery's worker is lost, the try ends as ``interrupted``; it rests
  until the lost worker's last request can no longer take effect, and the next try looks before it writes.
* Replies carry the attempt. A late one changes nothing, but what it made is remembered: if another try made
  the same once more, the surplus is removed.
* Undo starts only when nothing is under way, goes backwards, and covers whatever any try has made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from stackferry.selection import filter_of, selects_kind

from .graph import Node, build
from .ledger import OPEN, Head, Ledger, Step

LEASE = 300.0  # seconds in which a claimed try must end or show progress; an unclaimed one is asked for again
SETTLE = 15.0  # seconds after which a request whose sender died can no longer take effect
BACKOFF = (2.0, 5.0, 15.0, 60.0)  # seconds before another try after a failure that may pass
TRIES = 5
IN_FLIGHT = 32  # tries under way at once in one migration
GOOD = ("created", "updated", "unchanged", "done", "removed")


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
    _conclude(ledger, now)
    return again + _ask(ledger, now)


def opened(request: dict[str, Any]) -> Ledger:
    """Return the empty ledger of a new request."""
    return Ledger(Head(request["migration"], request, mode=request.get("mode", "run"), parts=_parts(request)))


def _parts(request: dict[str, Any]) -> int | None:
    return None if request.get("source") else request.get("parts", 0)


# -- what messages change --------------------------------------------------------------------------------------


def _requested(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    if data.get("source") and ledger.step("export") is None:
        ledger.put(Step("export", "export", name=data["source"]["cloud"], order=-1, state="ready"))
    _plan_when_complete(ledger)


def _submitted(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    if ledger.head.phase == "new" and ledger.add_part(0, data["part"], data["documents"]):
        ledger.head = replace(ledger.head, got=ledger.head.got + 1)
        _plan_when_complete(ledger)


def _documents(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    head, export = ledger.head, ledger.step("export")
    if head.phase != "new" or export is None or data["attempt"] != export.attempt:
        return
    if head.attempt != data["attempt"]:
        ledger.head = head = replace(head, attempt=data["attempt"], got=0)
    if ledger.add_part(data["attempt"], data["part"], data["documents"]):
        ledger.head = replace(ledger.head, got=head.got + 1)
    if export.state == "asked":
        ledger.put(replace(export, due=now + LEASE))
    _plan_when_complete(ledger)


def _export_ended(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    if data["outcome"] == "done":
        export = ledger.step("export")
        if export is None or export.attempt != data["attempt"]:
            return
        ledger.head = replace(ledger.head, parts=data["parts"])
    _ended(ledger, {**data, "step": "export"}, now)
    _plan_when_complete(ledger)


def _plan_when_complete(ledger: Ledger) -> None:
    head = ledger.head
    export = ledger.step("export")
    if head.phase != "new" or head.parts is None or head.got < head.parts:
        return
    if export is not None and (export.state != "done" or (head.parts and head.attempt != export.attempt)):
        return
    _plan(ledger)


def _nodes(head: Head, documents: list[dict[str, Any]]) -> list[Node]:
    """The graph of these documents, as far as the request wants it."""
    selection, from_source = head.request.get("selection"), bool(head.request.get("source"))
    rules = selects_kind(selection, "security_group_rule") and not filter_of(selection, "security_group_rule")
    return build(documents, payloads=head.mode == "run" and from_source, all_rules=from_source and rules)


def _plan(ledger: Ledger) -> None:
    """Turn the documents into steps."""
    head = ledger.head
    nodes = _nodes(head, ledger.all_documents(head.attempt))
    if head.mode == "plan":
        nodes = [node for node in nodes if node.action == "ensure"]
    keys = {node.key for node in nodes}
    for number, node in enumerate(nodes):
        after = {key: hard for key, hard in node.after.items() if key in keys}
        for key, hard in after.items():
            ledger.link(key, node.key, hard)
        ledger.keep_document(node.key, node.document)
        ledger.put(
            Step(
                node.key,
                {"plan": "compare", "export": "keep"}.get(head.mode, node.action),
                node.kind.kind,
                node.kind.title(node.document["params"]),
                number,
                waits=len(after),
                source_id=node.source_id,
                links=node.links,
                hints=node.hints,
            )
        )
    ledger.head = replace(ledger.head, phase={"plan": "planning"}.get(head.mode, "running"))
    for node in nodes:
        step = _known(ledger, node.key)
        if head.mode == "export":
            ledger.put(replace(step, state="done", waits=0))
        elif node.problem:
            _close(ledger, step, "failed", outcome="conflict", reason=node.problem)
        elif step.state == "waiting" and step.waits == 0:
            ledger.put(replace(step, state="ready"))


def _ended(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    step = ledger.step(data["step"])
    if step is None or data["attempt"] > step.attempt:
        return
    made = [data.get("destination_id"), *(data.get("also_made") or ())] if data["outcome"] == "created" else []
    if new := [id_ for id_ in made if id_ and id_ not in step.made and step.action == "ensure"]:
        step = replace(step, made=(*step.made, *new))
        ledger.put(step)
        if ledger.head.phase == "undone":
            ledger.head = replace(ledger.head, phase="undoing")
    current = data["attempt"] == step.attempt
    waiting = step.state == "asked" or (step.state == "resting" and data["outcome"] != "interrupted")
    if not (current and waiting):  # late: another try answers for this step, or has
        _remove_surplus(ledger, step)
        return
    if data["outcome"] in GOOD:
        _succeeded(ledger, step, data)
    elif data["outcome"] == "interrupted" or data.get("retryable"):
        _again(ledger, step, data, now)
    else:
        _close(ledger, step, "failed", outcome=data["outcome"], reason=data.get("reason"), **_details(data))


def _details(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "notes": tuple(data.get("notes") or ()),
        "changes": tuple(data.get("changes") or ()),
        "seconds": data.get("seconds") or 0.0,
    }


def _succeeded(ledger: Ledger, step: Step, data: dict[str, Any]) -> None:
    outcome = data["outcome"]
    if step.made and outcome in ("unchanged", "updated") and data.get("destination_id") in step.made:
        outcome = "created"  # an earlier try of this step made it, and this one found it
    if step.action == "remove":
        _close(ledger, step, "removed", outcome="removed", reason=None)
        return
    step = replace(step, destination_id=data.get("destination_id") or step.destination_id)
    details = _details(data)
    if data.get("payload_missing") and not ledger.head.request.get("source"):
        details["notes"] += ("its payload did not cross: no source cloud was named",)
    elif not data.get("payload_missing"):
        _spare_transfer(ledger, step)
    _close(ledger, step, "done", outcome=outcome, reason=None, **details)
    _remove_surplus(ledger, _known(ledger, step.key))


def _spare_transfer(ledger: Ledger, step: Step) -> None:
    """The payload is there already: nobody needs to read it."""
    transfer = ledger.step(f"{step.key}/transfer")
    if transfer is not None and transfer.state == "waiting":
        _close(ledger, transfer, "done", outcome="unchanged", reason=None, destination_id=step.destination_id)


def _again(ledger: Ledger, step: Step, data: dict[str, Any], now: float) -> None:
    """Let the step rest and come back, unless its tries are used up."""
    if step.action == "transfer" and ledger.head.phase == "undoing":
        _close(ledger, step, "skipped", outcome=data["outcome"], reason="undone before it was complete")
        return
    if step.tries >= TRIES:
        reason = f"gave up after {step.tries} tries: {data.get('reason') or data['outcome']}"
        _close(ledger, step, "failed", outcome=data["outcome"], reason=reason)
        return
    pause = SETTLE if data["outcome"] == "interrupted" else BACKOFF[min(step.tries, len(BACKOFF)) - 1]
    ledger.put(replace(step, state="resting", due=now + pause, outcome=data["outcome"], reason=data.get("reason")))


def _remove_surplus(ledger: Ledger, step: Step) -> None:
    """Remove what more than one try made: it's ours, and nobody refers to it."""
    if step.state != "done" or step.action != "ensure":
        return
    for id_ in step.made:
        key = f"{step.key}/surplus/{id_}"
        if id_ != step.destination_id and ledger.step(key) is None:
            ledger.put(Step(key, "remove", step.kind, step.name, step.order, "ready", destination_id=id_))
            if ledger.head.phase == "done":
                ledger.head = replace(ledger.head, phase="running")


def _progressed(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    step = ledger.step(data["step"])
    if step is not None and step.state == "asked" and step.attempt == data["attempt"]:
        ledger.put(replace(step, due=now + LEASE, done=data["done"], total=data.get("total")))


def _offered(ledger: Ledger, data: dict[str, Any], now: float) -> list[Do]:
    """The payload of a transfer can be fetched: ask for that, as part of the same try."""
    step = ledger.step(data["step"])
    current = step is not None and (step.state, step.attempt, step.action) == ("asked", data["attempt"], "transfer")
    if step is None or not current or ledger.head.phase != "running":
        return []
    offer = {name: data.get(name) for name in ("address", "certificate", "size", "hash_algo", "hash_value")}
    ledger.put(replace(step, hints={**step.hints, "offer": offer}, due=now + LEASE))
    return [Do(step.key, step.attempt, "fetch")]


def _postponed(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """Nobody could work on a try now: it rests, and isn't counted."""
    step = ledger.step(data["step"])
    if step is not None and (step.state, step.attempt) == ("asked", data["attempt"]):
        ledger.put(replace(step, state="resting", due=now + SETTLE, tries=step.tries - 1, reason=data["reason"]))


def _claimed(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    """A delivery wants to work on a try: the first one may (see :func:`granted`)."""
    step = ledger.step(data["step"])
    if step is None or step.state != "asked" or step.attempt != data["attempt"]:
        return
    if step.claim is None:
        ledger.put(replace(step, claim=data["token"], due=now + LEASE))
    elif data["again"] and step.claim != data["token"]:
        _again(ledger, step, {"outcome": "interrupted", "reason": "its worker was lost"}, now)


def granted(ledger: Ledger, data: dict[str, Any]) -> bool:
    """Whether a delivery may work on its try, after its claim was taken in."""
    step = ledger.step(data["step"])
    return step is not None and (step.state, step.attempt, step.claim) == ("asked", data["attempt"], data["token"])


def _ticked(ledger: Ledger, data: dict[str, Any], now: float) -> list[Do]:
    """Rests that are over; leases that are over; tries that nobody has claimed, whose command may be lost."""
    again = []
    for step in ledger.overdue(now):
        if step.state == "resting":
            ledger.put(replace(step, state="ready", due=None))
        elif step.claim is not None:
            _again(ledger, step, {"outcome": "interrupted", "reason": "its worker fell silent"}, now)
        else:
            ledger.put(replace(step, due=now + LEASE))
            again.append(Do(step.key, step.attempt))
    return again


# -- what users ask ----------------------------------------------------------------------------------------------


def _controlled(ledger: Ledger, data: dict[str, Any], now: float) -> None:
    CONTROLS[data["action"]](ledger, now)


def _start(ledger: Ledger, now: float) -> None:
    """Do what was planned."""
    if ledger.head.phase != "planned":
        return
    ledger.head = replace(ledger.head, mode="run", phase="running", reason=None)
    documents = [ledger.documents[s.key] for s in ledger.all() if s.action == "compare"]
    for step in ledger.all():
        if step.action == "compare":
            ledger.put(replace(step, action="ensure", state="waiting", outcome=None, destination_id=None))
    _add_late_steps(ledger, documents)
    _reopen(ledger, lambda step: step.action != "export")


def _add_late_steps(ledger: Ledger, documents: list[dict[str, Any]]) -> None:
    for node in _nodes(ledger.head, documents):
        if node.action != "ensure" and ledger.step(node.key) is None:
            for key, hard in node.after.items():
                ledger.link(key, node.key, hard)
            ledger.keep_document(node.key, node.document)
            title = node.kind.title(node.document["params"])
            order = len(ledger.all())
            ledger.put(Step(node.key, node.action, node.kind.kind, title, order, source_id=node.source_id))


def _retry(ledger: Ledger, now: float) -> None:
    """Give everything that failed, and what it held up, another round."""
    head = ledger.head
    export = ledger.step("export")
    if any(step.action == "remove" and "/undo/" in step.key for step in ledger.all()):
        _undo(ledger, now)
        return
    if export is not None and export.state == "failed":
        phase = "new"
    else:
        phase = "planning" if head.mode == "plan" else "running"
    ledger.head = replace(head, phase=phase, reason=None)
    # A payload that can't be taken in may need another image to be made first.
    failed = {s.key.removesuffix("/transfer") for s in ledger.all() if s.action == "transfer" and s.state == "failed"}
    _reopen(ledger, lambda step: step.state in ("failed", "skipped") or step.key in failed)


def _reopen(ledger: Ledger, which: Callable[[Step], bool]) -> None:
    chosen = [step.key for step in ledger.all() if which(step)]
    for key in chosen:
        ledger.put(replace(_known(ledger, key), state="waiting", tries=0, reason=None, due=None))
    for key in chosen:
        waits = sum(1 for before, _ in ledger.before(key) if _known(ledger, before).state in OPEN)
        state = "waiting" if waits else "ready"
        ledger.put(replace(_known(ledger, key), waits=waits, state=state))


def _cancel(ledger: Ledger, now: float) -> None:
    """Ask nothing more; what is under way ends. What was made stays (``undo`` removes it)."""
    ledger.head = replace(ledger.head, phase="cancelled", paused=False)
    _drop_unasked(ledger, "cancelled")


def _undo(ledger: Ledger, now: float) -> None:
    """Remove whatever was made; first find out what an interrupted try has made, without making more."""
    ledger.head = replace(ledger.head, phase="undoing", paused=False, reason=None)
    failed = {s.key for s in ledger.all() if s.action == "remove" and s.state in ("failed", "skipped")}
    _reopen(ledger, lambda step: step.key in failed)
    _drop_unasked(ledger, "undone before it was begun")
    for step in ledger.all():
        if step.outcome == "interrupted" and step.action == "ensure" and step.state in ("skipped", "failed"):
            ledger.put(replace(step, state="resting", due=now + SETTLE, tries=0))


def _drop_unasked(ledger: Ledger, reason: str) -> None:
    for step in ledger.all():
        if step.state in ("waiting", "ready", "resting") and step.action != "remove":
            ledger.put(replace(step, state="skipped", reason=reason, due=None))


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
    "undo": _undo,
}

HANDLERS: dict[str, Handler] = {
    "request-migration": _requested,
    "submit-documents": _submitted,
    "documents-exported": _documents,
    "export-ended": _export_ended,
    "step-ended": _ended,
    "step-progressed": _progressed,
    "control-migration": _controlled,
    "step-claimed": _claimed,
    "image-offered": _offered,
    "postponed": _postponed,
    "tick": _ticked,
}


# -- what follows ------------------------------------------------------------------------------------------------


def _known(ledger: Ledger, key: str) -> Step:
    step = ledger.step(key)
    if step is None:
        raise KeyError(key)
    return step


def _close(ledger: Ledger, step: Step, state: str, **changes: Any) -> None:
    """End a step, and free or skip what comes after it."""
    ledger.put(replace(step, state=state, due=None, **changes))
    for key, hard in ledger.after(step.key):
        after = _known(ledger, key)
        if after.state != "waiting":
            continue
        if hard and state in ("failed", "skipped"):
            fate = "failed" if state == "failed" else "was skipped"
            why = f"needs {step.kind.replace('_', ' ')} {step.name!r}, which {fate}"
            _close(ledger, after, "skipped", outcome=None, reason=why)
        else:
            waits = after.waits - 1
            ledger.put(replace(after, waits=waits, state="waiting" if waits else "ready"))


def _conclude(ledger: Ledger, now: float) -> None:
    """Move the migration on when nothing is left to do in its phase."""
    head = ledger.head
    if head.phase == "new":
        export = ledger.step("export")
        if export is not None and export.state == "failed":
            ledger.head = replace(head, phase="stuck", reason=f"the source can't be read: {export.reason}")
    elif head.phase in ("planning", "running") and not head.open:
        ledger.head = replace(head, phase="planned" if head.phase == "planning" else "done")
    elif head.phase == "undoing" and not head.open:
        _begin_or_end_undo(ledger)


def _begin_or_end_undo(ledger: Ledger) -> None:
    """Once nothing is under way: remove what was made, last first; when that's over, say so."""
    made = [s for s in ledger.all() if s.made and s.action == "ensure" and s.state != "removed"]
    begun = {s.key for s in ledger.all() if s.action == "remove"}
    for step in made:
        for id_ in step.made:
            key = f"{step.key}/undo/{id_}"
            if key in begun or f"{step.key}/surplus/{id_}" in begun:
                continue
            ledger.put(Step(key, "remove", step.kind, step.name, -step.order, destination_id=id_))
    if new := [s for s in ledger.all() if s.action == "remove" and s.key not in begun]:
        _order_undo(ledger, new)
    if ledger.head.open:
        return
    for step in ledger.all():
        if step.state == "failed" and (step.action == "remove" or step.outcome == "interrupted"):
            what = "could not be removed" if step.action == "remove" else "may have been made by a try that was lost"
            reason = f"{step.kind} {step.name!r} {what}: {step.reason}; undo again"
            ledger.head = replace(ledger.head, phase="stuck", reason=reason)
            return
    ledger.head = replace(ledger.head, phase="undone")


def _order_undo(ledger: Ledger, removals: list[Step]) -> None:
    """A removal waits for the removals of everything that was built upon the resource."""
    by_step: dict[str, list[str]] = {}
    for removal in removals:
        by_step.setdefault(removal.key.partition("/undo/")[0], []).append(removal.key)
    for removal in removals:
        upon = [
            k for key, hard in ledger.after(removal.key.partition("/undo/")[0]) if hard for k in by_step.get(key, [])
        ]
        for key in upon:
            ledger.link(key, removal.key, True)
        ledger.put(replace(removal, waits=len(upon), state="waiting" if upon else "ready"))


def _ask(ledger: Ledger, now: float) -> list[Do]:
    """Claim the next tries, as many as may be under way at once."""
    head = ledger.head
    if head.paused or head.phase not in ("new", "planning", "running", "undoing"):
        return []
    room = IN_FLIGHT - head.counts.get("asked", 0)
    due = []
    for step in ledger.ready(max(room, 0)):
        hints = step.hints if step.attempt else {**step.hints, "first_asked": now}
        asked = replace(
            step, state="asked", attempt=step.attempt + 1, tries=step.tries + 1, due=now + LEASE, claim=None, done=0,
            hints=hints,
        )  # fmt: skip
        ledger.put(asked)
        due.append(Do(asked.key, asked.attempt))
    return due
