"""Events as they are told: a stream of server-sent events. Source: HTML Living Standard, 9.2."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from stackferry import events
from stackferry.roles import Client
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .api.schemas import EventsQuery
from .calls import Call
from .history import Batch, History, Told
from .problems import Problem
from .serving import SAFE, Serving, _given, _loaded, refused

PULSE = 0.2  # seconds between two looks whether there is something new
PROGRESS = 0.5  # seconds between two words about progress
ALIVE = 15.0  # seconds after which somebody who hears nothing is told that nothing was said
LATE = 2.0  # seconds in which a gateway may be behind the one that a listener comes from
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

    async def wait(self, seconds: float) -> bool:
        """Return once there is something new, or after so long; say which."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return False
        return True


class Events:
    """Streams of what is told: of one migration, or of all that a person may know of."""

    def __init__(self, serving: Serving, history: History) -> None:
        self.serving, self.history, self.pulse = serving, history, Pulse(history)
        self.listeners = 0

    async def __call__(self, request: Request) -> Response:
        try:
            person = self.serving.door.enter(request)
            query = _loaded(EventsQuery, _given(EventsQuery, request))
            migration = request.path_params.get("migration")
            if migration is not None:
                call = Call(person, self.serving.desk, {"migration": migration}, {}, {}, {})
                await run_in_threadpool(call.migration)
            if not self.history.is_ready:
                raise Problem(503, "the broker can't be reached", Retry_After="5")
            begin = _begin(request, query, self.history.position)
        except Exception as error:
            return refused(error, request)
        frames = self._frames(hears(person.client, migration), begin, query["progress"])
        return StreamingResponse(frames, 200, {**SAFE, "X-Accel-Buffering": "no"}, "text/event-stream")

    async def _frames(self, hears: Hears, position: int, progress: bool) -> AsyncIterator[bytes]:
        """Yield what is told, as it comes; a comment when nothing was for a while."""
        self.listeners += 1
        turn, spoke = self.history.turn if position >= 0 else 0, 0.0
        try:
            yield f"retry: {AGAIN}\n\n".encode()
            deadline = time.monotonic() + LATE
            while position > self.history.position and time.monotonic() < deadline:
                await asyncio.sleep(PULSE)
            while True:
                batch = self.history.since(position)
                if batch is None:
                    batch = await run_in_threadpool(self.history.replay, position)
                if batch.gap:
                    yield _reset(batch)
                is_more, position = batch.position > position and bool(batch.events), batch.position
                if frames := b"".join(told.frame for told in batch.events if hears(told)):
                    yield frames
                if progress and time.monotonic() - spoke >= PROGRESS:
                    moved, turn = self.history.progress_since(turn)
                    if frames := b"".join(told.frame for told in moved if hears(told)):
                        spoke = time.monotonic()
                        yield frames
                if not is_more and not await self.pulse.wait(ALIVE):
                    yield b": nothing was told\n\n"
        finally:
            self.listeners -= 1


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
