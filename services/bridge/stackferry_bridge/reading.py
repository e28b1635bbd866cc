"""Reads the stream ``stackferry.history`` from an event on, batch by batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from stackferry.bus import connected, receiving
from stackferry_runtime.history import Entry, consume
from stackferry_runtime.logs import logger

from .events import Event

log = logger(__name__)
BATCH = 500  # events of one batch, at most
QUIET = 0.1  # seconds without another event that end a batch
LISTENS = 1.0  # seconds in which it's looked whether all is over


def read(uri: str, after: int, is_over: Callable[[], bool]) -> Iterator[list[Event]]:
    """Yield what is told after an event, as it comes; an empty batch now and then when nothing is.

    Of a stream that was deleted and made anew, all is yielded. Raises BrokerUnavailable, or an error of the bus.
    """
    found: deque[Event] = deque()

    def take(one: Entry) -> None:
        if one.number > after:  # the broker begins with the chunk that holds it
            found.append(Event(one.number, one.key, one.body))

    with connected(uri, "bridge") as connection:
        consume(receiving(connection), max(0, after + 1), take)
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
