"""From a request of ASGI to a call of the table, and from what comes of it to a response."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from anyio import CapacityLimiter, to_thread
from marshmallow import Schema, ValidationError, fields
from stackferry.errors import Error, InvalidMessage
from stackferry.roles import ROLES
from stackferry_runtime.logs import logger
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from .calls import Call, Endpoint, Row
from .desk import Declined, Desk
from .people import Crowd, Person, Rate, Tokens
from .problems import MEDIA, Problem, of_error, of_refusal

log = logger(__name__)
SAFE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
WAITING = 200  # requests of one person that are worked on, or wait for their turn
THREADS = 64  # requests that are worked on at the same time
DEEPEST = 100  # lists and objects in one another
SLOWEST = 120.0  # seconds in which a body must have arrived
LONGEST = 512  # characters of a parameter of a path


class Door:
    """Who comes in, and how fast. Raises Problem for everybody else."""

    def __init__(self, tokens: Tokens, rate: float, at_once: int, listeners: int) -> None:
        self.tokens, self.rate = tokens, Rate(rate)
        self.waiting, self.listening = Crowd(WAITING, "requests"), Crowd(listeners, "streams")
        self.turns: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(at_once))

    def enter(self, request: Request) -> Person:
        """The person whose token a request has."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Problem(401, "say `Authorization: Bearer <token>`", WWW_Authenticate="Bearer")
        person = self.tokens.of(token.strip())
        self.rate.take(person.name)
        return person

    def knows(self, request: Request, person: Person) -> bool:
        """Whether the token that a request came with is still this person's."""
        try:
            return self.tokens.of(request.headers["authorization"].partition(" ")[2].strip()) == person
        except Problem:
            return False


class Serving:
    """Answers the endpoints of the table."""

    def __init__(self, door: Door, desk: Desk, body_bytes: int) -> None:
        self.door, self.desk, self.body_bytes = door, desk, body_bytes
        self.limiter = CapacityLimiter(THREADS)

    def handler(self, endpoint: Endpoint) -> Any:
        """The ASGI endpoint of a line of the table."""

        async def handle(request: Request) -> Response:
            try:
                person = self.door.enter(request)
                _allow(person, endpoint)
                self.door.waiting.enter(person.name)
                try:
                    body = await self._body(request) if endpoint.body else b""
                    async with self.door.turns[person.name]:
                        return await to_thread.run_sync(
                            self._answer, endpoint, request, person, body, limiter=self.limiter
                        )
                finally:
                    self.door.waiting.leave(person.name)
            except Exception as error:
                return await to_thread.run_sync(refused, error, request, limiter=self.limiter)

        return handle

    def _answer(self, endpoint: Endpoint, request: Request, person: Person, body: bytes) -> Response:
        """Do what is asked. What changes something is noted before, and how it ended afterwards."""
        call = self._call(endpoint, request, person, body)
        about: Row = {name: call.body[name] for name in ("action", "servers", "workloads") if name in call.body}
        about |= {"audit": True, "person": person.name, "method": endpoint.method, "path": request.url.path}
        if endpoint.method != "GET":
            log.info("request", **about)
        try:
            reply = endpoint.do(call)
            response = Response(reply.content(), reply.status, {**SAFE, **reply.headers}, reply.media)
        except Exception as error:
            reply, response = None, refused(error, request)
        if endpoint.method != "GET":
            made = reply.data.get("id") if reply is not None and isinstance(reply.data, dict) else None
            log.info("answered", **about, status=response.status_code, id=made)
        return response

    def _call(self, endpoint: Endpoint, request: Request, person: Person, body: bytes) -> Call:
        path = {name: str(value) for name, value in request.path_params.items()}
        if any(len(value) > LONGEST or not value.isprintable() for value in path.values()):
            raise Problem(404, "nothing here has such a name")
        query = loaded(endpoint.query, given(endpoint.query, request))
        said = loaded(endpoint.body, _json(body)) if endpoint.body else {}
        return Call(person, self.desk, path, query, said, dict(request.headers))

    async def _body(self, request: Request) -> bytes:
        """The body; Problem for one that is too long or too slow, or says that it's no JSON."""
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":
            raise Problem(415, "send `Content-Type: application/json`", Accept="application/json")
        body = bytearray()
        try:
            async with asyncio.timeout(SLOWEST):
                async for part in request.stream():
                    body += part
                    if len(body) > self.body_bytes:
                        raise Problem(413, f"at most {self.body_bytes} bytes are taken", Connection="close")
        except TimeoutError:
            raise Problem(408, f"the body wasn't whole after {SLOWEST:.0f} seconds", Connection="close") from None
        return bytes(body)


def _allow(person: Person, endpoint: Endpoint) -> None:
    if ROLES.index(person.client.role) < ROLES.index(endpoint.role):
        raise Problem(403, f"this token is {person.client.role}'s, and this is for the role {endpoint.role}")


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
    """The answer to a request that isn't served; what nobody expected is in the log, and not told."""
    try:
        problem = _problem(error)
    except Exception:
        incident = str(uuid.uuid4())
        log.exception("a request failed", incident=incident, method=request.method, path=request.url.path)
        problem = Problem(500, f"the log says more, by {incident}")
    return Response(problem.body(), problem.status, {**SAFE, **problem.headers}, MEDIA)


def _problem(error: Exception) -> Problem:
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
