"""What follows from a message, within its transaction: the reaction, places on hosts, turns, commands and events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, insert
from stackferry import topology
from stackferry.bus import Outgoing
from stackferry.envelope import Envelope
from stackferry.errors import InvalidMessage
from stackferry.phases import refusal
from stackferry_runtime.logs import logger

from ..commands.resources import command
from ..events.fleeting import FLEETING
from ..events.telling import SOURCE, told
from ..hosts import offers, presence
from ..hosts.assignment import assign
from ..hosts.offers import Peers
from ..plan.graph import Outline
from ..rules import source_cleanup, warm_passes
from ..rules.fetch_modes import destination_before
from ..rules.reactions import Do, react
from ..storage import identities, outbox
from ..storage import tables as t
from ..storage.store import Store
from .listening import Listening
from .turns import Turns

log = logger(__name__)
BATCH = 64  # volumes that get a place, or are told that there's none, at once
TRACES = 10_000  # migrations of which the trace is remembered
_NOTE = insert(t.fact)
Facts = list[dict[str, Any]]


class Consequences:
    """Writes what follows from a message about a migration."""

    def __init__(self, upsert: Callable[..., Any], listening: Listening, per_cloud: int) -> None:
        self.upsert, self.listening, self.per_cloud = upsert, listening, per_cloud
        self.outlines: dict[tuple[Any, ...], Outline] = {}  # of what is being planned, slice by slice
        self.traces: dict[str, str] = {}  # migration → the trace that the last message about it named

    def of(
        self, connection: Connection, store: Store, name: str, data: dict[str, Any], now: float, cause: Envelope | None
    ) -> bool:
        """Take a message in; return whether something is to be sent once this is committed."""
        if name == "control-migration":
            _check_control(store, data)
        if wrong := source_cleanup.refused(store, name, data):
            raise InvalidMessage("invalid", wrong)
        before, store.outlines = store.head, self.outlines
        facts: Facts = [] if name in FLEETING else [{"name": name, "data": data}]
        dues = react(store, name, data, now)
        dues += self._assign(connection, store, facts, now, name in ("tick", "control-migration"))
        peers = Peers(connection, now)
        dues = self._possible(store, dues, peers, facts, now)
        if store.head.agenda is None:  # whichever coordinator has done the last slice
            for tag in [tag for tag in self.outlines if tag[0] == store.head.id]:
                del self.outlines[tag]
        store.flush(now)
        identities.learn(connection, self.upsert, store, name, data)
        trace = self._trace(store.head.id, cause)
        sent = list(self._commands(store, dues, cause, trace, peers, facts, now))
        if facts:
            connection.execute(_NOTE, [{"migration": store.head.id, "at": now, **fact} for fact in facts])
        sent += told(store, None if name == "request-migration" else before, cause, trace)
        outbox.keep(connection, sent)
        return bool(sent)

    def _trace(self, migration: str, cause: Envelope | None) -> str:
        """The trace of what follows: its cause's or, where time has brought it, the last that was named."""
        if cause is None or not cause.trace:
            return self.traces.get(migration, "")
        if migration not in self.traces and len(self.traces) >= TRACES:
            del self.traces[next(iter(self.traces))]
        self.traces[migration] = cause.traceparent
        return cause.traceparent

    def _possible(self, store: Store, dues: list[Do], peers: Peers, facts: Facts, now: float) -> list[Do]:
        """The tries whose turn it is, and for which somebody is there."""
        dues = offers.possible(store, dues, peers.of, facts, now)
        if store.head.mode == "run":
            dues = Turns(store.connection, self.upsert, store, now).possible(dues, facts)
        return dues

    def _commands(
        self, store: Store, dues: list[Do], cause: Envelope | None, trace: str, peers: Peers, facts: Facts, now: float
    ) -> Iterator[Outgoing]:
        """Yield the commands of these tries. One that can't be said fails, and holds nothing else up."""
        while dues:
            wrong: Facts = []
            later: list[Do] = []
            for due in dues:
                try:
                    yield _command(store, due, cause, trace, peers)
                except InvalidMessage as error:
                    log.error("a step can't be asked for", migration=store.head.id, step=due.key, error=str(error))
                    data = {"migration": store.head.id, "step": due.key, "attempt": due.attempt, "outcome": "failed",
                            "retryable": False, "reason": f"it can't be asked for: {error}"}  # fmt: skip
                    wrong.append({"name": "step-ended", "data": data})
                    later += react(store, "step-ended", data, now)
            if not wrong:
                return
            facts += wrong
            dues = self._possible(store, later, peers, facts, now)
            store.flush(now)

    def _assign(self, connection: Connection, store: Store, facts: Facts, now: float, time_passed: bool) -> list[Do]:
        """Give places on the conversion hosts to the volumes that want one; return the tries that are due then."""
        if (
            store.head.agenda
            or not store.head.counts.get("wanting")
            or store.head.paused
            or not (store.places_changed or time_passed)
        ):
            return []
        store.flush(now)  # the fleet is asked who holds places
        held = store.head.counts.get("holding", 0)
        known, request = presence.hosts(connection, now, self.per_cloud), store.head.request
        sides = request["source"], request["destination"]
        missing = known.missing(*sides)
        if missing and self.listening.is_deaf(now):
            return []  # nobody at all is heard: it's the broker that is away
        if missing:
            name, said = "unassignable", [{"step": s.key, "reason": missing} for s in store.wanting(BATCH)]
        else:
            room = min(presence.share(connection, known, held), known.room(*sides))
            room = min(room, max(0, request.get("volumes_at_once", room + held) - held))
            wanting = [(step.key, destination_before(store, step)) for step in store.wanting(room)]
            name, said = "assigned", assign(wanting, *sides, known)
        dues: list[Do] = []
        for about in said:
            data = {"migration": store.head.id, **about}
            facts.append({"name": name, "data": data})
            dues += react(store, name, data, now)
        return dues


def _command(store: Store, due: Do, cause: Envelope | None, trace: str, peers: Peers) -> Outgoing:
    known, who = identities.Known(store.connection, store.head), offers.guest(store, due)
    message, data, queue = command(store, due, known, peers.of(who) if who else [])
    made = message.make(SOURCE, data, cause, attempt=due.attempt, traceparent=trace)
    return Outgoing.of(topology.COMMANDS.name, queue, made)


def _check_control(store: Store, data: dict[str, Any]) -> None:
    """Raise InvalidMessage when a migration can't be told that now."""
    if why := refusal(store.head.phase, store.head.paused, data["action"], store.head.reason):
        raise InvalidMessage("invalid", {"action": why})
    if data["action"] == "cutover" and store.head.agenda:  # those that a later slice adds would not hear of it
        raise InvalidMessage("invalid", {"action": "not all of its servers are begun yet; ask again in a moment"})
    if data["action"] == "cutover" and (why := warm_passes.refusal(store, data.get("servers"))):
        raise InvalidMessage("invalid", {"servers": why})
