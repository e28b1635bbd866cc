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

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert_postgresql
from sqlalchemy.dialects.sqlite import insert as upsert_sqlite
from sqlalchemy.exc import SQLAlchemyError
from stackferry import topology
from stackferry.bus import Outgoing, Publisher
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, InvalidMessage, Soon
from stackferry.messages import TryCloud
from stackferry.phases import OVER
from stackferry.roles import NEEDS, Places
from stackferry_runtime.logs import logger

from ..events.fleeting import FLEETING, Fleeting
from ..events.telling import SOURCE
from ..hosts import operators, presence
from ..plan.itinerary import place_of
from ..plan.ledger import Head
from ..rules import planning, slices, source_cleanup, transitions
from ..rules.reactions import granted, opened
from ..storage import outbox, retention
from ..storage import tables as t
from ..storage.store import Store
from ..trust.authority import Authority
from . import turns
from .consequences import Consequences
from .listening import Listening
from .queues import Queues

log = logger(__name__)
DAY = 86400.0
ASKED, ASKED_KEPT = 64, 60.0  # requests that were put off for a second, and seconds in which they come again, for sure
INBOX_KEPT = 7 * DAY
GIVE_UP, MOST_SAID = 3, 500  # tries of a slice that fails, and characters of the error that people are told


