"""Talking to RabbitMQ with plain kombu: connect, declare, publish so that nothing is lost.

A publish is persistent, mandatory and confirmed, and says who publishes: RabbitMQ refuses a ``user_id`` that isn't the
connection's user ("Validated User-ID"), so that whoever receives the message can rely on it. Several messages share one
wait for their confirmations, since a quorum queue writes them to disk together. Nothing is ever published twice in
silence: when a confirmation is missing, the caller learns it (Unconfirmed) and decides, since only it knows whether a
repetition is harmless.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from amqp.exceptions import AccessRefused, AMQPError, NotFound, PreconditionFailed
from amqp.method_framing import frame_handler
from amqp.serialization import decode_properties_basic
from kombu import Connection, Exchange, Queue
from kombu.exceptions import KombuError, OperationalError
from kombu.transport.pyamqp import Message as Received

from . import topology
from .envelope import CONTENT_TYPE, Envelope
from .errors import BrokerUnavailable, Nacked, Unconfirmed, Unroutable

BUS_ERRORS = (AMQPError, KombuError, OperationalError, OSError)
HEADER_FRAME, PROPERTIES_AT = 2, 12  # AMQP 0-9-1, 2.3.5.2: a content header, and where its properties begin
HEARTBEAT = 60  # seconds; must exceed the longest stretch in which a process doesn't look at its sockets


def safe_uri(uri: str) -> str:
    """Return *uri* without its password, for people to read."""
    parts = urlsplit(uri)
    host = parts.hostname or ""
    where = f"{host}:{parts.port}" if parts.port else host
    return f"{parts.scheme}://{parts.username + '@' if parts.username else ''}{where}{parts.path}"


def user_of(uri: str) -> str:
    """Return the user that *uri* connects as."""
    return unquote(urlsplit(uri).username or "guest")


def connect(uri: str, name: str, heartbeat: int = HEARTBEAT, timeout: float = 10, **told: Any) -> Connection:
    """Open a connection that shows as *name* in the broker; raise BrokerUnavailable with a hint.

    *told*: ``on_blocked`` and ``on_unblocked``, called when the broker takes nothing any more, and when it does again.
    """
    try:
        connection = Connection(
            uri,
            ssl=_tls(uri),
            heartbeat=heartbeat,
            connect_timeout=timeout,
            transport_options={
                "client_properties": {"connection_name": name, "product": "stackferry"},
                "frame_handler": _frame_reader,
                **told,
            },
        )
        safe_uri(uri)
    except (ValueError, KeyError):  # which would quote it, with its password
        text = "expected amqp://user:password@host:5672/vhost, with what is no letter or digit in them as %XX"
        raise BrokerUnavailable(f"the broker's URI (AMQP_URI) makes no sense: {text}") from None
    try:
        connection.connect()
    except AccessRefused:
        raise BrokerUnavailable(f"RabbitMQ at {safe_uri(uri)} refuses this user or password") from None
    except BUS_ERRORS as error:
        raise BrokerUnavailable(
            f"RabbitMQ at {safe_uri(uri)} does not answer ({error}); start it (`stackferry up`) or set AMQP_URI"
        ) from None
    return connection


@contextmanager
def connected(uri: str, name: str, **how: Any) -> Iterator[Connection]:
    """A connection, closed at the end; one that broke is dropped without the farewell that nobody would answer."""
    connection = connect(uri, name, **how)
    try:
        yield connection
    except BaseException:
        connection.collect()
        raise
    with suppress(*BUS_ERRORS):
        connection.release()


def _tls(uri: str) -> dict[str, Any] | bool:
    """Options of TLS: py-amqp compares the certificate with the broker's name only when it's told the name."""
    parts = urlsplit(uri)
    return {"server_hostname": parts.hostname} if parts.scheme == "amqps" else False


def _frame_reader(connection: Any, callback: Any) -> Callable[[tuple[int, int, Any]], Any]:
    """py-amqp's reader of frames, except that properties which it can't read count as none.

    It would end the connection over a time in milliseconds or a text that isn't UTF-8; the broker takes both.
    """
    read = frame_handler(connection, callback)

    def on_frame(frame: tuple[int, int, Any]) -> Any:
        kind, channel, content = frame
        if kind == HEADER_FRAME:
            try:
                decode_properties_basic(content, PROPERTIES_AT)
            except Exception:
                frame = kind, channel, bytes(content[:PROPERTIES_AT]) + b"\0\0"
        return read(frame)

    return on_frame


class AsSent(Received):  # type: ignore[misc]
    """A received message with the body that was sent."""

    def __init__(self, raw: Any, channel: Any = None, **kwargs: Any) -> None:
        headers = raw.properties.get("application_headers") or {}
        hidden = {name: headers.pop(name) for name in ("compression",) if name in headers}
        super().__init__(raw, channel, **kwargs)
        self.headers.update(hidden)
        self.body = bytes(raw.body or b"")  # py-amqp hands out an empty one as text


def receiving(connection: Connection) -> Any:
    """Return a channel that hands out bodies as the bytes that were sent.

    The libraries would decode a body by its content encoding and decompress it by a header, whoever set them:
    then a copy isn't a copy, a few bytes may become gigabytes, and a wrong header ends the consumer.
    """
    channel = connection.channel()
    channel.auto_decode = False
    channel.Message = AsSent
    return channel


def declare(connection: Connection) -> None:
    """Make sure that the whole topology exists, as it should be.

    A user without the right to configure can call this once somebody else has declared: it only looks then.
    A queue that exists with other arguments raises BrokerUnavailable (it must be deleted by hand).
    """
    passive = False
    for exchange in topology.exchanges():
        passive = _declare(connection, exchange.name, partial(_declare_exchange, exchange), passive)
    for queue in topology.queues():
        passive = _declare(connection, queue.name, partial(_declare_queue, queue), passive)
    with suppress(AccessRefused):  # then the definitions bind them
        for queue in topology.queues():
            _bind(connection, queue)


def _declare_exchange(exchange: Exchange, channel: Any, passive: bool) -> None:
    exchange(channel).declare(passive=passive)


def _declare_queue(queue: Queue, channel: Any, passive: bool) -> None:
    queue(channel).queue_declare(passive=passive)


def _declare(connection: Connection, name: str, declarer: Callable[[Any, bool], None], passive: bool) -> bool:
    """Declare one thing, or only look whether it's there; return whether this user can only look."""
    try:
        with connection.channel() as channel:
            declarer(channel, passive)
    except AccessRefused:
        return _declare(connection, name, declarer, True)
    except PreconditionFailed as error:
        raise BrokerUnavailable(f"{name} exists with other arguments: {error}; delete it first") from None
    except NotFound:
        hint = "this user may not create it; load definitions.json"
        raise BrokerUnavailable(f"{name} does not exist and {hint}") from None
    return passive


