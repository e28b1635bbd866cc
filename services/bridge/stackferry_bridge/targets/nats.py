"""NATS JetStream: a subject for each migration and event. Source: CloudEvents' NATS protocol binding, structured mode.

``stackferry.events.<source>.<destination>.<migration>.<event>``, as on RabbitMQ; what the broker would read otherwise
is percent-encoded. ``Nats-Msg-Id`` is the event's id, so that JetStream drops what is carried twice, and the header
``Stackferry-Number`` of the last message says where to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import nats
from nats.errors import Error as NatsError
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import NotFoundError

from ..events import MEDIA, Event, Place
from . import Away

SUBJECT = "stackferry.events"
STREAM = "stackferry-events"
NUMBER = "Stackferry-Number"
WINDOW = 120.0  # seconds in which JetStream knows an event again
TAKES = 10.0  # seconds for an answer
T = TypeVar("T")


class Nats:
    """A stream of a NATS server; it's made unless it's there."""

    is_exact = True

    def __init__(self, url: str) -> None:
        self.name, self.url = "nats", url
        self._loop = asyncio.new_event_loop()
        self._client: Any = None

    def position(self) -> Place | None:
        """The number that the stream's last message says."""
        return self._do(self._position())

    def send(self, events: list[Event]) -> Iterator[Place]:
        """Publish them all, and await each one's receipt."""
        self._do(self._publish(events))
        yield events[-1].place

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._loop.run_until_complete(self._client.close())
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, 3 * TAKES))
        except (NatsError, OSError, TimeoutError, asyncio.InvalidStateError) as error:
            self._drop()
            raise Away(f"NATS takes nothing now: {error or type(error).__name__}") from None

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._loop.run_until_complete(client.close())

    async def _stream(self) -> Any:
        if self._client is None:
            how: dict[str, Any] = {"allow_reconnect": False, "connect_timeout": int(TAKES), "error_cb": _note}
            self._client = await nats.connect(self.url, name="stackferry", **how)
        stream = self._client.jetstream(timeout=TAKES)
        try:
            await stream.stream_info(STREAM)
        except NotFoundError:
            config = StreamConfig(STREAM, subjects=[f"{SUBJECT}.>"], storage=StorageType.FILE, duplicate_window=WINDOW)
            await stream.add_stream(config)
        return stream

    async def _position(self) -> Place | None:
        stream = await self._stream()
        try:
            last = await stream.get_last_msg(STREAM, f"{SUBJECT}.>")
        except NotFoundError:
            return None
        headers = last.headers or {}
        number = headers.get(NUMBER, "")
        return Place(int(number), headers.get("Nats-Msg-Id")) if number.isdecimal() else None

    async def _publish(self, events: list[Event]) -> None:
        stream = await self._stream()
        for one in events:  # one after the other: that's what keeps the order, and what the last message says true
            headers = {"Content-Type": MEDIA, "Nats-Msg-Id": one.id, NUMBER: str(one.number)}
            await stream.publish(f"{SUBJECT}.{_token(one.key)}", one.body, headers=headers)


async def _note(_: Exception) -> None:
    """Whoever waits for an answer is told of it."""


def _token(key: str) -> str:
    """A routing key as a subject: what NATS reads as something else is percent-encoded."""
    return "".join(f"%{ord(c):02X}" if c in " *>\t\r\n" else c for c in key) or "none"
