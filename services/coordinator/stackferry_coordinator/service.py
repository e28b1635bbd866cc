"""The coordinator: what comes in, and which function handles it."""

from __future__ import annotations

import contextlib
import functools
import json
import uuid
from collections.abc import Callable
from typing import Any

import eventlet
from nameko.extensions import DependencyProvider
from sqlalchemy import Engine
from stackferry import __version__, deadletters, topology
from stackferry.bus import BUS_ERRORS, Publisher, user_of
from stackferry.errors import BrokerUnavailable, InvalidMessage, NotNow, Unconfirmed, Unroutable
from stackferry.messages import (
    AgentSeen,
    Answer,
    CheckCloud,
    CleanUpSource,
    ControlDeadLetters,
    ControlHost,
    ControlMigration,
    DescribeDeadLetters,
    DescribeHosts,
    DescribeMigrations,
    DescribeWorkers,
    DocumentsExported,
    ExportEnded,
    ForgetMigrations,
    ImageOffered,
    RequestMigration,
    SegmentOffered,
    SegmentServed,
    StepClaimed,
    StepEnded,
    StepProgressed,
    SubmitDocuments,
    WorkerSeen,
)
from stackferry.roles import EVERYWHERE
from stackferry_runtime.logs import logger
from stackferry_runtime.services.bus import Delivery, Publish, handles

from . import gauges, queries
from .events import dead_letters
from .hosts import operators, presence
from .storage import database
from .transactions.shell import Shell
from .trust.authority import Authority
from .trust.clients import Clients

log = logger(__name__)
MEND = 30.0  # seconds between two looks at the queues
FORGET = 3600.0  # seconds between two clearings of the inbox


def _upgraded(engine: Engine) -> None:
    """Wait for the database at the start, as for the broker, and bring its schema up to date."""
    while True:
        try:
            with database.awaited():
                return database.upgrade(engine)
        except NotNow as error:
            log.warning("waiting for the database (STACKFERRY_DATABASE_URL)", error=str(error))
            eventlet.sleep(2)


def patient(handler: Callable[[Any, Delivery], None]) -> Callable[[Any, Delivery], None]:
    """A handler whose messages wait while the database is away."""

    @functools.wraps(handler)
    def handle(self: Any, delivery: Delivery) -> None:
        try:
            with database.awaited():
                handler(self, delivery)
        except NotNow as error:
            log.warning("a message waits", type=delivery.envelope.type, error=str(error))
            raise

    return handle


