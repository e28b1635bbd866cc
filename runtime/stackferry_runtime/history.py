"""The stream ``stackferry.history``: what was told of migrations, each event by its number (its offset)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from kombu import Connection, Consumer, Queue
from stackferry import topology
from stackferry.bus import receiving
from stackferry.errors import BrokerUnavailable

AT_ONCE = 1000  # messages that the broker sends before the first is acknowledged
FIRST = 10.0  # seconds in which the first event of a chunk comes, if there is one
CHUNK, QUIET = 1.0, 0.1  # seconds for the others, and without another one, that end it


class Entry(NamedTuple):
    """An event as it lies in the stream. ``key``: its routing key, which says who may hear of it."""

    number: int
    key: str
    body: bytes
    media: str


def entry(message: Any, number: int) -> Entry:
    """A message as an entry of this number."""
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    return Entry(number, str(message.delivery_info.get("routing_key") or ""), body, message.content_type)


def consume(channel: Any, offset: int | str, take: Callable[[Entry], None]) -> None:
    """Have the entries from an offset on given to *take*; the broker begins with the chunk that holds it."""
    channel.basic_qos(0, AT_ONCE, False)

    def on_message(message: Any) -> None:
        number = message.headers.get("x-stream-offset")
        if isinstance(number, int):
            take(entry(message, number))
        message.ack()

    stream = Queue(topology.history_queue().name, consumer_arguments={"x-stream-offset": offset}, no_declare=True)
    Consumer(channel, [stream(channel)], on_message=on_message, auto_declare=False).consume()


def latest(connection: Connection) -> int:
    """The number of the latest event, or a little less while more are told; -1 when there was none. Raises as below."""
    return max((one.number for one in _chunk(connection, "last")), default=-1)


def at(connection: Connection, number: int) -> Entry | None:
    """The first event from a number on; None when there's none. Raises as below."""
    return min((one for one in _chunk(connection, number) if one.number >= number), default=None)


def _chunk(connection: Connection, offset: int | str) -> list[Entry]:
    """Some events from an offset on; raise BrokerUnavailable when none comes though there are some."""
    found: list[Entry] = []
    channel = receiving(connection)
    try:
        consume(channel, offset, found.append)
        with suppress(TimeoutError):
            _drain(connection, FIRST, lambda left: 0.0 if found else left)
            _drain(connection, CHUNK, lambda left: min(left, QUIET) if found else 0.0)
        # RabbitMQ counts a stream's messages every few seconds: by now it knows of those that were there before
        many = channel.queue_declare(topology.history_queue().name, passive=True).message_count
    finally:
        channel.close()
    if many and not found:  # a late answer is no empty stream: whoever believed that would begin anew
        raise BrokerUnavailable(f"the history has {many} events, and gives none of them now")
    return found


def _drain(connection: Connection, seconds: float, patience: Callable[[float], float]) -> None:
    """Take in what comes within so many seconds. *patience*: how long the next is waited for; 0: no more is."""
    deadline = time.monotonic() + seconds
    while (left := patience(deadline - time.monotonic())) > 0:
        connection.connection.drain_events(timeout=left)
