"""What was told of migrations: the latest at hand, what is older read from the broker's stream.

An event's number is its offset in the stream ``stackferry.history``, so that whoever was away goes on where it left
off, at whichever gateway. Progress is in no stream: of each step only the latest counts, and it has no number.
"""

from __future__ import annotations

import bisect
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kombu import Connection, Consumer, Queue
from stackferry import topology
from stackferry.bus import BUS_ERRORS, connected, receiving, user_of
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, InvalidMessage
from stackferry.messages import StepProgressed
from stackferry_runtime.history import Entry, consume, entry, latest
from stackferry_runtime.link import Link

TOLD_FOR = 60.0  # seconds in which a step's progress is kept for who comes later
QUIET = 1.0  # seconds in which a stream tells how far it is
SILENT = 10.0  # seconds without a word after which older events can't be read now
Hear = Callable[[str, dict[str, Any]], None]
BATCH = 256 << 10  # bytes that a listener is told at once


@dataclass(frozen=True, slots=True)
class Told:
    """One event: ``number`` is its offset; ``key`` its routing key, which says who may hear of it.

    ``frame``: the event as one of a stream of server-sent events.
    """

    number: int
    key: str
    name: str
    migration: str
    step: str
    labels: dict[str, str]
    frame: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What has been told since: ``gap`` when something before the first of it is kept no longer."""

    events: list[Told]
    position: int
    gap: bool = False


class History:
    """The events at hand, and whoever waits for more. Several threads may read it.

    *hear*: told of each event and each progress once, as it comes: its name and data.
    """

    def __init__(self, uri: str, kept_bytes: int, hear: Hear = lambda name, data: None) -> None:
        self.uri, self.kept_bytes, self.hear = uri, kept_bytes, hear
        self._events: deque[Told] = deque()
        self._bytes = 0
        self._next = 0  # the number that the next event will have at least
        self._lock = threading.Lock()
        self._progress: dict[tuple[str, str], tuple[int, float, Told]] = {}  # step → turn, when, event
        self._turn = 0
        self.link = Link(uri, "gateway history", self._begin, lambda: None)

    # -- reading -----------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The number of the latest event; -1 when there was none."""
        with self._lock:
            return self._next - 1

    @property
    def turn(self) -> int:
        """The number of the latest progress."""
        return self._turn

    def since(self, position: int) -> Batch | None:
        """Return what came after an event, so many bytes of it; None when that isn't all at hand (see ``replay``)."""
        with self._lock:
            if position >= self._next - 1:
                return Batch([], self._next - 1, gap=position >= self._next)  # of another stream, if ever
            if not self._events or self._events[0].number > position + 1:
                return None
            found, size = [], 0
            for number in range(bisect.bisect_right(self._events, position, key=_number), len(self._events)):
                found.append(self._events[number])
                size += len(found[-1].frame)
                if size >= BATCH:
                    break
        return Batch(found, found[-1].number)

    def progress_since(self, turn: int) -> tuple[list[Told], int]:
        """Return the latest progress of each step that came after a turn, and the turn to go on from."""
        since = time.monotonic() - TOLD_FOR
        with self._lock:
            latest = self._progress.values()
            return [told for number, at, told in latest if number > turn and at > since], self._turn

    def latest(self, migration: str, many: int) -> list[Told]:
        """Return the latest events of a migration that are at hand, the newest first."""
        with self._lock:
            found = (told for told in reversed(self._events) if told.migration == migration)
            return list(islice(found, many))

    def replay(self, position: int) -> Batch:
        """Read what came after an event from the broker, so many bytes of it: it's older than what is at hand.

        Raises BrokerUnavailable when the broker can't be reached.
        """
        events: list[Told] = []
        size, limit = 0, BATCH
        with self._lock:
            until = self._events[0].number if self._events else self._next
        reading = self._read(max(position + 1, 0))
        for told in reading if position < until - 1 else ():
            if told.number >= until:
                break
            if told.number > position:  # the broker begins with a chunk that holds it
                events.append(told)
                size += len(told.frame)
            if told.number == until - 1 or size >= limit:
                break
        reading.close()
        first = events[0].number if events else until
        gap = first > position + 1
        return Batch(events, events[-1].number if events else until - 1, gap)

    def _read(self, offset: int) -> Generator[Told, None, None]:
        """Yield events from an offset on; raise BrokerUnavailable when no more come."""
        found: deque[Told] = deque()
        with connected(self.uri, "gateway replay") as connection:
            consume(receiving(connection), offset, lambda one: _take(one, lambda told, _: found.append(told)))
            while True:
                try:
                    connection.connection.drain_events(timeout=SILENT)
                except (TimeoutError, *BUS_ERRORS) as error:
                    raise BrokerUnavailable(f"older events can't be read now: {error}") from None
                while found:
                    yield found.popleft()

    # -- hearing -----------------------------------------------------------------------------------------

    def _begin(self, connection: Connection) -> None:
        """Take in the events that come by a new connection; return once it's known how far the stream is."""
        if self._next and latest(connection) < self._next - 1:  # it was deleted, and is another one by now
            self._begin_anew()
        consume(receiving(connection), self._next or "last", lambda one: _take(one, self._keep))
        channel = receiving(connection)
        own = f"{topology.client_queues(user_of(self.uri))}{uuid.uuid4().hex}.progress"
        queue = Queue(own, exclusive=True, auto_delete=True, durable=False)(channel)
        queue.queue_declare()
        queue.bind_to(topology.EVENTS, routing_key=f"*.*.*.{StepProgressed.called}")
        Consumer(channel, [queue], no_ack=True, on_message=self._progressed, auto_declare=False).consume()
        with suppress(TimeoutError):
            while not self._next:
                connection.connection.drain_events(timeout=QUIET)

    def _begin_anew(self) -> None:
        with self._lock:
            self._events.clear()
            self._bytes = self._next = 0

    def _keep(self, told: Told, event: Envelope) -> None:
        with self._lock:
            if told.number < self._next:
                return
            if told.number > self._next:  # what lies between was kept no longer when this gateway came back
                self._events.clear()
                self._bytes = 0
            self._events.append(told)
            self._next = told.number + 1
            self._bytes += _size(told)
            while self._bytes > self.kept_bytes:
                self._bytes -= _size(self._events.popleft())
            self._progress.pop((told.migration, told.step), None)
        self.hear(told.name, event.data)

    def _progressed(self, message: Any) -> None:
        _take(entry(message, -1), self._keep_progress)

    def _keep_progress(self, told: Told, event: Envelope) -> None:
        now = time.monotonic()
        with self._lock:
            self._turn += 1
            self._progress[told.migration, told.step] = self._turn, now, told
            for key in [key for key, (_, at, _) in self._progress.items() if now - at > TOLD_FOR]:
                del self._progress[key]
        self.hear(told.name, event.data)


def _take(entry: Entry, keep: Callable[[Told, Envelope], None]) -> None:
    """Have an event kept; what is none isn't told on."""
    with suppress(InvalidMessage):
        event = Envelope.from_bytes(entry.body, entry.media)
        keep(_told(event, entry.key, entry.number), event)


def _told(event: Envelope, key: str, number: int) -> Told:
    words, data = event.type.split("."), event.data
    labels, name = data.get("labels"), words[1] if len(words) > 1 else event.type
    id_ = f"id: {number}\n" if number >= 0 else ""
    frame = f"{id_}event: {name}\ndata: ".encode() + event.to_bytes() + b"\n\n"
    return Told(
        number, key, name, str(data.get("migration") or ""), str(data.get("step") or ""),
        labels if isinstance(labels, dict) else {}, frame,
    )  # fmt: skip


def _number(told: Told) -> int:
    return told.number


def _size(told: Told) -> int:
    return len(told.frame) + 400
