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

from kombu import Connection, Consumer, Queue
from stackferry import topology
from stackferry.bus import Outgoing, Publisher, receiving, user_of
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, InvalidMessage, NoAnswer, Unroutable
from stackferry.gathering import Gathering
from stackferry.messages import Answer, Command, check

from .link import Link

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

    def __init__(self, uri: str, timeout: float, source: str) -> None:
        self.uri, self.timeout, self.source = uri, timeout, source
        self.link = Link(uri, f"{source} answers", self._begin, self._lost)
        self._publisher = Publisher(uri, f"{source} publisher")
        self._lock, self._publishing = threading.Lock(), threading.Lock()
        self._waiting: dict[str, queue.SimpleQueue[Envelope | None]] = {}
        self._id: str | None = None  # where answers go, while there's a connection

    def close(self) -> None:
        """Close the connections."""
        self.link.close()
        self._publisher.close()

    def ask(
        self, message: type[Command], data: dict[str, Any], person: str, id_: str | None = None, traceparent: str = ""
    ) -> list[dict[str, Any]]:
        """Publish one message on behalf of somebody; return what is answered, part by part. *id_*: that it has already.
        *traceparent*: what the message, and all that follows from it, is a part of.

        Raises Declined when the coordinator doesn't do it, InvalidMessage when it makes no sense, NoAnswer when nobody
        answers in time, BrokerUnavailable or Unconfirmed when the broker doesn't.
        """
        deadline, id_ = time.monotonic() + self.timeout, id_ or str(uuid.uuid4())
        message.load_data({**data, "reply_to": self.source})
        source = f"{self.source}/{quote(person, safe='')}"
        try:
            while True:
                if not self.link.await_ready(deadline - time.monotonic()):
                    raise BrokerUnavailable("the broker can't be reached")
                mine = queue.SimpleQueue[Envelope | None]()
                with self._lock:
                    reply_to, self._waiting[id_] = self._id, mine
                if reply_to is None:  # the connection was lost just now
                    continue
                asked = message.make(source, {**data, "reply_to": reply_to}, id=id_, traceparent=traceparent)
                self._publish(message, asked, deadline)
                if (parts := self._parts(mine, deadline)) is not None:
                    return parts
        finally:
            with self._lock:
                self._waiting.pop(id_, None)

    def _publish(self, message: type[Command], asked: Envelope, deadline: float) -> None:
        """Publish it, once more while that goes unconfirmed: the coordinator takes the same message once."""
        to = message.queues[0]
        while True:
            if not self._publishing.acquire(timeout=max(0.001, deadline - time.monotonic())):
                raise BrokerUnavailable("the broker takes nothing now")
            try:
                (outcome,) = self._publisher.publish_all([Outgoing.of(to.exchange.name, to.name, asked)])
            finally:
                self._publishing.release()
            if outcome is None:
                return
            if isinstance(outcome, Unroutable) or time.monotonic() > deadline:
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

    def _begin(self, connection: Connection) -> None:
        """Take in the answers that come by a new connection."""
        own = f"{topology.client_queues(user_of(self.uri))}{uuid.uuid4().hex}"
        channel = receiving(connection)
        replies = Queue(f"{own}.replies", exclusive=True, auto_delete=True, durable=False)(channel)
        replies.queue_declare()
        replies.bind_to(topology.REPLIES, routing_key=own)
        Consumer(channel, [replies], no_ack=True, on_message=self._take, auto_declare=False).consume()
        with self._lock:
            self._id = own

    def _take(self, message: Any) -> None:
        with suppress(InvalidMessage):  # not an answer
            envelope = check(Envelope.from_bytes(message.body, message.content_type))
            if envelope.type == Answer.type:
                with self._lock:
                    waiting = self._waiting.get(envelope.correlationid or "")
                if waiting is not None:
                    waiting.put(envelope)

    def _lost(self) -> None:
        """Tell all who wait that no answer comes any more."""
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
