"""Reads the stream ``stackferry.history`` from an event on, batch by batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from kombu import Consumer, Queue
from stackferry import topology
from stackferry.bus import connected, receiving
from stackferry.errors import BrokerUnavailable
from stackferry_runtime.logs import logger

from .events import Event

log = logger(__name__)
AT_ONCE = 1000  # messages that the broker sends before the first is acknowledged
BATCH = 500  # events of one batch, at most
QUIET = 0.1  # seconds without another event that end a batch
LISTENS = 1.0  # seconds in which it's looked whether all is over


def read(uri: str, after: int, is_over: Callable[[], bool]) -> Iterator[list[Event]]:
    """Yield what is told after an event, as it comes; an empty batch now and then when nothing is.

    Of a stream that was deleted and made anew, all is yielded. Raises BrokerUnavailable, or an error of the bus.
    """
    found: deque[Event] = deque()

    def take(message: Any) -> None:
        number = message.headers.get("x-stream-offset")
        if isinstance(number, int) and number > after:  # the broker begins with the chunk that holds it
            body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
            found.append(Event(number, str(message.delivery_info.get("routing_key") or ""), body))
        message.ack()

    with connected(uri, "bridge") as connection:
        channel = receiving(connection)
        channel.basic_qos(0, AT_ONCE, False)
        stream = Queue(topology.history_queue().name, consumer_arguments={"x-stream-offset": max(0, after + 1)},
                       no_declare=True)  # fmt: skip
        Consumer(channel, [stream(channel)], on_message=take, auto_declare=False).consume()
        raw, is_first = connection.connection, True
        while not is_over():
            with suppress(TimeoutError):
                raw.drain_events(timeout=LISTENS)
                while len(found) < BATCH:
                    raw.drain_events(timeout=QUIET)
            raw.heartbeat_tick()
            if found and is_first:
                if found[0].number > after + 1:
                    log.warning("what was told before is kept no longer", after=after, first=found[0].number)
                is_first = False
            yield [found.popleft() for _ in range(min(BATCH, len(found)))]
            while len(found) >= BATCH:
                yield [found.popleft() for _ in range(BATCH)]


def latest(uri: str) -> int:
    """The number of the latest event, or a little less while more are told; -1 when there was none. Raises as above."""
    return max((event.number for event in _some(uri, "last")), default=-1)


def at(uri: str, number: int) -> Event | None:
    """The first event from a number on; None when there's none. Raises as above."""
    found = [event for event in _some(uri, number) if event.number >= number]
    return min(found, key=lambda event: event.number, default=None)


def _some(uri: str, offset: int | str) -> list[Event]:
    """A chunk of events from an offset on; raise BrokerUnavailable when none comes though there are some."""
    found: list[Event] = []

    def take(message: Any) -> None:
        number = message.headers.get("x-stream-offset")
        if isinstance(number, int):
            body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
            found.append(Event(number, str(message.delivery_info.get("routing_key") or ""), body))
        message.ack()

    with connected(uri, "bridge") as connection:
        channel = receiving(connection)
        channel.basic_qos(0, AT_ONCE, False)
        name = topology.history_queue().name
        many = channel.queue_declare(name, passive=True).message_count
        stream = Queue(name, consumer_arguments={"x-stream-offset": offset}, no_declare=True)
        Consumer(channel, [stream(channel)], on_message=take, auto_declare=False).consume()
        deadline = time.monotonic() + LISTENS
        with suppress(TimeoutError):
            while (left := deadline - time.monotonic()) > 0:
                connection.connection.drain_events(timeout=min(left, QUIET if found else left))
    if many and not found:
        raise BrokerUnavailable(f"it has {many} events, and gives none of them now")
    return found
