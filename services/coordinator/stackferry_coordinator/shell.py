"""The coordinator around its core: one transaction a message, an outbox, a clock. No nameko here.

A transaction takes in one message: inbox (its id is unique) → lock the migration → react → save → log the
message → write what's due into the outbox → commit. Only then is the message acknowledged. The relay publishes
the outbox, each message at least once: tries are claimed by their workers, so a second one does no harm.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert_postgresql
from sqlalchemy.dialects.sqlite import insert as upsert_sqlite
from sqlalchemy.exc import SQLAlchemyError
from stackferry import topology
from stackferry.bus import Outgoing, Publisher
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, InvalidMessage, Soon
from stackferry.messages import TryCloud
from stackferry.phases import OVER, refusal
from stackferry_runtime.logs import logger

from . import cleaning, fleet, identities, moves, offers, outbox, retention, rounds, turns
from . import tables as t
from .assignment import assign
from .authority import Authority
from .commands import command
from .copies import destination_before
from .fleeting import Fleeting
from .hosts import control
from .itinerary import Do, granted, opened, react
from .ledger import Head
from .offers import Peers
from .roles import NEEDS, Places
from .store import Store
from .telling import SOURCE, told
from .turns import Turns
from .workload import place_of

log = logger(__name__)
BATCH = 64
_NOTE = insert(t.fact)
#: neither remembered nor logged (see ``fleeting``)
FLEETING = ("step-progressed",)
DAY = 86400.0
ASKED_KEPT = 60.0  # seconds in which a request that was put off for a second comes again, for sure
COMMANDS_KEPT = 300.0  # seconds of silence of a host after which what it was told isn't sent any more
INBOX_KEPT = 7 * DAY
AWAY = 15.0  # seconds between two ticks after which we weren't there: down, or busy, or without a database
DEAF = 45.0  # seconds without any message; exporters and importers say every 30 that they're there
Facts = list[dict[str, Any]]


class Coordinator:
    """Takes in messages, and sends what follows from them."""

    def __init__(
        self, engine: Engine, publisher: Publisher, clock: Callable[[], float] = time.time, host_lost: float = 60.0,
        per_cloud: int = 0, authority: Authority | None = None, keep_days: float = 0.0,
    ) -> None:  # fmt: skip
        self.host_lost, self.per_cloud, self.keep_days = host_lost, per_cloud, keep_days
        self.forgetting = True  # whether something may be left to be deleted
        self.authority, self.fleeting = authority or Authority(), Fleeting()
        self.engine, self.publisher, self.clock = engine, publisher, clock
        self.unsent = True  # whether the outbox is worth a look; each tick says so again
        self.asked: dict[str, float] = {}  # migration → when it was first asked for, with clouds that nobody knows
        self.heard_of: dict[str, float] = {}  # queue of a host → when one of its agents was heard last
        self.hosts: set[str] = set()  # those whose queue is known to be there
        self.heard, self.hears_since = float("-inf"), float("inf")  # agents: the last time; and since when all along
        self.spoken = float("-inf")  # the last time that anybody said anything
        self.ticked, self.listens_since = float("-inf"), float("-inf")
        self.upsert = upsert_postgresql if engine.dialect.name == "postgresql" else upsert_sqlite
        self.remember = self.upsert(t.inbox).on_conflict_do_nothing()

    # -- messages in -------------------------------------------------------------------------------------

    def take(self, envelope: Envelope, sender: str = "") -> None:
        """Take in one message about a migration; a second delivery of it changes nothing.

        *sender*: the broker's user who published it. Raises InvalidMessage for a word that isn't this user's to say.
        """
        name, data = envelope.type.split(".")[1], {n: v for n, v in envelope.data.items() if n != "reply_to"}
        now = self.spoken = self.clock()
        if name in FLEETING and self.fleeting.take(envelope, sender, now):
            return
        if name not in FLEETING:
            self.fleeting.over(data)
        with self.engine.begin() as connection:
            if name not in FLEETING and self._seen(connection, envelope, sender, now):
                return
            store = self._open(connection, name, data, now, sender)
            if store is None:
                return
            if step := data.get("step"):
                store.near(step, place_of(step))
            if not self.authority.heeds(store, name, data, sender):
                return
            if name == "request-migration":
                self._check_clouds(connection, data, sender, now)
            due = self._react(connection, store, name, data, now, envelope)
        if (
            name in FLEETING
            and (step := store.step(data["step"]))
            and (step.state, step.attempt) == ("asked", data["attempt"])
        ):
            self.fleeting.believe(store.head, envelope, sender, now)
        self.unsent |= due

    def claim(self, envelope: Envelope, sender: str = "") -> bool:
        """Take in the claim of a delivery; return whether it may work. The same claim gets the same answer again."""
        data, due = envelope.data, False
        now = self.spoken = self.clock()
        with self.engine.begin() as connection:
            store = Store.open(connection, data["migration"])
            if store is None:
                return False
            step = store.step(data["step"])
            if not self.authority.heeds(store, "step-claimed", data, sender):
                return False
            open_ = step is not None and (step.state, step.attempt) == ("asked", data["attempt"])
            if open_ and not granted(store, data):
                due = self._react(connection, store, "step-claimed", data, now, envelope)
        self.unsent |= due
        return granted(store, data)

    def _seen(self, connection: Connection, envelope: Envelope, sender: str, now: float) -> bool:
        """Whether this message was taken in before. Ids are unique for each source (CloudEvents), and user."""
        named = hashlib.sha256(json.dumps([sender, envelope.source, envelope.id]).encode()).hexdigest()
        return connection.execute(self.remember, {"message": named, "at": now}).rowcount == 0

    def _open(self, connection: Connection, name: str, data: dict[str, Any], now: float, sender: str) -> Store | None:
        store = Store.open(connection, data["migration"])
        if store is None and retention.is_marked(connection, data["migration"]):
            if name in NEEDS:
                raise InvalidMessage("invalid", {"migration": "it is being forgotten"})
            return None  # a worker's word comes too late
        if name == "request-migration":
            if store is None:
                return Store.create(connection, opened(data).head, now, sender)
            if store.head.request == data:
                return None  # who wasn't sure whether it had been taken has asked once more
            if store.head.request:
                raise InvalidMessage("invalid", {"migration": "this id has been used for another request"})
            self.authority.owns(store, name, data, sender)
            kept = {name: getattr(store.head, name) for name in ("got", "created", "owner")}
            store.head = replace(opened(data).head, **kept)
        elif store is None and name == "submit-documents":  # it overtook its request
            return Store.create(connection, Head(data["migration"], {}), now, sender)
        elif store is None and name in ("control-migration", cleaning.ASKED):
            raise InvalidMessage("invalid", {"migration": "there's no such migration"})
        return store

    def _check_clouds(self, connection: Connection, request: dict[str, Any], sender: str, now: float) -> None:
        """Refuse a request whose clouds nobody has credentials for; those may have been written just now."""
        if wrong := fleet.unknown_clouds(
            connection, request, now, self.authority.sees("request-migration", request, sender)
        ):
            if len(self.asked) > BATCH:
                self.asked = {id_: at for id_, at in self.asked.items() if 0 <= now - at < ASKED_KEPT}
            if 0 <= now - self.asked.setdefault(request["migration"], now) < fleet.NEWS:
                raise Soon("the workers may have other credentials by now")
            raise InvalidMessage("invalid", wrong)

    def _react(
        self,
        connection: Connection,
        store: Store,
        name: str,
        data: dict[str, Any],
        now: float,
        cause: Envelope | None,
    ) -> bool:
        """Take it in; return whether something is to be sent once this is committed."""
        if name == "control-migration":
            _check_control(store, data)
        if wrong := cleaning.refused(store, name, data):
            raise InvalidMessage("invalid", wrong)
        before = store.head
        facts: Facts = [] if name in FLEETING else [{"name": name, "data": data}]
        dues = react(store, name, data, now)
        dues += self._assign(connection, store, facts, now, name in ("tick", "control-migration"))
        peers = Peers(connection, now)
        dues = offers.possible(store, dues, peers.of, facts, now)
        if store.head.mode == "run":
            dues = Turns(connection, self.upsert, store, now).possible(dues, facts)
        store.flush(now)
        identities.learn(connection, self.upsert, store, name, data)
        if facts:
            connection.execute(_NOTE, [{"migration": store.head.id, "at": now, **fact} for fact in facts])
        sent = [self._command(store, due, cause, peers) for due in dues]
        sent += told(store, None if name == "request-migration" else before, cause)
        outbox.keep(connection, sent)
        return bool(sent)

    def _assign(self, connection: Connection, store: Store, facts: Facts, now: float, time_passed: bool) -> list[Do]:
        """Give places on the conversion hosts to the volumes that want one; return the tries that are due then."""
        if not store.head.counts.get("wanting") or store.head.paused or not (store.places_changed or time_passed):
            return []
        store.flush(now)  # the fleet is asked who holds places
        held = store.head.counts.get("holding", 0)
        known, request = fleet.hosts(connection, now, self.per_cloud), store.head.request
        sides = request["source"], request["destination"]
        missing = known.missing(*sides)
        if missing and now - self.spoken > DEAF:
            return []  # nobody at all is heard: it's the broker that is away
        if missing:
            name, said = "unassignable", [{"step": s.key, "reason": missing} for s in store.wanting(BATCH)]
        else:
            room = min(fleet.share(connection, known, held), known.room(*sides))
            room = min(room, max(0, request.get("volumes_at_once", room + held) - held))
            wanting = [(step.key, destination_before(store, step)) for step in store.wanting(room)]
            name, said = "assigned", assign(wanting, *sides, known)
        dues: list[Do] = []
        for about in said:
            data = {"migration": store.head.id, **about}
            facts.append({"name": name, "data": data})
            dues += react(store, name, data, now)
        return dues

    def _command(self, store: Store, due: Do, cause: Envelope | None, peers: Peers) -> Outgoing:
        known, who = identities.Known(store.connection, store.head), offers.guest(store, due)
        message, data, queue = command(store, due, known, peers.of(who) if who else [])
        return Outgoing.of(topology.COMMANDS.name, queue, message.make(SOURCE, data, cause, attempt=due.attempt))

    # -- time --------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Turn leases and rests that are over into facts, and give free places on the hosts to whoever wants one."""
        now = self.clock()
        if now < self.ticked:
            self._set_back(now)
        if not 0 <= now - self.ticked <= AWAY:  # or the clock has jumped
            self.listens_since = self.hears_since = now
        self.ticked = now
        self.unsent = True  # perhaps another coordinator's, or what the broker didn't take
        with self.engine.connect() as connection:
            is_late = t.step.c.state.in_(("asked", "resting")) & (t.step.c.due <= now)
            late = list(connection.execute(select(t.step.c.migration).distinct().where(is_late)).scalars())
            late += [id_ for id_ in fleet.wanting(connection, now) if id_ not in late]
            # While no agent at all was heard, it was the broker, or this process, that was away.
            lost = fleet.lost(connection, now, self.host_lost) if now - self.hears_since >= self.host_lost else []
        self.forgetting = self.forgetting and retention.sweep(self.engine)
        for migration in late:
            self._timely(migration, "tick", {"migration": migration, "listening": now - self.listens_since}, now)
        for migration, step, hosts in lost:
            self._timely(migration, "host-lost", {"migration": migration, "step": step, "hosts": hosts}, now)

    def _set_back(self, now: float) -> None:
        """The clock was set back: nothing is due, or was seen, later than it could be."""
        log.warning("the clock was set back", seconds=round(self.ticked - now, 1))
        with self.engine.begin() as connection:
            far = t.step.c.due > now + moves.LONGEST
            connection.execute(update(t.step).where(far).values(due=now + moves.LEASE))
            jump, made = self.ticked - now, t.migration.c.created
            connection.execute(update(t.migration).where(made > now).values(created=made - jump))
            for table in (t.agent, t.worker):
                connection.execute(update(table).where(table.c.seen > now).values(seen=now))
        self.heard, self.spoken = min(self.heard, now), min(self.spoken, now)

    def _timely(self, migration: str, name: str, data: dict[str, Any], now: float) -> None:
        """Take in what time has brought; what one migration can't digest mustn't stop the clock of the others."""
        try:
            self._internal(migration, name, data, now)
        except SQLAlchemyError:  # the database is away, for all of them
            raise
        except Exception:
            log.exception("a migration can't be taken on", migration=migration, because=name)

    def forget(self) -> None:
        """Forget the ids of messages that can't come again, workers that left without a word, and old migrations."""
        with self.engine.begin() as connection:
            retention.drop_parts(connection)
            if self.keep_days:
                self.forgetting |= retention.mark_old(connection, self.clock() - self.keep_days * DAY)
            connection.execute(delete(t.inbox).where(t.inbox.c.at < self.clock() - INBOX_KEPT))
            turns.forget(connection, self.clock() - INBOX_KEPT)
            fleet.forget(connection, self.clock())

    def forget_migrations(self, envelope: Envelope, sender: str = "") -> dict[str, Any]:
        """Forget migrations that are over; return {forgotten: ids, kept: {id: why}}. One that isn't there is forgotten.

        Raises InvalidMessage, and forgets none, when one of them isn't this client's to forget.
        """
        asked, c = list(dict.fromkeys(envelope.data["migrations"])), t.migration.c
        with self.engine.begin() as connection:
            query = select(c.id, c.phase, c.request).where(c.id.in_(asked), c.phase != retention.FORGOTTEN)
            rows = connection.execute(query.with_for_update()).all()
            self.authority.ask("forget-migrations", envelope.data, sender, [row.request for row in rows])
            kept = {row.id: f"it is {row.phase}, and not over" for row in rows if row.phase not in OVER}
            retention.mark(connection, [row.id for row in rows])
        self.forgetting = True
        return {"forgotten": [id_ for id_ in asked if id_ not in kept], "kept": kept}

    def _internal(self, migration: str, name: str, data: dict[str, Any], now: float) -> None:
        with self.engine.begin() as connection:
            store = Store.open(connection, migration)
            due = store is not None and self._react(connection, store, name, data, now, None)
        self.unsent |= due

    @property
    def has_news(self) -> bool:
        """Whether there is something to send now."""
        return self.unsent or self.fleeting.is_due(self.clock())

    def relay(self) -> int:
        """Publish what is due; return how many messages the broker has taken."""
        if progress := self.fleeting.due(self.clock()):
            with suppress(BrokerUnavailable):  # there will be more
                self.publisher.publish_all(progress)
        if not self.unsent:
            return 0
        self.unsent = False
        sent, gone = outbox.relay(self.engine, self.publisher, self._may_come_back)
        self.hosts = {host for host in self.hosts if topology.host_queue(host).name not in gone}
        if lost := gone & {queue.name for queue in topology.WORK_QUEUES}:
            log.warning("queues are gone; they're made anew", queues=sorted(lost))
            self.mend()
        self.unsent |= sent > 0  # there may be more
        return sent

    def _may_come_back(self, queue: str) -> bool:
        """Whether a queue that is gone will be there again: a service's always, a host's while its agents are heard."""
        if not topology.on(topology.HOST, queue):
            return True
        return self.clock() - self.heard_of.get(queue, float("-inf")) < COMMANDS_KEPT

    def mend(self) -> None:
        """Make the queues that somebody has deleted, or unbound; that of a host when its agent is heard next."""
        for queue in topology.WORK_QUEUES:
            self.publisher.declare(topology.work_queue(queue))

    # -- workers -----------------------------------------------------------------------------------------

    def worker_seen(self, data: dict[str, Any], sender: str = "") -> None:
        """Note that a worker is there, or leaves."""
        self.authority.worker(data, sender)
        self.spoken = self.clock()
        with self.engine.begin() as connection:
            fleet.worker_seen(connection, self.upsert, data, self.spoken)

    def agent_seen(self, data: dict[str, Any], sender: str = "") -> None:
        """Note that an agent on a conversion host is there, or leaves; its host gets a queue first."""
        self.authority.agent(data, sender)
        now = self.spoken = self.clock()
        if now - self.heard > fleet.AGENT_SILENT:
            self.hears_since = now
        self.heard = self.heard_of[topology.host_queue(data["host"]).name] = now
        if data["host"] not in self.hosts:
            self.publisher.declare(topology.work_queue(topology.host_queue(data["host"])))
            self.hosts.add(data["host"])
        with self.engine.begin() as connection:
            fleet.agent_seen(connection, self.upsert, data, now)

    def check_cloud(self, envelope: Envelope, sender: str = "") -> None:
        """Have a worker try a cloud's credentials for a client; the worker answers."""
        data = envelope.data
        self.authority.ask("check-cloud", data, sender, Places((data["place"],)))
        queue = topology.EXPORTER_CHECKS if data.get("side") != "destination" else topology.IMPORTER_CHECKS
        question = TryCloud.make(SOURCE, {name: data[name] for name in ("place", "reply_to")}, envelope)
        self.publisher.publish(Outgoing.of(queue.exchange.name, queue.name, question))

    def control_host(self, envelope: Envelope, sender: str = "") -> None:
        """Drain a host, let it have work again, or forget one that is gone, with its queue."""
        data, now = envelope.data, self.clock()
        with self.engine.begin() as connection:
            if self._seen(connection, envelope, sender, now):
                return
            self.authority.ask("control-host", data, sender, Places(tuple(fleet.places(connection, data["host"]))))
            control(connection, self.upsert, data["host"], data["action"])
        if data["action"] == "forget":
            self.hosts.discard(data["host"])
            self.heard_of.pop(topology.host_queue(data["host"]).name, None)
            self.publisher.delete(topology.host_queue(data["host"]).name)


def _check_control(store: Store, data: dict[str, Any]) -> None:
    """Raise InvalidMessage when a migration can't be told that now."""
    if why := refusal(store.head.phase, store.head.paused, data["action"], store.head.reason):
        raise InvalidMessage("invalid", {"action": why})
    if data["action"] == "cutover" and (why := rounds.refusal(store, data.get("servers"))):
        raise InvalidMessage("invalid", {"servers": why})