class Running(DependencyProvider):
    """The shell, with its relay and its clock running beside the handlers."""

    def setup(self) -> None:
        settings = self.container.config["settings"]
        self.settings = settings
        engine = database.connect(settings.database_url)
        _upgraded(engine)
        self.shell = Shell(
            engine,
            Publisher(settings.amqp_uri, "coordinator relay"),
            host_lost=settings.host_lost,
            per_cloud=settings.volumes_per_cloud,
            keep_days=settings.keep_days,
            authority=Authority(user_of(settings.amqp_uri), Clients(settings.clients)),
            told=gauges.told,
        )
        gauges.watch(engine, self.shell.clock)
        self.due = eventlet.event.Event()
        self.over, self.stopped = False, eventlet.event.Event()
        self.parked: int | None = None  # messages that nobody could act on, when it was last looked at
        self.letters = eventlet.semaphore.Semaphore()  # held by who looks at these: nobody else would see one meanwhile

    def start(self) -> None:
        self.threads = [
            self.container.spawn_managed_thread(lambda: self._loop(self._relay)),
            self.container.spawn_managed_thread(lambda: self._loop(self._tick)),
            self.container.spawn_managed_thread(lambda: self._loop(self._forget)),
            self.container.spawn_managed_thread(lambda: self._loop(self._mend)),
        ]

    def stop(self) -> None:
        self.over = True
        if not self.stopped.ready():
            self.stopped.send(None)
        self.wake()
        for thread in self.threads:
            with contextlib.suppress(eventlet.greenlet.GreenletExit):
                thread.wait()
        self.shell.publisher.close()

    def wake(self) -> None:
        """There may be something to send."""
        if not self.due.ready():
            self.due.send(None)

    def _loop(self, once: Callable[[], None]) -> None:
        while not self.over:
            try:
                once()
            except Exception:  # a database or broker that is away must not end the process
                log.exception("will try again")
                eventlet.sleep(2)

    def _relay(self) -> None:
        sent, went_on = self.shell.relay(), self.shell.go_on()
        if went_on:
            eventlet.sleep(0)  # or nobody else would get the database before the last slice
        if sent or went_on:
            return
        with eventlet.Timeout(self.settings.tick, False):
            self.due.wait()
        self.due = eventlet.event.Event()

    def _tick(self) -> None:
        self.shell.tick()
        self.wake()
        eventlet.sleep(self.settings.tick)

    def _mend(self) -> None:
        try:
            self.shell.queues.mend()
            settings = self.settings
            with self.letters:
                number = dead_letters.make_room(
                    settings.amqp_uri, settings.dead_letters_dir, settings.dead_letters, self.shell.publisher
                )
            if number:
                log.warning("parked messages were moved into a file", number=number, folder=settings.dead_letters_dir)
        except (*BUS_ERRORS, BrokerUnavailable, Unconfirmed, Unroutable) as error:
            log.warning("the queues can't be looked after", error=str(error))
        self._count_parked()
        with eventlet.Timeout(MEND, False):
            self.stopped.wait()

    def _count_parked(self) -> None:
        try:
            with self.letters:
                self.parked = deadletters.count(self.settings.amqp_uri)
        except (*BUS_ERRORS, BrokerUnavailable):
            self.parked = None  # nobody knows
        else:
            gauges.PARKED.set(self.parked)

    def _forget(self) -> None:
        self.shell.forget()
        with eventlet.Timeout(FORGET, False):
            self.stopped.wait()

    def get_dependency(self, worker_ctx: Any) -> Running:
        return self


