"""What everybody is told of a migration, on ``stackferry.events``, once a message has been taken in.

What a worker has said is told when it has counted: as the ledger has judged it, with the migration's name and labels.
"""

from __future__ import annotations

from typing import Any

from stackferry import events, topology
from stackferry.bus import Outgoing
from stackferry.envelope import Envelope
from stackferry.messages import ExportEnded, Message, MigrationChanged, StepBegan, StepEnded, WorkloadChanged

from . import news
from .ledger import Head, Ledger

SOURCE = "stackferry/coordinator"


def told(ledger: Ledger, before: Head | None, cause: Envelope | None) -> list[Outgoing]:
    """Return the events that follow; *before*: the migration as it was, None for one that is new."""
    head = ledger.head
    found = [event(head, StepBegan, data, cause) for data in ledger.begun]
    found += [_ended(head, data, cause) for data in ledger.counted]
    if before is None or (head.phase, head.paused) != (before.phase, before.paused):
        found.append(event(head, MigrationChanged, _changed(head, before), cause))
    return found + [event(head, WorkloadChanged, data, cause) for data in news.facts(ledger)]


def event(head: Head, message: type[Message], data: dict[str, Any], cause: Envelope | None) -> Outgoing:
    """An event of a migration."""
    request = head.request
    key = events.key(request.get("source"), request.get("destination"), head.id, message.called)
    return Outgoing.of(topology.EVENTS.name, key, message.make(SOURCE, {**data, **head.named}, cause))


def _ended(head: Head, data: dict[str, Any], cause: Envelope | None) -> Outgoing:
    """The end of a try; that of an export is another message, as its exporter has sent it."""
    if data["step"] != "export":
        return event(head, StepEnded, data, cause)
    return event(head, ExportEnded, {name: data[name] for name in data if name not in ("step", "results")}, cause)


def _changed(head: Head, before: Head | None) -> dict[str, Any]:
    return {
        "migration": head.id,
        "phase": head.phase,
        "was": before.phase if before else "new",
        "paused": head.paused,
        "reason": head.reason,
        "totals": head.counts,
    }
