"""What a client hears: answers to its questions, and the facts of migrations that it attends to."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from kombu import Connection, Queue

from . import topology
from .bus import BUS_ERRORS, connect
from .envelope import Envelope
from .errors import BrokerUnavailable, InvalidMessage
from .messages import REGISTRY, Answer, RequestRefused, check

REFUSALS = 1000  # that are kept; the oldest are dropped
FACTS = 10_000  # of one migration that are kept until they're heard; the oldest are dropped


class Listener:
    """A connection with queues of its own, from the moment it's made. Not for several threads at once.

    ``id`` is the routing key of answers. A connection that was lost is made anew, in *patience* seconds or not at all;
    ``connections`` counts them, since what was told in between is missed.
    """

    def __init__(self, uri: str, patience: float) -> None:
        self.connections, self._uri, self._patience = 0, uri, patience
        self._facts: dict[str, deque[Envelope]] = {}
        self._answers: deque[Envelope] = deque()
        self.refusals: dict[str, str] = {}  # id of a request, anybody's → why it was refused
        self._connect()

    def close(self) -> None:
        """Close the connection; the queues go with it."""
        with contextlib.suppress(OSError):
            self.connection.release()

    def attend(self, migration: str) -> deque[Envelope]:
        """From now on a migration's facts are kept until they're heard."""
        return self._facts.setdefault(migration, deque(maxlen=FACTS))

    def attends(self, migration: str) -> bool:
        """Whether a migration's facts are kept."""
        return migration in self._facts

    def forget(self, migration: str) -> None:
        """Keep a migration's facts no longer."""
        self._facts.pop(migration, None)

    def fact(self, migration: str, timeout: float | None) -> Envelope | None:
        """Return the next fact of a migration; None after *timeout* seconds, or when the connection was lost."""
        facts = self.attend(migration)
        return self._next(lambda: facts.popleft() if facts else None, timeout)

    def answer(self, question: Envelope, timeout: float | None) -> Envelope | None:
        """Return the next answer to a question; None as above. Those to earlier questions came too late."""
        return self._next(lambda: self._answer_to(question), timeout)

    def _answer_to(self, question: Envelope) -> Envelope | None:
        while self._answers:
            if (answer := self._answers.popleft()).correlationid == question.id:
                return answer
        return None

    def _connect(self) -> None:
        """Connect, with queues of a new name: the broker may not know yet that the old ones' owner is gone."""
        self.id = uuid.uuid4().hex
        self.connection: Connection = connect(self._uri, "client")
        self.connections += 1
        self._raw = self.connection.connection  # kombu would open another one by itself, and listen to nothing there
        self._listen()

    def _listen(self) -> None:
        channel = self.connection.channel()
        mine = {"exclusive": True, "auto_delete": True, "durable": False}
        replies = Queue(f"stackferry.client.{self.id}.replies", **mine)
        facts = Queue(f"stackferry.client.{self.id}.facts", **mine)
        replies(channel).queue_declare()
        replies(channel).bind_to(topology.REPLIES, routing_key=self.id)
        facts(channel).queue_declare()
        for key in ("migration.#", "step.#", "export.#"):
            facts(channel).bind_to(topology.FACTS, routing_key=key)
        self._consumer = self.connection.Consumer(
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
                self._answers.append(check(envelope))
                return
            known = REGISTRY.get(envelope.type)
            if known is not None:  # only the key says who could tell it: permissions guard that, not the body
                if getattr(known, "key", None) != message.delivery_info.get("routing_key"):
                    return
                check(envelope)
            if known is RequestRefused:
                self.refusals[envelope.data["request"]] = envelope.data["reason"]
                while len(self.refusals) > REFUSALS:
                    del self.refusals[next(iter(self.refusals))]
            if (facts := self._facts.get(str(envelope.data.get("migration")))) is not None:
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
        deadline = time.monotonic() + self._patience
        while True:
            with contextlib.suppress(*BUS_ERRORS):
                self.connection.collect()
            try:
                return self._connect()
            except (BrokerUnavailable, *BUS_ERRORS):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)  # how often it's tried