def _bind(connection: Connection, queue: Queue) -> None:
    with connection.channel() as channel:
        for exchange, key in topology.bindings(queue):
            queue(channel).bind_to(exchange=exchange, routing_key=key)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way: where to, and the body."""

    exchange: str
    key: str
    body: bytes
    message_id: str
    headers: dict[str, Any] = field(default_factory=dict)
    content_type: str = CONTENT_TYPE
    content_encoding: str = "utf-8"
    correlation_id: str = ""

    @classmethod
    def of(cls, exchange: str, key: str, envelope: Envelope) -> Outgoing:
        """Wrap *envelope*."""
        return cls(exchange, key, envelope.to_bytes(), envelope.id, correlation_id=envelope.correlationid)

    @classmethod
    def copying(cls, message: Any) -> Outgoing:
        """Copy a received message, without a place to go: also without the keys of CC and BCC, which are places."""
        properties = message.properties
        headers = {name: value for name, value in (message.headers or {}).items() if name not in ("CC", "BCC")}
        return cls(
            "", "", bytes(message.body), str(properties.get("message_id") or ""), headers,
            message.content_type or "application/octet-stream", message.content_encoding or "utf-8",
            str(properties.get("correlation_id") or ""),
        )  # fmt: skip


class Publisher:
    """A connection of its own for publishing; safe to share between threads (they take turns)."""

    def __init__(self, uri: str, name: str = "publisher", confirm_timeout: float = 15) -> None:
        self.uri, self.name, self.confirm_timeout, self.user = uri, name, confirm_timeout, ""
        self._lock = threading.Lock()
        self._blocked = False  # the broker is short of memory or disk, and takes nothing
        self._connection: Connection | None = None
        self._channel: Any = None

    def publish(self, message: Outgoing, tries: int = 3) -> None:
        """Publish one message; a missing confirmation is followed by another try with the same message id.

        Raises Unroutable, BrokerUnavailable, or Unconfirmed when the last try went unconfirmed.
        """
        for left in reversed(range(tries)):
            (outcome,) = self.publish_all([message])
            if outcome is None:
                return
            if isinstance(outcome, Unroutable) or not left:
                raise outcome
            time.sleep(0.2 * (tries - left))

    def publish_all(self, messages: Sequence[Outgoing]) -> list[Unroutable | Unconfirmed | None]:
        """Publish *messages* once each; return, in their order, None for a confirmed one, else why not.

        Raises BrokerUnavailable when there's no connection: then none was sent.
        """
        with self._lock:
            self._open()
            return self._send(messages)

    def declare(self, queue: Queue) -> None:
        """Make sure that one queue is there and bound; raise BrokerUnavailable when it can't be."""
        with self._lock:
            self._open()
            assert self._connection is not None  # noqa: S101 - for the type checker
            try:
                with self._connection.channel() as channel:
                    _declare_queue(queue, channel, False)
                _bind(self._connection, queue)
            except BUS_ERRORS as error:
                self._forget()
                raise BrokerUnavailable(f"{queue.name} can't be declared: {error}") from None

    def delete(self, name: str) -> None:
        """Delete a queue that nobody needs any more; it need not be there. Raise BrokerUnavailable when it can't be."""
        with self._lock:
            self._open()
            assert self._connection is not None  # noqa: S101 - for the type checker
            try:
                with self._connection.channel() as channel:
                    channel.queue_delete(name)
            except BUS_ERRORS as error:
                self._forget()
                raise BrokerUnavailable(f"{name} can't be deleted: {error}") from None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            connection, self._connection, self._channel = self._connection, None, None
            if connection is not None:
                with suppress(*BUS_ERRORS):
                    connection.release()

    def _open(self) -> None:
        if self._connection is not None:
            try:  # an idle connection may be dead: notice before something is sent into it
                while True:
                    self._connection.drain_events(timeout=0.0001)
            except TimeoutError:
                return
            except BUS_ERRORS:
                self._forget()
        self._blocked = False
        self._connection = connect(
            self.uri, self.name, heartbeat=0, on_blocked=self._on_blocked, on_unblocked=self._on_unblocked
        )
        self.user = user_of(self.uri)
        self._channel = self._connection.channel()
        self._channel.confirm_select()
        self._sent = 0
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)

    def _forget(self) -> None:
        """Drop a connection that broke, without the farewell that a broker in trouble would not answer."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(*BUS_ERRORS):
                connection.collect()

    def _send(self, messages: Sequence[Outgoing]) -> list[Unroutable | Unconfirmed | None]:
        self._waiting: dict[int, Outgoing] = {}
        self._outcome: dict[str, Unroutable | Unconfirmed] = {}
        first = self._sent + 1
        for number, message in enumerate(messages, first):
            self._waiting[number] = message
        try:
            # the time limit is that of one write: a broker out of memory stops reading
            with self._connection.connection.transport.having_timeout(self.confirm_timeout):  # type: ignore[union-attr]
                for message in messages:
                    self._put(message)
                    self._sent += 1
            deadline = time.monotonic() + self.confirm_timeout
            while self._waiting and self._connection is not None:
                self._connection.drain_events(timeout=max(0.001, deadline - time.monotonic()))
        except BUS_ERRORS as error:  # a timeout is one of them
            self._forget()
            alarm = (
                "it's short of memory or disk, and takes nothing until that is over (`rabbitmqctl status` says more)"
            )
            why = f"{safe_uri(self.uri)} did not confirm: {alarm if self._blocked else error or type(error).__name__}"
            for message in self._waiting.values():
                self._outcome[message.message_id] = Unconfirmed(why)
        return [self._outcome.get(message.message_id) for message in messages]

    def _put(self, message: Outgoing) -> None:
        properties: dict[str, Any] = {"delivery_mode": 2, "message_id": message.message_id, "user_id": self.user}
        if message.correlation_id:
            properties["correlation_id"] = message.correlation_id
        amqp = self._channel.prepare_message(
            message.body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=message.headers,
            properties=properties,
        )
        self._channel.basic_publish(amqp, exchange=message.exchange, routing_key=message.key, mandatory=True)

    def _on_blocked(self, reason: str) -> None:
        self._blocked = True

    def _on_unblocked(self) -> None:
        self._blocked = False

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for known in [t for t in self._waiting if t == tag or (multiple and t <= tag)]:
            del self._waiting[known]

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for known in [t for t in self._waiting if t == tag or (multiple and t <= tag)]:
            refused = self._waiting.pop(known)
            self._outcome[refused.message_id] = Nacked(f"the broker refused {refused.key} (is its queue full?)")

    def _on_return(self, error: Exception, exchange: str, key: str, message: Any) -> None:
        self._outcome[message.properties.get("message_id", "")] = Unroutable(
            f"no queue takes {key} on {exchange or 'the default exchange'}: is the topology declared?"
        )
