"""The coordinator around its core: one transaction a message, an outbox, a clock. No nameko here.

A transaction takes in one message: inbox (its id is unique) → lock the migration → react → save → log the
message → write what's due into the outbox → commit. Only then is the message acknowledged. The relay publishes
the outbox, each message at least once: tries are claimed by their workers, so a second one does no harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert_postgresql
from sqlalchemy.dialects.sqlite import insert as upsert_sqlite
from stackferry import messages, topology
from stackferry.bus import Outgoing, Publisher
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, InvalidMessage
from stackferry.phases import refusal

from . import cleaning, fleet, news, rounds
from . import tables as t
from .assignment import assign
from .commands import command
from .hosts import control
from .itinerary import MOVING, Do, granted, opened, react
from .ledger import Head
from .store import Store
from .workload import place_of
from .workload_commands import destination_before

SOURCE = "stackferry/coordinator"
BATCH = 64
INBOX_KEPT = 7 * 86400.0
Facts = list[dict[str, Any]]


class Coordinator:
    """Takes in messages, and sends what follows from them."""

    def __init__(
        self, engine: Engine, publisher: Publisher, clock: Callable[[], float] = time.time, host_lost: float = 60.0
    ) -> None:
        self.host_lost = host_lost
        self.engine, self.publisher, self.clock = engine, publisher, clock
        self.hosts: set[str] = set()  # those whose queue is known to be there
        self.upsert = upsert_postgresql if engine.dialect.name == "postgresql" else upsert_sqlite

    # -- messages in -------------------------------------------------------------------------------------

    def take(self, envelope: Envelope) -> None:
        """Take in one message about a migration; a second delivery of it changes nothing."""
        name = envelope.type.split(".")[1]
        now = self.clock()
        with self.engine.begin() as connection:
            if self._seen(connection, envelope.id, now):
                return
            store = self._open(connection, name, envelope.data, now)
            if store is None:
                return
            self._react(connection, store, name, envelope.data, now, envelope)

    def claim(self, envelope: Envelope) -> bool:
        """Take in the claim of a delivery; return whether it may work. The same claim gets the same answer again."""
        data, now = envelope.data, self.clock()
        with self.engine.begin() as connection:
            store = Store.open(connection, data["migration"])
            if store is None:
                return False
            step = store.step(data["step"])
            open_ = step is not None and (step.state, step.attempt) == ("asked", data["attempt"])
            if open_ and not granted(store, data):
                self._react(connection, store, "step-claimed", data, now, envelope)
            return granted(store, data)

    def _seen(self, connection: Connection, message_id: str, now: float) -> bool:
        statement = self.upsert(t.inbox).values(message=message_id, at=now).on_conflict_do_nothing()
        return connection.execute(statement).rowcount == 0

    def _open(self, connection: Connection, name: str, data: dict[str, Any], now: float) -> Store | None:
        store = Store.open(connection, data["migration"])
        if name == "request-migration":
            if store is None:
                return Store.create(connection, opened(data).head, now)
            if store.head.request:
                raise InvalidMessage("invalid", {"migration": "this id has been used for another request"})
            store.head = Head(**{**_fields(opened(data).head), "got": store.head.got})
        elif store is None and name == "submit-documents":  # it overtook its request
            return Store.create(connection, Head(data["migration"], {}), now)
        elif store is None and name in ("control-migration", cleaning.ASKED):
            raise InvalidMessage("invalid", {"migration": "there's no such migration"})
        return store

    def _react(
        self,
        connection: Connection,
        store: Store,
        name: str,
        data: dict[str, Any],
        now: float,
        cause: Envelope | None,
    ) -> None:
        if name == "control-migration":
            _check_control(store, data)
        if wrong := cleaning.refused(store, name, data):
            raise InvalidMessage("invalid", wrong)
        before = store.head
        facts: Facts = [{"name": name, "data": data}]
        dues = react(store, name, data, now)
        store.flush(now)
        dues += self._assign(connection, store, facts, now)
        peers = self._peers(connection, store, dues, now)
        dues = _postponed(store, dues, peers, facts, now)
        store.flush(now)
        self._learn(connection, store, name, data)
        connection.execute(insert(t.fact), [{"migration": store.head.id, "at": now, **fact} for fact in facts])
        rows = [self._command_row(connection, store, due, cause, peers) for due in dues]
        if (store.head.phase, store.head.paused) != (
            before.phase,
            before.paused,
        ) or name == "request-migration":
            rows.append(_fact_row(store.head, before, cause))
        rows += [_told(messages.WorkloadChanged, data, cause) for data in news.facts(store)]
        if rows:
            connection.execute(insert(t.outbox), rows)

    def _assign(self, connection: Connection, store: Store, facts: Facts, now: float) -> list[Do]:
        """Give places on the conversion hosts to the volumes that want one; return the tries that are due then."""
        held = store.head.counts.get("holding", 0)
        if not store.head.counts.get("wanting") or store.head.paused:
            return []
        known, request = fleet.hosts(connection, now), store.head.request
        sides = request["source"], request["destination"]
        if missing := known.missing(*sides):
            name, said = "unassignable", [{"step": s.key, "reason": missing} for s in store.wanting(BATCH)]
        else:
            room = fleet.share(connection, known, held)
            room = min(room, max(0, request.get("volumes_at_once", room + held) - held))
            wanting = [(step.key, destination_before(store, step)) for step in store.wanting(room)]
            name, said = "assigned", assign(wanting, *sides, known)
        dues: list[Do] = []
        for about in said:
            data = {"migration": store.head.id, **about}
            facts.append({"name": name, "data": data})
            dues += react(store, name, data, now)
        return dues

    def _peers(self, connection: Connection, store: Store, dues: list[Do], now: float) -> dict[str, list[str]]:
        """Who fetches → the certificates of those that answer."""
        asked = {who for due in dues for who in _both(store, due)}
        return {
            who: fleet.importers(connection, now) if who == "importers" else fleet.agents_on(connection, who, now)
            for who in asked
        }

    def _learn(self, connection: Connection, store: Store, name: str, data: dict[str, Any]) -> None:
        """Remember what a source's resource has become, for later migrations."""
        if name != "step-ended" or not data.get("destination_id"):
            return
        step = store.step(data["step"])
        if step is None or step.state != "done" or not step.source_id or step.action not in ("ensure", "compare"):
            return
        place = store.head.request["destination"]
        key = {
            "destination": place["cloud"],
            "project": place.get("project") or "",
            "kind": step.kind,
            "source_id": step.source_id,
        }
        statement = self.upsert(t.identity).values(**key, destination_id=step.destination_id)
        connection.execute(
            statement.on_conflict_do_update(index_elements=list(key), set_={"destination_id": step.destination_id})
        )

    def _command_row(
        self, connection: Connection, store: Store, due: Do, cause: Envelope | None, peers: dict[str, list[str]]
    ) -> dict[str, Any]:
        place = store.head.request.get("destination") or {}

        def known(kind: str, source_id: str) -> str | None:
            mine = (
                t.identity.c.destination == place.get("cloud"),
                t.identity.c.project == (place.get("project") or ""),
            )
            query = select(t.identity.c.destination_id).where(
                *mine, t.identity.c.kind == kind, t.identity.c.source_id == source_id
            )
            return connection.execute(query).scalar_one_or_none()

        message, data, queue = command(store, due, known, peers.get(_offers(store, due) or "", []))
        envelope = message.make(SOURCE, data, cause, attempt=due.attempt)
        return {
            "exchange": topology.COMMANDS.name,
            "key": queue,
            "message": envelope.id,
            "body": envelope.to_bytes(),
        }

    # -- time --------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Turn leases and rests that are over into facts, and give free places on the hosts to whoever wants one."""
        now = self.clock()
        with self.engine.connect() as connection:
            is_late = t.step.c.state.in_(("asked", "resting")) & (t.step.c.due <= now)
            late = list(connection.execute(select(t.step.c.migration).distinct().where(is_late)).scalars())
            late += [id_ for id_ in fleet.wanting(connection, now) if id_ not in late]
            lost = fleet.lost(connection, now, self.host_lost)
        for migration in late:
            self._internal(migration, "tick", {"migration": migration}, now)
        for migration, step, hosts in lost:
            self._internal(migration, "host-lost", {"migration": migration, "step": step, "hosts": hosts}, now)

    def forget(self) -> None:
        """Forget the ids of messages that can't come again, and workers that left without a word."""
        with self.engine.begin() as connection:
            connection.execute(delete(t.inbox).where(t.inbox.c.at < self.clock() - INBOX_KEPT))
            fleet.forget(connection, self.clock())

    def _internal(self, migration: str, name: str, data: dict[str, Any], now: float) -> None:
        with self.engine.begin() as connection:
            store = Store.open(connection, migration)
            if store is not None:
                self._react(connection, store, name, data, now, None)

    # -- messages out ------------------------------------------------------------------------------------

    def relay(self) -> int:
        """Publish what is due, in order; return how many messages the broker has taken."""
        if self.engine.dialect.name == "sqlite":  # alone; and its only connection must not wait for the broker
            with self.engine.begin() as connection:
                rows = self._due(connection)
            sent = self._publish(rows)
            with self.engine.begin() as connection:
                self._sent(connection, sent)
        else:
            with self.engine.begin() as connection:  # others skip the rows that this one has locked
                sent = self._publish(self._due(connection))
                self._sent(connection, sent)
        return len(sent)

    def _due(self, connection: Connection) -> list[Any]:
        query = select(t.outbox).order_by(t.outbox.c.id).limit(BATCH).with_for_update(skip_locked=True)
        return list(connection.execute(query).mappings())

    def _publish(self, rows: list[Any]) -> list[int]:
        if not rows:
            return []
        try:
            outcomes = self.publisher.publish_all([_outgoing(row) for row in rows])
        except BrokerUnavailable:
            return []
        return [row["id"] for row, outcome in zip(rows, outcomes, strict=True) if outcome is None]

    def _sent(self, connection: Connection, ids: list[int]) -> None:
        if ids:
            connection.execute(delete(t.outbox).where(t.outbox.c.id.in_(ids)))

    # -- workers -----------------------------------------------------------------------------------------

    def worker_seen(self, data: dict[str, Any]) -> None:
        """Note that a worker is there, or leaves."""
        with self.engine.begin() as connection:
            fleet.worker_seen(connection, self.upsert, data, self.clock())

    def agent_seen(self, data: dict[str, Any]) -> None:
        """Note that an agent on a conversion host is there, or leaves; its host gets a queue first."""
        if data["host"] not in self.hosts:
            self.publisher.declare(topology.work_queue(topology.host_queue(data["host"])))
            self.hosts.add(data["host"])
        with self.engine.begin() as connection:
            fleet.agent_seen(connection, self.upsert, data, self.clock())

    def control_host(self, envelope: Envelope) -> None:
        """Drain a host, let it have work again, or forget one that is gone, with its queue."""
        data, now = envelope.data, self.clock()
        with self.engine.begin() as connection:
            if self._seen(connection, envelope.id, now):
                return
            control(connection, self.upsert, data["host"], data["action"])
        if data["action"] == "forget":
            self.hosts.discard(data["host"])
            self.publisher.delete(topology.host_queue(data["host"]).name)


