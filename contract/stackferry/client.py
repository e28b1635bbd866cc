"""A client for integrators: request migrations, ask about them, follow their facts. Plain Python, no services.

from stackferry.client import Client

with Client("amqp://client:password@127.0.0.1:5672//") as ferry:
    migration = ferry.migrate("src", "dst")
    for fact in ferry.follow(migration):
        print(fact.type, fact.data)
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from kombu import Connection, Queue

from . import topology
from .bus import BUS_ERRORS, Outgoing, Publisher, connect
from .envelope import Envelope
from .errors import BrokerUnavailable, Error, InvalidMessage, NoAnswer
from .messages import (
    Answer,
    CheckCloud,
    CleanUpSource,
    Command,
    ControlHost,
    ControlMigration,
    DescribeHosts,
    DescribeMigrations,
    MigrationChanged,
    RequestMigration,
    SubmitDocuments,
)

SOURCE = "stackferry/client"
FINAL = ("planned", "done", "undone", "cancelled", "stuck")
PART_BYTES = 300_000
FACTS = 10_000  # of one migration that are kept until they're heard; the oldest are dropped
Place = str | dict[str, Any]


class Client:
    """One integrator's connection. Not for several threads at once.

    It listens from the moment it's made, so nothing that follows from a request is missed. A connection that was lost,
    such as while the program did something else for minutes, is made anew, and questions are asked again.
    """

    def __init__(self, amqp_uri: str, timeout: float = 30) -> None:
        self.timeout, self._uri = timeout, amqp_uri
        self._publisher = Publisher(amqp_uri, "client publisher")
        self._connections = 0
        self._requested: set[str] = set()
        self._facts: dict[str, deque[Envelope]] = {}  # of the migrations that were requested, shown or listened to
        self._answers: deque[Envelope] = deque()
        self._connect()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the queues of this client go with them."""
        self._publisher.close()
        with contextlib.suppress(OSError):
            self._connection.release()

    # -- requests ----------------------------------------------------------------------------------------

    def migrate(
        self, source: Place | None, destination: Place | None, *, mode: str = "run",
        selection: dict[str, Any] | None = None, documents: list[dict[str, Any]] | None = None,
        image_blobs: str | None = None, migration_params: dict[str, Any] | None = None,
        volumes_at_once: int | None = None, bandwidth: int | None = None,
        mapping: dict[str, dict[str, str]] | None = None,
    ) -> str:  # fmt: skip
        """Request a migration; return its id.

        *source*, *destination*: a cloud's name in the services' ``clouds.yaml``, or ``{cloud, project}``.
        *mode*: ``run``, ``plan`` (write nothing) or ``export``. *selection*: ``{kinds, filters}``. *documents*:
        resources to import instead of reading a source. *image_blobs*: folder, as the services see it, where an
        export leaves the payloads of images, and where the documents' images take theirs from. *migration_params*:
        what the servers' ``_migration_params`` say instead of their own, such as ``{"mode": "warm"}``.
        *volumes_at_once*: how many are on the conversion hosts at the same time, at most. *bandwidth*: bytes a second
        that all of them together are sent with, at most. *mapping*: what is called otherwise at the destination,
        ``{kind: {name: name there}}`` (see ``stackferry.mapping``). Raises InvalidMessage for a request that makes no
        sense.
        """
        migration = str(uuid.uuid4())
        self._listen_to(migration)
        request: dict[str, Any] = {"migration": migration, "mode": mode}
        for side, place in (("source", source), ("destination", destination)):
            if place is not None:
                request[side] = {"cloud": place} if isinstance(place, str) else place
        if selection:
            request["selection"] = selection
        if image_blobs:
            request["image_blobs"] = image_blobs
        if migration_params:
            request["migration_params"] = migration_params
        if volumes_at_once:
            request["volumes_at_once"] = volumes_at_once
        if bandwidth:
            request["bandwidth"] = bandwidth
        if mapping:
            request["mapping"] = mapping
        parts = _parts(documents) if documents is not None else []
        if documents is not None:
            request["parts"] = len(parts)
        RequestMigration.load_data(request)
        for number, part in enumerate(parts, 1):
            self.send(SubmitDocuments, {"migration": migration, "part": number, "documents": part})
        self.send(RequestMigration, request)
        self._requested.add(migration)
        return migration

    def _listen_to(self, migration: str) -> deque[Envelope]:
        """From now on its facts are kept until they're heard."""
        return self._facts.setdefault(migration, deque(maxlen=FACTS))

    def control(self, migration: str, action: str, servers: list[str] | None = None) -> None:
        """Tell a migration to start, pause, resume, cancel, retry or undo; or to ``cutover`` (these) warm servers."""
        self._listen_to(migration)
        which = {"servers": servers} if servers else {}
        self.send(ControlMigration, {"migration": migration, "action": action, **which})

    def control_host(self, host: str, action: str) -> None:
        """Tell the coordinator to drain a conversion host (id of its server), to resume or to forget it."""
        self.send(ControlHost, {"host": host, "action": action})

    def clean_up_source(self, migration: str, workloads: list[str]) -> None:
        """Delete at the source what a migration that is done has moved: these workloads, by their keys."""
        self.send(CleanUpSource, {"migration": migration, "workloads": workloads})

    def send(self, message: type[Command], data: dict[str, Any], queue: topology.WorkQueue | None = None) -> Envelope:
        """Publish one command."""
        envelope = message.make(SOURCE, data)
        key = (queue or message.queues[0]).name
        self._publisher.publish(Outgoing.of(topology.COMMANDS.name, key, envelope))
        return envelope

    # -- questions ---------------------------------------------------------------------------------------

    def migrations(self) -> list[dict[str, Any]]:
        """Return every migration, without steps."""
        return [migration for part in self._ask(DescribeMigrations, {}) for migration in part["migrations"]]

    def show(self, migration: str, documents: bool = False) -> dict[str, Any]:
        """Return one migration with its steps, and with their documents when asked."""
        self._listen_to(migration)  # nothing that follows is missed by who listens next
        question = {"migration": migration, "documents": documents}
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                parts = self._ask(DescribeMigrations, question)
                break
            except Error:  # the question may have overtaken our own request
                if migration not in self._requested or time.monotonic() > deadline:
                    raise
        self._requested.discard(migration)
        return {**parts[0]["migration"], "steps": [step for part in parts for step in part["steps"]]}

    def check(self, place: Place, side: str) -> dict[str, Any]:
        """Try the credentials of a cloud as *side* (``source`` or ``destination``) would use them."""
        queue = CheckCloud.queues[0 if side == "source" else 1]
        (answer,) = self._ask(CheckCloud, {"place": {"cloud": place} if isinstance(place, str) else place}, queue)
        return answer

    def hosts(self) -> list[dict[str, Any]]:
        """Return every conversion host: how full it is, whether it gets work, and why not."""
        (answer,) = self._ask(DescribeHosts, {})
        found: list[dict[str, Any]] = answer["hosts"]
        return found

    def _ask(
        self, message: type[Command], data: dict[str, Any], queue: topology.WorkQueue | None = None
    ) -> list[dict[str, Any]]:
        question, asked, parts = self.send(message, {**data, "reply_to": self.id}, queue), self._connections, []
        while True:
            answer = self._next(lambda: self._answer_to(question), self.timeout)
            if answer is None and self._connections != asked:
                return self._ask(message, data, queue)
            if answer is None:
                where = (queue or message.queues[0]).name
                raise NoAnswer(f"nobody on {where} answered within {self.timeout:g} s; are the services up?")
            if error := answer.data.get("error"):
                raise Error(error)
            parts.append(answer.data["content"])
            if not answer.data.get("more"):
                return parts

    def _answer_to(self, question: Envelope) -> Envelope | None:
        """Its answer, once that is here; those to earlier questions came too late."""
        while self._answers:
            if (answer := self._answers.popleft()).correlationid == question.id:
                return answer
        return None

    # -- facts -------------------------------------------------------------------------------------------

    def follow(self, migration: str, timeout: float | None = None) -> Iterator[Envelope]:
        """Yield the facts of a migration as they come, until it has ended or needs a person.

        Raises NoAnswer when nothing was heard for *timeout* seconds. What was told while the connection was lost is not
        yielded, nor what was told before this client requested the migration, showed it or listened to it.
        """
        if migration not in self._facts and self.show(migration)["phase"] in FINAL:
            return
        while True:
            connections, fact = self._connections, self.hear(migration, timeout)
            if fact is None and self._connections != connections:
                if self.show(migration)["phase"] in FINAL:
                    return
                continue
            if fact is None:
                raise NoAnswer(f"nothing was heard of migration {migration} for {timeout:g} s")
            yield fact
            if fact.type == MigrationChanged.type and fact.data["phase"] in FINAL:
                del self._facts[migration]
                return

    def hear(self, migration: str, timeout: float | None = None) -> Envelope | None:
        """Return the next fact of a migration; None when there was none for *timeout* seconds, or some were missed."""
        facts = self._listen_to(migration)
        return self._next(lambda: facts.popleft() if facts else None, timeout)

    def wait(self, migration: str, timeout: float | None = None) -> dict[str, Any]:
        """Return the migration (see :meth:`show`) once it has ended or needs a person."""
        if self.show(migration)["phase"] not in FINAL:
            for _ in self.follow(migration, timeout):
                pass
        return self.show(migration)

    def wait_for(self, migration: str, phase: str, timeout: float = 60) -> dict[str, Any]:
        """Return the migration once it's in *phase*; raises NoAnswer when it isn't after *timeout* seconds."""
        deadline = time.monotonic() + timeout
        while (state := self._shown_by(deadline, migration))["phase"] != phase:
            left = deadline - time.monotonic()
            if left <= 0:
                why = f" ({state['reason']})" if state.get("reason") else ""
                raise NoAnswer(f"migration {migration} is {state['phase']}{why}, not {phase}, after {timeout:g} s")
            self.hear(migration, min(left, 1.0))
        return state

    def _shown_by(self, deadline: float, migration: str) -> dict[str, Any]:
        """The migration, though its coordinator may be away for a while."""
        while True:
            try:
                return self.show(migration)
            except NoAnswer:
                if time.monotonic() > deadline:
                    raise

    # -- listening ---------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Connect, with queues of a new name: the broker may not know yet that the old ones' owner is gone."""
        self.id = uuid.uuid4().hex
        self._connection: Connection = connect(self._uri, "client")
        self._connections += 1
        self._raw = self._connection.connection  # kombu would open another one by itself, and listen to nothing there
        self._listen()

    def _listen(self) -> None:
        channel = self._connection.channel()
        mine = {"exclusive": True, "auto_delete": True, "durable": False}
        replies = Queue(f"stackferry.client.{self.id}.replies", **mine)
        facts = Queue(f"stackferry.client.{self.id}.facts", **mine)
        replies(channel).queue_declare()
        replies(channel).bind_to(topology.REPLIES, routing_key=self.id)
        facts(channel).queue_declare()
        for key in ("migration.#", "step.#", "export.#"):
            facts(channel).bind_to(topology.FACTS, routing_key=key)
        self._consumer = self._connection.Consumer(
            [replies(channel), facts(channel)],
            channel=channel,
            no_ack=True,
            on_message=self._take,
            auto_declare=False,
        )
        self._consumer.consume()

    def _take(self, message: Any) -> None:
        with contextlib.suppress(InvalidMessage):  # not ours
            envelope = Envelope.from_bytes(message.body, message.content_type)
            if envelope.type == Answer.type:
                self._answers.append(envelope)
            elif (facts := self._facts.get(str(envelope.data.get("migration")))) is not None:
                facts.append(envelope)

    def _next(self, take: Callable[[], Envelope | None], timeout: float | None) -> Envelope | None:
        """What *take* takes from what has arrived; None after so long, or when the connection was lost."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if (envelope := take()) is not None:
                return envelope
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            try:
                with contextlib.suppress(TimeoutError):
                    self._raw.drain_events(timeout=min(1.0, left) if left is not None else 1.0)
                self._raw.heartbeat_tick()
            except BUS_ERRORS:
                self._connect_again()
                return None

    def _connect_again(self) -> None:
        """Connect once the broker is back; BrokerUnavailable when it isn't in time."""
        deadline = time.monotonic() + self.timeout
        while True:
            with contextlib.suppress(*BUS_ERRORS):
                self._connection.collect()
            try:
                return self._connect()
            except (BrokerUnavailable, *BUS_ERRORS):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)  # how often it's tried


def _parts(documents: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Documents in lists that fit a message; one empty list when there are none."""
    parts: list[list[dict[str, Any]]] = [[]]
    size = 0
    for document in documents:
        cost = len(json.dumps(document, ensure_ascii=False).encode())
        if parts[-1] and size + cost > PART_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(document)
        size += cost
    return parts
