"""Asks the coordinator on behalf of many at once, over two connections to the broker."""

from __future__ import annotations

import json
import queue
import threading
import time
import uuid
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from kombu import Queue
from stackferry import topology
from stackferry.bus import BUS_ERRORS, Outgoing, Publisher, connected, user_of
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, InvalidMessage, NoAnswer
from stackferry.gathering import Gathering
from stackferry.messages import Answer, Command, check
from stackferry_runtime.logs import logger

log = logger(__name__)
SOURCE = "stackferry/gateway"
AGAIN = 0.5  # seconds between two tries to connect
LOST = None  # what is put into a waiting question's queue when its connection is gone


class Declined(Exception):
    """The coordinator doesn't do what was asked: ``reason`` in a word, ``errors`` by field, or a sentence."""

    def __init__(self, reason: str, errors: Any) -> None:
        super().__init__(f"{reason}: {errors}")
        self.reason, self.errors = reason, errors


class Desk:
    """Questions and requests, from several threads; each waits for its own answer.

    What was asked when the connection is lost is asked again: the coordinator takes the same message once.
    """

    def __init__(self, uri: str, timeout: float) -> None:
        self.uri, self.timeout = uri, timeout
        self._publisher = Publisher(uri, "gateway publisher")
        self._lock, self._publishing = threading.Lock(), threading.Lock()
        self._waiting: dict[str, queue.SimpleQueue[Envelope | None]] = {}
        self._id: str | None = None
        self._connected, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._listen, name="answers", daemon=True)

    @property
    def is_ready(self) -> bool:
        """Whether answers would arrive."""
        return self._connected.is_set()

    def start(self) -> None:
        """Connect, in a thread of its own; the broker may come later."""
        self._thread.start()

    def close(self) -> None:
        """Close the connections."""
        self._over.set()
        self._thread.join(5)
        self._publisher.close()

    def ask(self, message: type[Command], data: dict[str, Any], person: str) -> list[dict[str, Any]]:
        """Publish one message on behalf of somebody; return what is answered, part by part.

        Raises Declined when the coordinator doesn't do it, InvalidMessage when it makes no sense, NoAnswer when nobody
        answers in time, BrokerUnavailable or Unconfirmed when the broker doesn't.
        """
        deadline, id_ = time.monotonic() + self.timeout, str(uuid.uuid4())
        message.load_data({**data, "reply_to": "gateway"})
        source = f"{SOURCE}/{quote(person, safe='')}"
        while True:
            if not self._connected.wait(max(0.0, deadline - time.monotonic())):
                raise BrokerUnavailable("the broker can't be reached")
            mine = queue.SimpleQueue[Envelope | None]()
            with self._lock:
                reply_to = self._id
                self._waiting[id_] = mine
            if reply_to is None:  # the connection was lost just now
                continue
            try:
                self._publish(message, message.make(source, {**data, "reply_to": reply_to}, id=id_), deadline)
                parts = self._parts(mine, deadline)
            finally:
                with self._lock:
                    self._waiting.pop(id_, None)
            if parts is not None:
                return parts

    def _publish(self, message: type[Command], asked: Envelope, deadline: float) -> None:
        """Publish it once; whoever waits for its answer publishes it again when the connection is lost."""
        if not self._publishing.acquire(timeout=max(0.001, deadline - time.monotonic())):
            raise BrokerUnavailable("the broker takes nothing now")
        try:
            queue_ = message.queues[0]
            (outcome,) = self._publisher.publish_all([Outgoing.of(queue_.exchange.name, queue_.name, asked)])
        finally:
            self._publishing.release()
        if outcome is not None:
            raise outcome

    def _parts(self, mine: queue.SimpleQueue[Envelope | None], deadline: float) -> list[dict[str, Any]] | None:
        """The parts of an answer; None when the connection was lost before the last one."""
        parts = Gathering()
        while True:
            try:
                answer = mine.get(timeout=max(0.001, deadline - time.monotonic()))
            except queue.Empty:
                raise NoAnswer(f"nobody answered within {self.timeout:g} s; are the services up?") from None
            if answer is LOST:
                return None
            if error := answer.data.get("error"):
                raise Declined(*_read(error))
            if (whole := parts.take(answer.data)) is not None:
                return whole

    def _listen(self) -> None:
        is_first = True
        while not self._over.is_set():
            try:
                self._hear()
            except (BrokerUnavailable, *BUS_ERRORS) as error:
                if is_news := self._connected.is_set() or is_first:
                    log.warning("the broker can't be reached; trying again", error=str(error))
                is_first = is_first and not is_news
            except Exception:
                log.exception("answers can't be taken in; trying again")
            self._lose()
            self._over.wait(AGAIN)

    def _hear(self) -> None:
        """Take in answers, until the connection is lost or all is over."""
        own = f"{topology.client_queues(user_of(self.uri))}{uuid.uuid4().hex}"
        with connected(self.uri, "gateway answers") as connection:
            raw, channel = connection.connection, connection.channel()
            replies = Queue(f"{own}.replies", exclusive=True, auto_delete=True, durable=False)(channel)
            replies.queue_declare()
            replies.bind_to(topology.REPLIES, routing_key=own)
            consumer = connection.Consumer(
                [replies], channel=channel, no_ack=True, on_message=self._take, auto_declare=False
            )
            consumer.consume()
            with self._lock:
                self._id = own
            self._connected.set()
            while not self._over.is_set():
                with suppress(TimeoutError):
                    raw.drain_events(timeout=1.0)
                raw.heartbeat_tick()

    def _take(self, message: Any) -> None:
        with suppress(InvalidMessage):  # not an answer
            envelope = check(Envelope.from_bytes(message.body, message.content_type))
            if envelope.type == Answer.type:
                with self._lock:
                    waiting = self._waiting.get(envelope.correlationid or "")
                if waiting is not None:
                    waiting.put(envelope)

    def _lose(self) -> None:
        """Tell all who wait that no answer comes any more."""
        self._connected.clear()
        with self._lock:
            self._id = None
            for waiting in self._waiting.values():
                waiting.put(LOST)


def _read(error: str) -> tuple[str, Any]:
    """The reason in a word, and what is wrong by field, of a refusal; of another error its sentence."""
    reason, _, said = error.partition(": ")
    if reason in ("invalid", "refused", "unknown", "undecodable", "misrouted"):
        try:
            return reason, json.loads(said)
        except ValueError:
            return reason, said
    return "error", error
