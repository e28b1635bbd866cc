"""Asks the coordinator on behalf of many at once, over two connections to the broker."""

from __future__ import annotations

import json
import queue
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

from kombu import Queue
from stackferry import topology
from stackferry.bus import BUS_ERRORS, Outgoing, Publisher, connect, user_of
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, InvalidMessage, NoAnswer
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
        self._lock = threading.Lock()
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

    def ask(self, message: type[Command], data: dict[str, Any]) -> list[dict[str, Any]]:
        """Publish one message; return what is answered, part by part.

        Raises Declined when the coordinator doesn't do it, InvalidMessage when it makes no sense, NoAnswer when nobody
        answers in time, BrokerUnavailable or Unconfirmed when the broker doesn't.
        """
        deadline, id_ = time.monotonic() + self.timeout, str(uuid.uuid4())
        message.load_data({**data, "reply_to": "gateway"})
        while True:
            if not self._connected.wait(max(0.0, deadline - time.monotonic())):
                raise BrokerUnavailable("the broker can't be reached")
            reply_to, mine = self._id or "", queue.SimpleQueue[Envelope | None]()
            with self._lock:
                self._waiting[id_] = mine
            try:
                asked = message.make(SOURCE, {**data, "reply_to": reply_to}, id=id_)
                self._publisher.publish(Outgoing.of(message.queues[0].exchange.name, message.queues[0].name, asked))
                parts = self._parts(mine, deadline)
            finally:
                with self._lock:
                    self._waiting.pop(id_, None)
            if parts is not None:
                return parts

    def _parts(self, mine: queue.SimpleQueue[Envelope | None], deadline: float) -> list[dict[str, Any]] | None:
        """The parts of an answer; None when the connection was lost before the last one."""
        parts: list[dict[str, Any]] = []
        while True:
            try:
                answer = mine.get(timeout=max(0.001, deadline - time.monotonic()))
            except queue.Empty:
                raise NoAnswer(f"nobody answered within {self.timeout:g} s; are the services up?") from None
            if answer is LOST:
                return None
            if error := answer.data.get("error"):
                raise Declined(*_read(error))
            parts.append(answer.data["content"])
            if not answer.data.get("more"):
                return parts

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                self._hear()
            except (BrokerUnavailable, *BUS_ERRORS) as error:
                if self._connected.is_set():
                    log.warning("the broker is lost; trying again", error=str(error))
            self._lose()
            self._over.wait(AGAIN)

    def _hear(self) -> None:
        """Take in answers, until the connection is lost or all is over."""
        own = f"{topology.client_queues(user_of(self.uri))}{uuid.uuid4().hex}"
        with connect(self.uri, "gateway answers") as connection:
            raw, channel = connection.connection, connection.channel()
            replies = Queue(f"{own}.replies", exclusive=True, auto_delete=True, durable=False)(channel)
            replies.queue_declare()
            replies.bind_to(topology.REPLIES, routing_key=own)
            consumer = connection.Consumer(
                [replies], channel=channel, no_ack=True, on_message=self._take, auto_declare=False
            )
            consumer.consume()
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
