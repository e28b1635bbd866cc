"""From a request of ASGI to a call of the table, and from what comes of it to a response."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from typing import Any
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread
from marshmallow import Schema, ValidationError, fields
from stackferry.envelope import trace
from stackferry.errors import Error, InvalidMessage
from stackferry.roles import ROLES
from stackferry_runtime.desk import Declined, Desk
from stackferry_runtime.logs import logger
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from .callers import Callers
from .calls import Call, Endpoint, Row
from .people import Crowd, Person, Rate
from .problems import MEDIA, Problem, of_error, of_refusal

log = logger(__name__)
SAFE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
WAITING = 200  # requests of one person that are worked on, or wait for their turn
THREADS = 64  # requests that are worked on at the same time
DEEPEST = 100  # lists and objects in one another
SLOWEST = 120.0  # seconds in which a body must have arrived
LONGEST = 512  # characters of a parameter of a path
Handler = Callable[[Request], Awaitable[Response]]
Answers = Callable[[Request, Person], Awaitable[Response]]
Knock = Callable[[Request, Callers], Awaitable[Person]]


async def bearer(request: Request, callers: Callers) -> Person:
    """The person whose token a request has. Sources: RFC 6750; Identity API v3 (X-Auth-Token)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not scheme and callers.has_keystone:
        scheme, token = "bearer", request.headers.get("x-auth-token", "")
    if scheme.lower() != "bearer" or not token.strip():
        or_ = ", or `X-Auth-Token: <Keystone's token>`" if callers.has_keystone else ""
        raise Problem(401, f"say `Authorization: Bearer <token>`{or_}", WWW_Authenticate="Bearer")
    address = request.client.host if request.client else ""
    return await callers.of(token.strip().encode("latin-1"), address)  # as headers are read


class Door:
    """Who comes in, and how fast. Raises Problem for everybody else.

    *knock*: how a request says whose it is.
    """

    def __init__(self, callers: Callers, rate: float, at_once: int, listeners: int) -> None:
        self.callers, self.rate = callers, Rate(rate)
        self.knock: Knock = bearer
        self.waiting, self.listening = Crowd(WAITING, "requests"), Crowd(listeners, "streams")
        self.at_once = at_once
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def turns(self, name: str) -> asyncio.Semaphore:
        """What somebody's requests wait for, so many at once; kept while one of them does."""
        if (found := self._turns.get(name)) is None:
            found = self._turns[name] = asyncio.Semaphore(self.at_once)
        return found

    def beside(self, knock: Knock) -> Door:
        """Another door for the same people, with the same limits."""
        other = copy(self)
        other.knock = knock
        return other

    async def enter(self, request: Request) -> Person:
        """The person whose request it is."""
        person = await self.knock(request, self.callers)
        self.rate.take(person.name)
        return person

    async def knows(self, request: Request, person: Person) -> bool:
        """Whether what a request came with is still this person's."""
        try:
            return await self.knock(request, self.callers) == person
        except Problem as problem:
            return problem.status == 429  # it can't be looked at now


class Serving:
    """Answers the endpoints of the table."""

    def __init__(self, door: Door, desk: Desk, body_bytes: int) -> None:
        self.door, self.desk, self.body_bytes = door, desk, body_bytes
        self.limiter = CapacityLimiter(THREADS)

    def handler(self, endpoint: Endpoint) -> Handler:
        """The ASGI endpoint of a line of the table."""

        async def answer(request: Request, person: Person) -> Response:
            allow(person, endpoint.role)
            body = await self.body(request, "application/json") if endpoint.body else b""
            return await self.work(person, self._answer, endpoint, request, person, body)

        return self.within(self.door, answer, refused)

    def within(self, door: Door, answer: Answers, refuse: Callable[[Exception, Request], Response]) -> Handler:
        """The ASGI endpoint that answers those who come in by a door, each within what one may have at once."""

        async def handle(request: Request) -> Response:
            try:
                person = await door.enter(request)
                door.waiting.enter(person.name)
                try:
                    return await answer(request, person)
                finally:
                    door.waiting.leave(person.name)
            except Exception as error:
                return await to_thread.run_sync(refuse, error, request, limiter=self.limiter)

        return handle

    async def work(self, person: Person, do: Callable[..., Response], *about: Any) -> Response:
        """Do something in a thread, once it's this person's turn."""
        async with self.door.turns(person.name):
            return await to_thread.run_sync(do, *about, limiter=self.limiter)

    def _answer(self, endpoint: Endpoint, request: Request, person: Person, body: bytes) -> Response:
        """Do what is asked. What changes something is noted before, and how it ended afterwards."""
        call = self._call(endpoint, request, person, body)
        with Noted(request, person, call.body) as noted:
            try:
                reply = endpoint.do(call)
                response = Response(reply.content(), reply.status, {**SAFE, **reply.headers}, reply.media)
                noted.made = reply.data.get("id") if isinstance(reply.data, dict) else None
            except Exception as error:
                response = refused(error, request)
            noted.status = response.status_code
        return response

    def _call(self, endpoint: Endpoint, request: Request, person: Person, body: bytes) -> Call:
        path = names_of(request)
        query = loaded(endpoint.query, given(endpoint.query, request))
        said = loaded(endpoint.body, _json(body)) if endpoint.body else {}
        return Call(person, self.desk, path, query, said, dict(request.headers))

    async def body(self, request: Request, media: str, most: int | None = None) -> bytes:
        """The body; Problem for one that is too long or too slow, or says that it's of another type."""
        most = self.body_bytes if most is None else min(most, self.body_bytes)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != media:
            raise Problem(415, f"send `Content-Type: {media}`", Accept=media)
        body = bytearray()
        try:
            async with asyncio.timeout(SLOWEST):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        raise Problem(413, f"at most {most} bytes are taken", Connection="close")
        except TimeoutError:
            raise Problem(408, f"the body wasn't whole after {SLOWEST:.0f} seconds", Connection="close") from None
        return bytes(body)


