"""A client for integrators: request migrations, ask about them, follow their events. Plain Python, no services.

from stackferry.client import Client

with Client("amqp://client:password@127.0.0.1:5672//") as ferry:
    migration = ferry.migrate("src", "dst")
    for event in ferry.follow(migration):
        print(event.type, event.data)
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from . import topology, undone
from .bus import Outgoing, Publisher
from .envelope import Envelope
from .errors import Error, NoAnswer, Refused
from .gathering import Gathering
from .listener import Listener
from .messages import (
    CheckCloud,
    CleanUpSource,
    Command,
    ControlHost,
    ControlMigration,
    DescribeHosts,
    DescribeMigrations,
    DescribeWorkers,
    ForgetMigrations,
    MigrationChanged,
    RequestMigration,
    SubmitDocuments,
)
from .messages.answers import Taken
from .pages import pages
from .phases import OVER

SOURCE = "stackferry/client"
FINAL = (*OVER, "stuck")
PART_BYTES = 300_000
#: who tries the credentials of a cloud, as what it's to be
WORKERS = {"source": topology.EXPORTER_CHECKS.name, "destination": topology.IMPORTER_CHECKS.name}
Place = str | dict[str, Any]


class Client:
    """One integrator's connection. Not for several threads at once.

    It listens from the moment it's made, so nothing that follows from a request is missed. A connection that was lost,
    such as while the program did something else for minutes, is made anew, and questions are asked again.
    """

    def __init__(self, amqp_uri: str, timeout: float = 30) -> None:
        self.timeout = timeout
        self._publisher = Publisher(amqp_uri, "client publisher")
        self._listener = Listener(amqp_uri, timeout)
        self._requested: set[str] = set()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """How often this client has connected to listen: what was told between two of them is missed."""
        return self._listener.connections

    def close(self) -> None:
        """Close the connections; the queues of this client go with them."""
        self._publisher.close()
        self._listener.close()

    # -- requests ----------------------------------------------------------------------------------------

    def migrate(
        self, source: Place | None, destination: Place | None, *, mode: str = "run",
        selection: dict[str, Any] | None = None, documents: list[dict[str, Any]] | None = None,
        image_blobs: str | None = None, migration_params: dict[str, Any] | None = None,
        volumes_at_once: int | None = None, servers_at_once: int | None = None, bandwidth: int | None = None,
        mapping: dict[str, dict[str, str]] | None = None, prune: bool = False,
        name: str | None = None, labels: dict[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Request a migration; return its id.

        *source*, *destination*: a cloud's name in the services' ``clouds.yaml``, or ``{cloud, project}``.
        *mode*: ``run``, ``plan`` (write nothing) or ``export``. *selection*: ``{kinds, filters}``. *documents*:
        resources to import instead of reading a source. *image_blobs*: folder, as the services see it, where an
        export leaves the payloads of images, and where the documents' images take theirs from. *migration_params*:
        what the servers' ``_migration_params`` say instead of their own, such as ``{"mode": "warm"}``.
        *volumes_at_once*: how many are on the conversion hosts at the same time, at most. *servers_at_once*: how many
        servers without a disk to copy are stopped at the same time, at most. *bandwidth*: bytes a second that all
        volumes together are sent with, at most. *mapping*: what is called otherwise at the destination,
        ``{kind: {name: name there}}`` (see ``stackferry.mapping``). *prune*: groups that are there lose Neutron's own
        rules where the documents hold others of theirs. *name*, *labels*: what people call it, and what programs find
        it by; both are in what is told of it. Raises InvalidMessage for a request that makes no sense.
        """
        migration = str(uuid.uuid4())
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
        if servers_at_once:
            request["servers_at_once"] = servers_at_once
        if bandwidth:
            request["bandwidth"] = bandwidth
        if mapping:
            request["mapping"] = mapping
        if name:
            request["name"] = name
        if labels:
            request["labels"] = labels
        if prune:
            request["prune"] = True
        parts = [] if documents is None else list(pages(documents, PART_BYTES)) or [[]]
        if documents is not None:
            digest = hashlib.sha256(json.dumps(documents, default=str).encode()).hexdigest()
            request |= {"parts": len(parts), "digest": digest}
        RequestMigration.load_data(request)
        self._listener.attend(migration, request.get("source"), request.get("destination"))
        if parts:  # what is refused leaves nothing behind; what nobody has answered yet waits, before its documents
            with suppress(NoAnswer):
                self._ask(RequestMigration, request)
        else:
            self.send(RequestMigration, request)
        for number, part in enumerate(parts, 1):
            self.send(SubmitDocuments, {"migration": migration, "part": number, "documents": part})
        self._requested.add(migration)
        return migration

    def control(self, migration: str, action: str, servers: list[str] | None = None) -> None:
        """Tell a migration to start, pause, resume, cancel, retry or undo; or to ``cutover`` (these) warm servers."""
        which = {"servers": servers} if servers else {}
        self.send(ControlMigration, {"migration": migration, "action": action, **which})

    def control_host(self, host: str, action: str) -> None:
        """Tell the coordinator to drain a conversion host (id of its server), to resume or to forget it."""
        self.send(ControlHost, {"host": host, "action": action})

    def clean_up_source(self, migration: str, workloads: list[str]) -> None:
        """Delete at the source what a migration that is done has moved: these workloads, by their keys."""
        self.send(CleanUpSource, {"migration": migration, "workloads": workloads})

    def forget(self, migrations: list[str]) -> dict[str, Any]:
        """Forget migrations that are over, for good; return {forgotten: ids, kept: {id: why}}."""
        (answer,) = self._ask(ForgetMigrations, {"migrations": migrations})
        return answer

    def send(self, message: type[Command], data: dict[str, Any]) -> Envelope:
        """Publish one request; when it's refused, whatever hears next raises Refused."""
        self._listener.tend()
        envelope = message.make(SOURCE, {"reply_to": self._listener.id, **data})
        self._listener.expect(envelope)
        self._publish(message, envelope)
        return envelope

    def _publish(self, message: type[Command], envelope: Envelope) -> None:
        queue = message.queues[0]
        self._publisher.publish(Outgoing.of(queue.exchange.name, queue.name, envelope))

    # -- questions ---------------------------------------------------------------------------------------

    def migrations(self, phases: list[str] | None = None, labels: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Return every migration, without steps; only those in some phases, or that have all of these labels."""
        which = {name: value for name, value in (("phases", phases), ("labels", labels)) if value}
        return [migration for part in self._ask(DescribeMigrations, which) for migration in part["migrations"]]

    def show(self, migration: str, documents: bool = False) -> dict[str, Any]:
        """Return one migration with its steps, and with their documents when asked."""
        self._attend(migration)  # nothing that follows is missed by who listens next
        parts = self._describe(migration, documents=documents)
        found = parts[0]["migration"]
        return {**found, "steps": undone.now(found["phase"], [step for part in parts for step in part["steps"]])}

    def steps(
        self, migration: str, limit: int = 100, after: str | None = None, states: list[str] | None = None,
        kinds: list[str] | None = None,
    ) -> tuple[list[dict[str, Any]], str | None]:  # fmt: skip
        """Return some steps of a migration, in order, and what ``after`` must be to go on; None: these were all."""
        which = {name: value for name, value in (("after", after), ("states", states), ("kinds", kinds)) if value}
        parts = self._describe(migration, limit=limit, **which)
        return [step for part in parts for step in part["steps"]], parts[-1].get("next")

    def _describe(self, migration: str, **what: Any) -> list[dict[str, Any]]:
        """The parts of the answer about a migration."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                parts = self._ask(DescribeMigrations, {"migration": migration, **what})
                break
            except Refused:
                raise
            except Error:  # the question may have overtaken our own request
                if migration not in self._requested or time.monotonic() > deadline:
                    raise
        self._requested.discard(migration)
        return parts

    def _attend(self, migration: str) -> None:
        """Listen to a migration, whose places its coordinator knows."""
        if not self._listener.attends(migration):
            (part,) = self._describe(migration, steps=False)
            found = part["migration"]
            self._listener.attend(migration, found["source"], found["destination"])

    def check(self, place: Place, side: str) -> dict[str, Any]:
        """Try the credentials of a cloud as *side* (``source`` or ``destination``) would use them."""
        where = {"cloud": place} if isinstance(place, str) else place
        (answer,) = self._ask(CheckCloud, {"place": where, "side": side})
        return answer

    def hosts(self) -> list[dict[str, Any]]:
        """Return every conversion host: how full it is, whether it gets work, and why not."""
        (answer,) = self._ask(DescribeHosts, {})
        found: list[dict[str, Any]] = answer["hosts"]
        return found

    def workers(self) -> list[dict[str, Any]]:
        """Return every exporter and importer that is there: version, clouds, seconds since it was heard."""
        found: list[dict[str, Any]] = self.deployment()["workers"]
        return found

    def deployment(self) -> dict[str, Any]:
        """Return {workers, coordinator, parked}: as above; the coordinator's version; how many messages are parked."""
        (answer,) = self._ask(DescribeWorkers, {})
        return answer

    @property
    def broker_version(self) -> str | None:
        """What RabbitMQ says that it is."""
        return self._listener.broker_version

    def _ask(self, message: type[Command], data: dict[str, Any]) -> list[dict[str, Any]]:
        listener, parts = self._listener, Gathering()
        listener.tend()
        question, asked = message.make(SOURCE, {**data, "reply_to": listener.id}), listener.connections
        self._publish(message, question)
        while True:
            answer = listener.answer(question, self.timeout)
            self._raise_refusal()
            if answer is None and listener.connections != asked:
                return self._ask(message, data)
            if answer is None:
                where = message.queues[0].name if message is not CheckCloud else WORKERS[data["side"]]
                raise NoAnswer(f"nobody on {where} answered within {self.timeout:g} s; are the services up?")
            if error := answer.data.get("error"):
                raise (Refused if message.answer is Taken else Error)(error)
            if (whole := parts.take(answer.data)) is not None:
                return whole

    # -- events -------------------------------------------------------------------------------------------

    def follow(self, migration: str, timeout: float | None = None) -> Iterator[Envelope]:
        """Yield the events of a migration as they come, until it has ended or needs a person.

        Raises NoAnswer when nothing was heard for *timeout* seconds. What was told while the connection was lost is not
        yielded, nor what was told before this client requested the migration, showed it or listened to it.
        """
        listener = self._listener
        if not listener.attends(migration) and self.show(migration)["phase"] in FINAL:
            return
        while True:
            connections, fact = listener.connections, self.hear(migration, timeout)
            if fact is None and listener.connections != connections:
                if self.show(migration)["phase"] in FINAL:
                    return
                continue
            if fact is None:
                raise NoAnswer(f"nothing was heard of migration {migration} for {timeout:g} s")
            yield fact
            if fact.type == MigrationChanged.type and fact.data["phase"] in FINAL:
                listener.forget(migration)
                return

    def hear(self, migration: str, timeout: float | None = None) -> Envelope | None:
        """Return the next event of a migration; None when there was none for *timeout* seconds, or some were missed.

        Raises Refused with the reason when a request of this client was.
        """
        self._attend(migration)
        fact = self._listener.event(migration, timeout)
        self._raise_refusal()
        return fact

    def _raise_refusal(self) -> None:
        """Raise Refused when a request of ours is known to be; once for each."""
        if refusals := self._listener.refusals:
            raise Refused(refusals.popleft())

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