def _check_control(store: Store, data: dict[str, Any]) -> None:
    """Raise InvalidMessage when a migration can't be told that now."""
    if why := refusal(store.head.phase, store.head.paused, data["action"]):
        raise InvalidMessage("invalid", {"action": why})
    if data["action"] == "cutover" and (why := rounds.refusal(store, data.get("servers"))):
        raise InvalidMessage("invalid", {"servers": why})


def _offers(store: Store, due: Do) -> str | None:
    """Who fetches what this try offers: ``importers``, or the id of a conversion host; None for any other try."""
    step = store.step(due.key)
    if step is None or step.action not in MOVING or due.verb:
        return None
    if step.action == "transfer":
        return "importers"
    return _host(store, step.key, "destination_host")


def _both(store: Store, due: Do) -> list[str]:
    """Who fetches what this try offers, and which conversion host offers it: either must answer."""
    who = _offers(store, due)
    if who is None or who == "importers":
        return [who] if who else []
    return [who, _host(store, due.key, "source_host")]


def _host(store: Store, key: str, side: str) -> str:
    place = store.step(place_of(key))
    return str(place.results.get(side, "")) if place else ""


def _postponed(store: Store, dues: list[Do], peers: dict[str, list[str]], facts: Facts, now: float) -> list[Do]:
    """Return the tries that can be made now; offers that nobody could fetch rest, and what follows is noted."""
    possible, left = [], list(dues)
    while left:
        due = left.pop(0)
        silent = next((who for who in _both(store, due) if not peers.get(who)), None)
        if silent is None:
            possible.append(due)
            continue
        importers = silent == "importers"
        what = "no importer has shown its certificate yet" if importers else f"no agent answers on host {silent}"
        data = {"migration": store.head.id, "step": due.key, "attempt": due.attempt, "reason": what}
        facts.append({"name": "postponed", "data": data})
        left += react(store, "postponed", data, now)
    return possible


def _fields(head: Head) -> dict[str, Any]:
    return {name: getattr(head, name) for name in Head.__slots__}


def _outgoing(row: Any) -> Outgoing:
    return Outgoing(row["exchange"], row["key"], bytes(row["body"]), row["message"])


def _fact_row(head: Head, before: Head, cause: Envelope | None) -> dict[str, Any]:
    data = {
        "migration": head.id,
        "phase": head.phase,
        "was": before.phase,
        "paused": head.paused,
        "reason": head.reason,
        "totals": head.counts,
    }
    return _told(messages.MigrationChanged, data, cause)


def _told(fact: type[messages.Fact], data: dict[str, Any], cause: Envelope | None) -> dict[str, Any]:
    envelope = fact.make(SOURCE, data, cause)
    return {
        "exchange": topology.FACTS.name,
        "key": fact.key,
        "message": envelope.id,
        "body": envelope.to_bytes(),
    }