def names_of(request: Request) -> dict[str, str]:
    """The names in the request's path; Problem for what can be nobody's."""
    path = {name: str(value) for name, value in request.path_params.items()}
    if any(len(value) > LONGEST or not value.isprintable() for value in path.values()):
        raise Problem(404, "nothing here has such a name")
    return path


class Noted:
    """A request that changes something is a line in the log before it's done, and one with how it ended."""

    def __init__(self, request: Request, person: Person, body: Row) -> None:
        self.status, self._is_deed = 0, request.method not in ("GET", "HEAD")
        self.made: str | None = None
        self._about: Row = {name: body[name] for name in ("action", "do", "servers", "workloads") if name in body}
        self._about |= {"audit": True, "person": person.name, "method": request.method, "path": request.url.path}
        if of := trace(request.headers.get("traceparent", "")):
            self._about["trace"] = of

    def __enter__(self) -> Noted:
        if self._is_deed:
            log.info("request", **self._about)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_deed:
            log.info("answered", **self._about, status=self.status, id=self.made)


def allow(person: Person, role: str) -> None:
    """Raise Problem for who hasn't this role, or a higher one."""
    if ROLES.index(person.client.role) < ROLES.index(role):
        raise Problem(403, f"this token is {person.client.role}'s, and this is for the role {role}")


def _json(body: bytes) -> Any:
    """What a body says; Problem for one that is no JSON, or can't be sent on."""
    try:
        said = json.loads(body, object_pairs_hook=_once, parse_constant=_no_constant)
        if b"\\u" in body:
            json.dumps(said, ensure_ascii=False).encode()  # half a surrogate pair can be escaped, and not be sent on
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is no JSON: {error}") from None
    if _depth(said) > DEEPEST:
        raise Problem(400, f"lists and objects in one another, more than {DEEPEST} deep")
    return said


def _depth(said: Any) -> int:
    deep, layer = 0, [said]
    while layer := [one for one in layer if isinstance(one, dict | list)]:
        deep += 1
        if deep > DEEPEST:
            break
        layer = [inner for one in layer for inner in (one.values() if isinstance(one, dict) else one)]
    return deep


def _once(pairs: list[tuple[str, Any]]) -> Row:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def given(schema: type[Schema] | None, request: Request) -> Mapping[str, Any]:
    """Return the parameters after the question mark; those that may be repeated are lists."""
    found: Row = {}
    declared = schema._declared_fields if schema else {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if isinstance(declared.get(name), fields.List):
            found[name] = values
        elif len(values) > 1:
            raise Problem(422, f"{name} may stand once", {name: ["it stands more than once"]})
        else:
            found[name] = values[0]
    return found


def loaded(schema: type[Schema] | None, given: Any) -> Row:
    """Return what was given, by a schema; Problem for what it doesn't know."""
    if schema is None:
        if given:
            raise Problem(422, f"there is no parameter {next(iter(given))!r} here")
        return {}
    try:
        loaded: Row = schema().load(given)
    except ValidationError as error:
        raise of_refusal("invalid", error.normalized_messages()) from None
    return loaded


def refused(error: Exception, request: Request) -> Response:
    """The answer to a request that isn't served."""
    problem = told_as(error, request)
    return Response(problem.body(), problem.status, {**SAFE, **problem.headers}, MEDIA)


def told_as(error: Exception, request: Request) -> Problem:
    """What whoever asks is told of an error; what nobody expected is in the log, and not told."""
    try:
        return problem_of(error)
    except Exception:
        incident = str(uuid.uuid4())
        log.exception("a request failed", incident=incident, method=request.method, path=request.url.path)
        return Problem(500, f"the log says more, by {incident}")


def problem_of(error: Exception) -> Problem:
    """The problem that an error is; raises what nobody expected."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ClientDisconnect):
        return Problem(400, "the caller has gone")
    if isinstance(error, Declined):
        if error.reason == "error":
            return Problem(409, str(error.errors))
        return of_refusal(error.reason, error.errors)
    if isinstance(error, HTTPException):
        said = {404: "there's nothing at this path", 405: "this path takes other methods"}
        allow = {"Allow": error.headers["Allow"]} if error.headers and "Allow" in error.headers else {}
        return Problem(error.status_code, said.get(error.status_code, str(error.detail)), **allow)
    if isinstance(error, InvalidMessage | Error):
        return of_error(error)
    raise error