class Coordinator:
    """Plans migrations, sequences their steps, and remembers everything."""

    name = "coordinator"
    running = Running()
    publish = Publish()

    @handles(RequestMigration, SubmitDocuments, ControlMigration, CleanUpSource)
    @patient
    def on_request(self, delivery: Delivery) -> None:
        """What users want."""
        self.running.shell.take(delivery.envelope, delivery.sender)
        self.running.wake()
        self._taken(delivery, migration=delivery.data["migration"])

    def _taken(self, delivery: Delivery, **about: Any) -> None:
        """Tell who waits for it that a request was taken."""
        if reply_to := delivery.data.get("reply_to"):
            self.publish(Answer, {"content": about}, delivery.envelope, reply_to=reply_to)

    @handles(DescribeMigrations)
    def on_question(self, delivery: Delivery) -> None:
        """What users ask; a question that can't be answered is answered too."""
        reply_to = delivery.data["reply_to"]
        client = self.running.shell.authority.sees(DescribeMigrations.called, delivery.data, delivery.sender)
        content, series = None, str(uuid.uuid4())
        try:
            for content, more in queries.describe(self.running.shell.engine, delivery.data, client.may_see):
                part = {"content": content, "more": more, "series": series}
                self.publish(Answer, part, delivery.envelope, reply_to=reply_to)
        except InvalidMessage as wrong:  # such as a cursor of ours that leads nowhere: nothing that need be kept
            said = {"error": f"{wrong.reason}: {json.dumps(wrong.errors)}"}
            self.publish(Answer, said, delivery.envelope, reply_to=reply_to)
            return
        if content is None:
            error = f"there's no migration {delivery.data['migration']}"
            self.publish(Answer, {"error": error}, delivery.envelope, reply_to=reply_to)

    @handles(ForgetMigrations)
    @patient
    def on_forget(self, delivery: Delivery) -> None:
        """Migrations that nobody needs any more."""
        answer = {"content": self.running.shell.forget_migrations(delivery.envelope, delivery.sender)}
        self.publish(Answer, answer, delivery.envelope, reply_to=delivery.data["reply_to"])

    @handles(ControlHost)
    @patient
    def on_host(self, delivery: Delivery) -> None:
        """What people want of a conversion host."""
        self.running.shell.control_host(delivery.envelope, delivery.sender)
        self._taken(delivery, host=delivery.data["host"])

    @handles(CheckCloud)
    def on_check(self, delivery: Delivery) -> None:
        """Whether the credentials of a cloud work."""
        self.running.shell.check_cloud(delivery.envelope, delivery.sender)

    @handles(DescribeHosts)
    def on_hosts(self, delivery: Delivery) -> None:
        """What people ask about the conversion hosts."""
        client = self.running.shell.authority.sees(DescribeHosts.called, delivery.data, delivery.sender)
        with self.running.shell.engine.connect() as connection:
            known = [
                host for host in operators.describe(connection, self.running.shell.clock()) if client.may_touch([host])
            ]
        answer = {"content": {"hosts": known}}
        self.publish(Answer, answer, delivery.envelope, reply_to=delivery.data["reply_to"])

    @handles(DescribeWorkers)
    def on_workers(self, delivery: Delivery) -> None:
        """What people ask about the services' processes."""
        client = self.running.shell.authority.sees(DescribeWorkers.called, delivery.data, delivery.sender)
        with self.running.shell.engine.connect() as connection:
            known = presence.workers(connection, self.running.shell.clock())
        for worker in known:
            if worker["clouds"] is not None:
                worker["clouds"] = [name for name in worker["clouds"] if client.may_touch([{"cloud": name}])]
        parked = None if client.is_limited else self.running.parked
        answer = {"content": {"workers": known, "coordinator": __version__, "parked": parked}}
        self.publish(Answer, answer, delivery.envelope, reply_to=delivery.data["reply_to"])

    @handles(DescribeDeadLetters)
    def on_letters(self, delivery: Delivery) -> None:
        """What people ask about messages that nobody could act on: these may be about anybody's migration."""
        self.running.shell.authority.may(DescribeDeadLetters.called, delivery.data, delivery.sender, EVERYWHERE)
        with self.running.letters:
            content = dead_letters.describe(self.running.settings.amqp_uri)
        self.publish(Answer, {"content": content}, delivery.envelope, reply_to=delivery.data["reply_to"])

    @handles(ControlDeadLetters)
    def on_letter(self, delivery: Delivery) -> None:
        """What people want of messages that nobody could act on."""
        self.running.shell.authority.ask(ControlDeadLetters.called, delivery.data, delivery.sender, EVERYWHERE)
        asked, uri = delivery.data, self.running.settings.amqp_uri
        with self.running.letters:
            content = dead_letters.settle(uri, asked["ids"], asked["action"])
            self.running.parked = None  # until it's looked at again
        log.info("parked messages", audit=True, action=asked["action"], sender=delivery.sender, **content)
        self.publish(Answer, {"content": content}, delivery.envelope, reply_to=asked["reply_to"])

    @handles(
        DocumentsExported, ExportEnded, StepEnded, StepProgressed, ImageOffered, SegmentOffered, SegmentServed,
        queue=topology.COORDINATOR_FACTS, workers=8,
    )  # fmt: skip
    @patient
    def on_report(self, delivery: Delivery) -> None:
        """What workers report; about a migration that we don't know, it's nothing to us."""
        self.running.shell.take(delivery.envelope, delivery.sender)
        if delivery.envelope.type == StepEnded.type:
            gauges.ended(delivery.data)
        if self.running.shell.has_news:
            self.running.wake()
        log.debug("took", type=delivery.envelope.type, subject=delivery.envelope.subject)

    @handles(StepClaimed)
    @patient
    def on_claim(self, delivery: Delivery) -> None:
        """A delivery of a command wants to work on its try."""
        answer = {"content": {"granted": self.running.shell.claim(delivery.envelope, delivery.sender)}}
        self.running.wake()
        self.publish(Answer, answer, delivery.envelope, reply_to=delivery.data["reply_to"])

    @handles(WorkerSeen, queue=topology.COORDINATOR_FACTS)
    @patient
    def on_worker(self, delivery: Delivery) -> None:
        """A worker is there."""
        self.running.shell.worker_seen(delivery.data, delivery.sender)

    @handles(AgentSeen, queue=topology.COORDINATOR_FACTS)
    @patient
    def on_agent(self, delivery: Delivery) -> None:
        """An agent on a conversion host is there."""
        self.running.shell.agent_seen(delivery.data, delivery.sender)