class Shell:
    """Takes in messages, and sends what follows from them."""

    def __init__(
        self, engine: Engine, publisher: Publisher, clock: Callable[[], float] = time.time, host_lost: float = 60.0,
        per_cloud: int = 0, authority: Authority | None = None, keep_days: float = 0.0,
        told: Callable[[str, bytes], None] = lambda key, body: None,
    ) -> None:  # fmt: skip
        self.host_lost, self.keep_days = host_lost, keep_days
        self.forgetting = True  # whether something may be left to be deleted
        self.told = told  # called with each event that the broker has taken
        self.authority, self.fleeting = authority or Authority(), Fleeting()
        self.engine, self.publisher, self.clock = engine, publisher, clock
        self.unsent = True  # whether the outbox is worth a look; each tick says so again
        self.agendas: dict[str, str] = {}  # migration of which another slice is to be done → of what
        self.failed: dict[str, int] = {}  # migration → how often in a row its slice has failed
        self.asked: dict[str, float] = {}  # migration → when it was first asked for, with clouds that nobody knows
        self.listening, self.queues = Listening(), Queues(publisher, clock)
        self.upsert = upsert_postgresql if engine.dialect.name == "postgresql" else upsert_sqlite
        self.consequences = Consequences(self.upsert, self.listening, per_cloud)
        self.remember = self.upsert(t.inbox).on_conflict_do_nothing()

    # -- messages in -------------------------------------------------------------------------------------

    def take(self, envelope: Envelope, sender: str = "") -> None:
        """Take in one message about a migration; a second delivery of it changes nothing.

        *sender*: the broker's user who published it. Raises InvalidMessage for a word that isn't this user's to say.
        """
        name, data = envelope.type.split(".")[1], {n: v for n, v in envelope.data.items() if n != "reply_to"}
        now = self.listening.spoken = self.clock()
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
            due = self.consequences.of(connection, store, name, data, now, envelope)
        self._note_agenda(store)
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
        now = self.listening.spoken = self.clock()
        with self.engine.begin() as connection:
            store = Store.open(connection, data["migration"])
            if store is None:
                return False
            step = store.step(data["step"])
            if not self.authority.heeds(store, "step-claimed", data, sender):
                return False
            open_ = step is not None and (step.state, step.attempt) == ("asked", data["attempt"])
            if open_ and not granted(store, data):
                due = self.consequences.of(connection, store, "step-claimed", data, now, envelope)
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
        elif store is None and name in ("control-migration", source_cleanup.ASKED):
            raise InvalidMessage("invalid", {"migration": "there's no such migration"})
        return store

    def _check_clouds(self, connection: Connection, request: dict[str, Any], sender: str, now: float) -> None:
        """Refuse a request whose clouds nobody has credentials for; those may have been written just now."""
        own = self.authority.sees("request-migration", request, sender).clouds
        if wrong := presence.unknown_clouds(connection, request, now, own):
            if len(self.asked) > ASKED:
                self.asked = {id_: at for id_, at in self.asked.items() if 0 <= now - at < ASKED_KEPT}
            if 0 <= now - self.asked.setdefault(request["migration"], now) < presence.NEWS:
                raise Soon("the workers may have other credentials by now")
            raise InvalidMessage("invalid", wrong)

    # -- time --------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Turn leases and rests that are over into facts, and give free places on the hosts to whoever wants one."""
        now = self.clock()
        if back := self.listening.set_back(now):
            self._set_back(back, now)
        self.listening.tick(now)
        self.unsent = True  # perhaps another coordinator's, or what the broker didn't take
        with self.engine.connect() as connection:
            is_late = t.step.c.state.in_(("asked", "resting")) & (t.step.c.due <= now)
            late = list(connection.execute(select(t.step.c.migration).distinct().where(is_late)).scalars())
            late += [id_ for id_ in presence.wanting(connection, now) if id_ not in late]
            slow = select(t.migration.c.id, t.migration.c.agenda).where(t.migration.c.agenda.is_not(None))
            self.agendas |= {id_: agenda["do"] for id_, agenda in connection.execute(slow)}  # whoever began it
            # While no agent at all was heard, it was the broker, or this process, that was away.
            hears = now - self.listening.hears_since >= self.host_lost
            lost = presence.lost(connection, now, self.host_lost) if hears else []
        self.forgetting = self.forgetting and retention.sweep(self.engine)
        listening = now - self.listening.listens_since
        for migration in late:
            self._timely(migration, "tick", {"migration": migration, "listening": listening}, now)
        for migration, step, hosts in lost:
            self._timely(migration, "host-lost", {"migration": migration, "step": step, "hosts": hosts}, now)

    def _set_back(self, back: float, now: float) -> None:
        """The clock was set back: nothing is due, or was seen, later than it could be."""
        log.warning("the clock was set back", seconds=round(back, 1))
        with self.engine.begin() as connection:
            far = t.step.c.due > now + transitions.LONGEST
            connection.execute(update(t.step).where(far).values(due=now + transitions.LEASE))
            made = t.migration.c.created
            connection.execute(update(t.migration).where(made > now).values(created=made - back))
            for table in (t.agent, t.worker):
                connection.execute(update(table).where(table.c.seen > now).values(seen=now))

    def _timely(self, migration: str, name: str, data: dict[str, Any], now: float) -> Exception | None:
        """Take in what time has brought; what one migration can't digest mustn't stop the clock of the others.

        Return the error that it can't digest.
        """
        try:
            self._internal(migration, name, data, now)
        except SQLAlchemyError:  # the database is away, for all of them
            raise
        except Exception as error:
            log.exception("a migration can't be taken on", migration=migration, because=name)
            return error
        return None

    def forget(self) -> None:
        """Forget the ids of messages that can't come again, workers that left without a word, and old migrations."""
        with self.engine.begin() as connection:
            retention.drop_parts(connection)
            if self.keep_days:
                self.forgetting |= retention.mark_old(connection, self.clock() - self.keep_days * DAY)
            connection.execute(delete(t.inbox).where(t.inbox.c.at < self.clock() - INBOX_KEPT))
            turns.forget(connection, self.clock() - INBOX_KEPT)
            presence.forget(connection, self.clock())

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
        self.agendas.pop(migration, None)
        with self.engine.begin() as connection:
            store = Store.open(connection, migration)
            due = store is not None and self.consequences.of(connection, store, name, data, now, None)
        if store is not None:
            self._note_agenda(store)
        self.unsent |= due

    def _note_agenda(self, store: Store) -> None:
        if store.head.agenda is not None:
            self.agendas[store.head.id] = store.head.agenda["do"]

    def go_on(self) -> bool:
        """Do another slice of what concerns a whole migration, of each that has one; return whether there was any.

        Only so many are planned at once as outlines are kept: those of more would be made anew for each slice.
        """
        plans, now = [id_ for id_, what in sorted(self.agendas.items()) if slices.WORKS[what].is_whole], self.clock()
        begun = [id_ for id_ in self.agendas if id_ not in plans[planning.KEPT :]]
        for migration in begun:
            error = self._timely(migration, slices.GO_ON, {"migration": migration}, now)
            failed = self.failed.pop(migration, 0) + 1
            if error is None or migration not in plans:  # other works wait until it's mended, or people say otherwise
                continue
            if failed < GIVE_UP:
                self.failed[migration] = failed
                continue
            data = {"migration": migration, "reason": f"{type(error).__name__}: {error}"[:MOST_SAID]}
            self._timely(migration, slices.BROKEN, data, now)
        return bool(begun)

    @property
    def has_news(self) -> bool:
        """Whether there is something to send now."""
        return self.unsent or bool(self.agendas) or self.fleeting.is_due(self.clock())

    def relay(self) -> int:
        """Publish what is due; return how many messages the broker has taken."""
        if progress := self.fleeting.due(self.clock()):
            with suppress(BrokerUnavailable):  # there will be more
                self.publisher.publish_all(progress)
        if not self.unsent:
            return 0
        self.unsent = False
        sent, gone = outbox.relay(self.engine, self.publisher, self.queues.may_come_back, self.told)
        if lost := self.queues.gone(gone):
            log.warning("queues are gone; they're made anew", queues=sorted(lost))
            self.queues.mend()
        self.unsent |= sent > 0  # there may be more
        return sent

    # -- workers -----------------------------------------------------------------------------------------

    def worker_seen(self, data: dict[str, Any], sender: str = "") -> None:
        """Note that a worker is there, or leaves."""
        self.authority.worker(data, sender)
        now = self.listening.spoken = self.clock()
        with self.engine.begin() as connection:
            presence.worker_seen(connection, self.upsert, data, now)

    def agent_seen(self, data: dict[str, Any], sender: str = "") -> None:
        """Note that an agent on a conversion host is there, or leaves; its host gets a queue first."""
        self.authority.agent(data, sender)
        now = self.clock()
        self.listening.agent(now)
        self.queues.of_host(data["host"], now)
        with self.engine.begin() as connection:
            presence.agent_seen(connection, self.upsert, data, now)

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
            self.authority.ask("control-host", data, sender, Places(tuple(presence.places(connection, data["host"]))))
            operators.control(connection, self.upsert, data["host"], data["action"])
        if data["action"] == "forget":
            self.queues.forget(data["host"])
