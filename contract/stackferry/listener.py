"""What a client hears: answers to what it has asked, and the events of migrations that it attends to."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from amqp.exceptions import AccessRefused
from kombu import Connection, Queue

from . import events, topology
from .bus import BUS_ERRORS, connect, user_of
from .envelope import Envelope
from .errors import BrokerUnavailable, InvalidMessage, Refused
from .messages import REGISTRY, Answer, check

Place = dict[str, Any] | None

REQUESTS = 1000  # whose refusal is waited for; the oldest are dropped
EVENTS = 10_000  # of one migration that are kept until they're heard; the oldest are dropped


class Listener:
    """A connection with queues of its own, from the moment it's made. Not for several threads at once.

    ``id`` is the routing key of answers. A connection that was lost is made anew, in *patience* seconds or not at all;
    ``connections`` counts them, since what was told in between is missed.
    """

    def __init__(self, uri: str, patience: float) -> None:
        self.connections, self._uri, self._patience = 0, uri, patience
        self._events: dict[str, deque[Envelope]] = {}
        self._keys: dict[str, str] = {}  # migration → what its events are bound by
        self._answers: deque[Envelope] = deque()
        self._requests: deque[str] = deque(maxlen=REQUESTS)
        self.refusals: deque[str] = deque()  # why requests were refused
        self._connect()

    @property
    def broker_version(self) -> str | None:
        """What RabbitMQ says that it is. Source: AMQP 0-9-1, connection.start."""
        version = self._raw.server_properties.get("version")
        return str(version) if version else None

    def close(self) -> None:
        """Close the connection; the queues go with it."""
        with contextlib.suppress(OSError):
            self.connection.release()

    def attend(self, migration: str, source: Place, destination: Place) -> None:
        """From now on the events of a migration between these places are kept until they're heard.

        Raises Refused when this user may not hear of them.
        """
        if migration in self._events:
            return
        known = source or destination
        key = events.key(source, destination, migration, "*") if known else f"*.*.{migration}.*"  # not requested yet
        self._events[migration], self._keys[migration] = deque(maxlen=EVENTS), key
        try:
            self._bind(key)
        except Refused:
            del self._events[migration], self._keys[migration]
            raise
        except BUS_ERRORS:
            self._connect_again()  # which binds all of them

    def tend(self) -> None:
        """Find out whether the connection is still there; if not, make another one."""
        try:
            with contextlib.suppress(TimeoutError):
                while True:
                    self._raw.drain_events(timeout=0.001)
            self._raw.heartbeat_tick()
        except BUS_ERRORS:
            self._connect_again()

    def attends(self, migration: str) -> bool:
        """Whether a migration's events are kept."""
        return migration in self._events

    def forget(self, migration: str) -> None:
        """Keep a migration's events no longer."""
        if self._events.pop(migration, None) is not None:
            key = self._keys.pop(migration)
            # the queue of a lost connection is gone with it
            with contextlib.suppress(*BUS_ERRORS), self.connection.channel() as channel:
                self._queue.bind(channel).unbind_from(topology.EVENTS, routing_key=key)

    def event(self, migration: str, timeout: float | None) -> Envelope | None:
        """Return the next event of a migration; None after *timeout* seconds, or when the connection was lost."""
        events_ = self._events.get(migration, deque())
        return self._next(lambda: events_.popleft() if events_ else None, timeout)

    def expect(self, request: Envelope) -> None:
        """The answer to a request isn't waited for; but if it's refused, that is to be known."""
        self._requests.append(request.id)

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
        self.id = f"{topology.client_queues(user_of(self._uri))}{uuid.uuid4().hex}"
        self.connection: Connection = connect(self._uri, "client")
        self.connections += 1
        self._raw = self.connection.connection  # kombu would open another one by itself, and listen to nothing there
        self._listen()

    def _listen(self) -> None:
        channel = self.connection.channel()
        mine = {"exclusive": True, "auto_delete": True, "durable": False}
        replies = Queue(f"{self.id}.replies", **mine)(channel)
        self._queue = Queue(f"{self.id}.events", **mine)
        replies.queue_declare()
        replies.bind_to(topology.REPLIES, routing_key=self.id)
        self._queue(channel).queue_declare()
        for migration, key in list(self._keys.items()):
            try:
                self._bind(key)
            except Refused:  # its rights are others by now
                del self._events[migration], self._keys[migration]
        self._consumer = self.connection.Consumer(
            [replies, self._queue(channel)],
            channel=channel,
            no_ack=True,
            on_message=self._take,
            auto_declare=False,
        )
        self._consumer.consume()

    def _bind(self, key: str) -> None:
        try:
            with self.connection.channel() as channel:  # of its own: a refusal ends it
                self._queue.bind(channel).bind_to(topology.EVENTS, routing_key=key)
        except AccessRefused:
            text = "this user of the broker may not hear of migrations between these clouds and projects"
            raise Refused(f"{text} ({key}): `stackferry clients enrol` says for which it's made") from None

    def _take(self, message: Any) -> None:
        with contextlib.suppress(InvalidMessage):  # not ours
            envelope = Envelope.from_bytes(message.body, message.content_type)
            if envelope.type == Answer.type:
                self._answered(check(envelope))
                return
            if envelope.type in REGISTRY:  # else a newer coordinator tells more than we know
                check(envelope)
            if (kept := self._events.get(str(envelope.data.get("migration")))) is not None:
                kept.append(envelope)

    def _answered(self, answer: Envelope) -> None:
        if answer.correlationid not in self._requests:
            self._answers.append(answer)
            return
        self._requests.remove(answer.correlationid)
        if why := answer.data.get("error"):
            self.refusals.append(why)

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
