"""Reads the stream ``stackferry.history`` from an event on, batch by batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from kombu import Consumer, Queue
from stackferry import topology
from stackferry.bus import connected, receiving

from .events import Event

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
        raw = connection.connection
        while not is_over():
            with suppress(TimeoutError):
                raw.drain_events(timeout=LISTENS)
                while len(found) < BATCH:
                    raw.drain_events(timeout=QUIET)
            raw.heartbeat_tick()
            yield [found.popleft() for _ in range(min(BATCH, len(found)))]
            while len(found) >= BATCH:
                yield [found.popleft() for _ in range(BATCH)]


def latest(uri: str) -> int:
    """The number of the latest event; -1 when there was none. Raises as above."""
    numbers = [-1]
    with connected(uri, "bridge") as connection:
        channel = receiving(connection)
        channel.basic_qos(0, AT_ONCE, False)

        def take(message: Any) -> None:
            number = message.headers.get("x-stream-offset")
            if isinstance(number, int):
                numbers.append(number)
            message.ack()

        stream = Queue(topology.history_queue().name, consumer_arguments={"x-stream-offset": "last"}, no_declare=True)
        Consumer(channel, [stream(channel)], on_message=take, auto_declare=False).consume()
        with suppress(TimeoutError):
            connection.connection.drain_events(timeout=LISTENS)
            while True:
                connection.connection.drain_events(timeout=QUIET)
    return max(numbers)
