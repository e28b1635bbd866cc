"""Events as they are told: a stream of server-sent events. Source: HTML Living Standard, 9.2."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from anyio import CapacityLimiter, to_thread
from stackferry import events
from stackferry.bus import BUS_ERRORS
from stackferry.errors import BrokerUnavailable
from stackferry.roles import Client
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from .api.schemas import EventsQuery
from .calls import Call
from .history import Batch, History, Told
from .people import Person
from .problems import Problem
from .serving import SAFE, Door, Handler, Serving, given, loaded, refused

MEDIA = "text/event-stream"
PULSE = 0.2  # seconds between two looks whether there is something new
PROGRESS = 0.5  # seconds between two words about progress
ALIVE = 15.0  # seconds after which somebody who hears nothing is told that nothing was said
LATE = 5.0  # seconds in which a gateway may be behind the one that a listener comes from
LOOK = 5.0  # seconds between two looks whether its token is still good
TAKES = 60.0  # seconds in which a listener must take what it's told
REPLAYS = 4  # listeners at once for whom older events are read
AGAIN = 2000  # milliseconds after which a listener comes back
Hears = Callable[[Told], bool]


class Pulse:
    """Wakes all listeners at once when there is something new."""

    def __init__(self, history: History) -> None:
        self.history, self._news = history, asyncio.Event()

    async def run(self) -> None:
        """Beat for ever."""
        seen = None
        while True:
            await asyncio.sleep(PULSE)
            now = self.history.position, self.history.turn
            if now != seen:
                seen, before, self._news = now, self._news, asyncio.Event()
                before.set()

    @property
    def next(self) -> asyncio.Event:
        """What is set when there is something new: to be taken before one looks."""
        return self._news

    def wake(self) -> None:
        """Wake everybody now."""
        self._news.set()


class Stream(StreamingResponse):
    """A stream whose listener is dropped when it takes nothing any more. *over*: called at its end."""

    def __init__(self, frames: AsyncIterator[bytes], headers: dict[str, str], over: Callable[[], None]) -> None:
        super().__init__(frames, 200, headers, MEDIA)
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()

    async def stream_response(self, send: Send) -> None:
        async def within(message: Message) -> None:
            async with asyncio.timeout(TAKES):
                await send(message)

        with suppress(TimeoutError):
            await super().stream_response(within)


@dataclass
class Listening:
    """Who listens, to what, and up to which event it has heard."""

    request: Request
    door: Door
    person: Person
    hears: Hears
    position: int
    progress: bool


class Events:
    """Streams of what is told: of one migration, or of all that a person may know of."""

    def __init__(self, serving: Serving, history: History) -> None:
        self.serving, self.history, self.pulse = serving, history, Pulse(history)
        self.is_over = False
        self.limiter = CapacityLimiter(REPLAYS)

    def close(self) -> None:
        """End all streams: their listeners come back, to this gateway or another one."""
        self.is_over = True
        self.pulse.wake()

    def through(self, door: Door) -> Handler:
        """The endpoint for whoever comes in by a door."""

        async def handle(request: Request) -> Response:
            return await self._stream(request, door)

        return handle

    async def _stream(self, request: Request, door: Door) -> Response:
        try:
            person = await door.enter(request)
            query = loaded(EventsQuery, given(EventsQuery, request))
            migration = request.path_params.get("migration")
            if migration is not None:
                call = Call(person, self.serving.desk, {"migration": migration}, {}, {}, {})
                await to_thread.run_sync(call.migration, limiter=self.serving.limiter)
            if not self.history.link.is_ready:
                raise Problem(503, "the broker can't be reached", Retry_After="5")
            begin = _begin(request, query, self.history.position)
        except Exception as error:
            return refused(error, request)
        headers = {**SAFE, "X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return Response(b"", 200, headers, MEDIA)
        try:
            door.listening.enter(person.name)
        except Problem as error:
            return refused(error, request)
        listening = Listening(request, door, person, hears(person.client, migration), begin, query["progress"])
        return Stream(self._told(listening), headers, lambda: door.listening.leave(person.name))

    async def _told(self, who: Listening) -> AsyncIterator[bytes]:
        """Yield what is told, as it comes; a sign of life when nothing was for a while."""
        yield f"retry: {AGAIN}\n{_number(who.position)}\n".encode()
        now = time.monotonic()
        turn, spoke, written, looked, deadline = 0, 0.0, now, now, now + LATE
        while who.position > self.history.position and time.monotonic() < deadline:
            await asyncio.sleep(PULSE)
        while not self.is_over:
            news = self.pulse.next
            batch = self.history.since(who.position)
            if batch is None:
                try:
                    batch = await to_thread.run_sync(self.history.replay, who.position, limiter=self.limiter)
                except (BrokerUnavailable, *BUS_ERRORS):
                    await asyncio.sleep(LATE)
                    batch = Batch([], who.position)
            frames = _reset(batch) if batch.gap else b""
            is_more, who.position = bool(batch.events), batch.position
            frames += b"".join(told.frame for told in batch.events if who.hears(told))
            now = time.monotonic()
            if who.progress and now - spoke >= PROGRESS:
                moved, turn = self.history.progress_since(turn)
                if moved := [told for told in moved if who.hears(told)]:
                    spoke, frames = now, frames + b"".join(told.frame for told in moved)
            if not frames and now - written >= ALIVE:
                frames = f": nothing was told\n{_number(who.position)}\n".encode()
            if frames:
                written = now
                yield frames
            if now - looked >= LOOK:
                looked = now
                if not await who.door.knows(who.request, who.person):
                    return
            if is_more:
                await asyncio.sleep(0)  # others, too, when nothing of it was for this one
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), LOOK)


def _number(position: int) -> str:
    """The field of an event's number: it may stand alone, and is what a listener comes back with."""
    return f"id: {position}\n" if position >= 0 else ""


def _begin(request: Request, query: dict[str, Any], position: int) -> int:
    """The number of the event after which to begin."""
    if last := request.headers.get("last-event-id"):
        if not re.fullmatch(r"[0-9]{1,18}", last):
            raise Problem(422, "Last-Event-ID is the `id` of an event, a number")
        return int(last)
    return int(query.get("after", position))


def _reset(batch: Batch) -> bytes:
    """Something was told that is kept no longer: whoever listens must look afresh at how things stand."""
    first = batch.events[0].number if batch.events else batch.position + 1
    return f"event: reset\ndata: {json.dumps({'first': first})}\n\n".encode()


def hears(client: Client, migration: str | None) -> Hears:
    """What a person may hear: by the places in an event's key, and its labels."""
    is_limited = client.clouds is not None or client.projects is not None
    key = re.compile(events.permitted(client.clouds, client.projects)) if is_limited else None
    wanted = client.labels.items()

    def hear(told: Told) -> bool:
        return (
            (migration is None or told.migration == migration)
            and (key is None or key.fullmatch(told.key) is not None)
            and (not wanted or wanted <= told.labels.items())
        )

    return hear
