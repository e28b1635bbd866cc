"""The gateway as an ASGI application: its paths, and what lives as long as it does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from prometheus_client import generate_latest
from stackferry_runtime.desk import Desk
from stackferry_runtime.metrics import MEDIA, REGISTRY
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import metrics, openapi
from .callers import Callers
from .events import Events
from .history import History
from .pace import Pace
from .page import table as page
from .page.sessions import Sessions, key_of
from .page.site import Site
from .page.visit import Seen
from .people import Tokens
from .serving import SAFE, Door, Handler, Serving, refused
from .settings import Settings
from .standings import Standings
from .table import ENDPOINTS, PREFIX, STREAMS


def create(settings: Settings) -> Starlette:
    """Return the application; it connects to the broker when it starts. Raises Error for tokens that can't be read."""
    desk = Desk(settings.amqp_uri, settings.answer_within, "stackferry/gateway")
    standings, pace = Standings(), Pace()

    def hear(name: str, data: dict[str, Any]) -> None:
        standings.heard(name, data)
        pace.heard(name, data)

    history = History(settings.amqp_uri, settings.history_bytes, hear)
    door = Door(
        Callers(Tokens(settings.tokens), settings.keystone), settings.rate, settings.at_once, settings.listeners
    )
    serving = Serving(door, desk, settings.body_bytes)
    events = Events(serving, history)
    is_secure = bool(settings.tls_certificate) or settings.tls_elsewhere
    site = Site(serving, Sessions(key_of(settings.session_key), is_secure), Seen(history, standings, pace))

    def is_ready() -> bool:
        return desk.link.is_ready and history.link.is_ready

    counted = metrics.Metrics(lambda: len(door.listening), lambda: history.position)
    described = json.dumps(openapi.document(), ensure_ascii=False).encode()

    @asynccontextmanager
    async def living(_: Any) -> AsyncIterator[None]:
        desk.link.start()
        history.link.start()
        beating = asyncio.create_task(events.pulse.run())
        try:
            yield
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
            await asyncio.to_thread(history.link.close)
            await asyncio.to_thread(desk.close)

    async def alive(_: Request) -> Response:
        return Response(b"alive\n", 200, SAFE, "text/plain")

    async def ready(_: Request) -> Response:
        if is_ready():
            return Response(b"ready\n", 200, SAFE, "text/plain")
        return Response(b"the broker isn't connected\n", 503, SAFE, "text/plain")

    async def measured(_: Request) -> Response:
        return Response(generate_latest(REGISTRY), 200, SAFE, MEDIA)

    async def description(_: Request) -> Response:
        return Response(described, 200, SAFE, "application/json")

    def counting(path: str, handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            began = time.monotonic()
            response = await handler(request)
            counted.note(request.method, path, response.status_code, began)
            return response

        return handle

    async def unserved(request: Request, error: Exception) -> Response:
        path = request.url.path
        is_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        return (site.refused if is_page and not path.startswith(f"{PREFIX}/") else refused)(error, request)

    def several(path: str, lines: dict[str, Handler]) -> Route:
        """All methods of a path."""

        async def handle(request: Request) -> Response:
            return await lines["GET" if request.method == "HEAD" else request.method](request)

        return Route(path, counting(path, handle), methods=list(lines))

    def route(path: str) -> Route:
        return several(PREFIX + path, {one.method: serving.handler(one) for one in ENDPOINTS if one.path == path})

    def shown(path: str) -> Route:
        return several(path, {one.method: site.handler(one) for one in page.LINES if one.path == path})

    routes = [
        *map(route, dict.fromkeys(line.path for line in ENDPOINTS)),
        *(Route(path, counting(path, events.through(door))) for path in STREAMS),
        *(Route(path, counting(path, events.through(site.door))) for path in page.STREAMS),
        *map(shown, dict.fromkeys(line.path for line in page.LINES)),
        Route("/sign-in", counting("/sign-in", site.sign_in), methods=["GET", "POST"]),
        Route("/sign-out", counting("/sign-out", site.sign_out), methods=["POST"]),
        Route("/static/{version}/{name}", site.static),
        Route(f"{PREFIX}/openapi.json", description),
        Route("/livez", alive),
        Route("/readyz", ready),
        Route("/metrics", measured),
    ]  # fmt: skip
    app = Starlette(routes=routes, lifespan=living, exception_handlers={HTTPException: unserved})
    app.router.redirect_slashes = False  # it would lead where the Host header says
    app.state.events, app.state.is_ready = events, is_ready
    return app
