"""What everybody is told of a migration, on ``stackferry.events``, once a message has been taken in.

What a worker has said is told when it has counted: as the ledger has judged it, with the migration's name and labels.
"""

from __future__ import annotations

from typing import Any

from stackferry import events, topology
from stackferry.bus import Outgoing
from stackferry.envelope import Envelope
from stackferry.errors import InvalidMessage
from stackferry.messages import ExportEnded, Message, MigrationChanged, StepBegan, StepEnded, WorkloadChanged

from ..plan.ledger import Head, Ledger
from ..rules import arrivals

SOURCE = "stackferry/coordinator"
NAMES = ("migration_name", "labels")  # whatever a worker calls it
#: what is left of an event that would be too long
ESSENCE = ("migration", "step", "attempt", "outcome", "destination_id", "kind", "phase", "was", "paused", "workload",
           "state", "done", "total", "parts")  # fmt: skip


def told(ledger: Ledger, before: Head | None, cause: Envelope | None, trace: str = "") -> list[Outgoing]:
    """Return the events that follow; *before*: the migration as it was, None for one that is new.

    *trace*: the ``traceparent`` that they name.
    """
    head = ledger.head
    found = [event(head, StepBegan, data, cause, trace) for data in ledger.begun]
    found += [_ended(head, data, cause, trace) for data in ledger.counted]
    is_through = before is not None and before.agenda is not None and head.agenda is None  # other totals by now
    if before is None or is_through or (head.phase, head.paused) != (before.phase, before.paused):
        found.append(event(head, MigrationChanged, _changed(head, before), cause, trace))
    return found + [event(head, WorkloadChanged, data, cause, trace) for data in arrivals.facts(ledger)]


def event(
    head: Head, message: type[Message], data: dict[str, Any], cause: Envelope | None, trace: str = ""
) -> Outgoing:
    """An event of a migration: what its message knows of the *data*, which may be a worker's own."""
    request, of = head.request, {"traceparent": trace} if trace else {}
    key = events.key(request.get("source"), request.get("destination"), head.id, message.called)
    known = message.load_data({name: value for name, value in data.items() if name not in NAMES}) | head.named
    try:
        return Outgoing.of(topology.EVENTS.name, key, message.make(SOURCE, known, cause, **of))
    except InvalidMessage:  # too long, which must not be its worker's loss
        short = {name: known[name] for name in ESSENCE if name in known} | head.named
        return Outgoing.of(topology.EVENTS.name, key, message.make(SOURCE, short, cause, **of))


def _ended(head: Head, data: dict[str, Any], cause: Envelope | None, trace: str) -> Outgoing:
    """The end of a try; that of an export is another message, as its exporter has sent it."""
    if data["step"] != "export":
        return event(head, StepEnded, data, cause, trace)
    known = {name: data[name] for name in data if name not in ("step", "results")}
    return event(head, ExportEnded, known, cause, trace)


def _changed(head: Head, before: Head | None) -> dict[str, Any]:
    return {
        "migration": head.id,
        "phase": head.phase,
        "was": before.phase if before else "new",
        "paused": head.paused,
        "reason": head.reason,
        "totals": head.counts,
    }
