"""The API as machines read it: OpenAPI 3.1, made of the table of endpoints and its schemas."""

from __future__ import annotations

import re
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema
from stackferry import __version__

from .api.schemas import EventsQuery, ProblemDetails
from .calls import Endpoint
from .problems import MEDIA
from .table import ENDPOINTS, PREFIX, STREAMS

EMPTY = {204: "done, and there's nothing left to show", 304: "as it was"}
ABOUT = "Asks for migrations between OpenStack clouds, and tells of them. Times are as in RFC 3339, in UTC."


def document() -> dict[str, Any]:
    """The whole document."""
    spec = APISpec("Stackferry", __version__, "3.1.0", plugins=[MarshmallowPlugin(schema_name_resolver=_name)],
                   info={"description": ABOUT, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
                   security=[{"token": []}, {"keystone": []}])  # fmt: skip
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    about = "a token of Keystone, where the gateway has STACKFERRY_KEYSTONE"
    spec.components.security_scheme(
        "keystone", {"type": "apiKey", "in": "header", "name": "X-Auth-Token", "description": about}
    )
    for endpoint in ENDPOINTS:
        spec.path(PREFIX + endpoint.path, operations={endpoint.method.lower(): _operation(endpoint)})
    for path in STREAMS:
        spec.path(path, operations={"get": _stream(path)})
    found: dict[str, Any] = spec.to_dict()
    return found


def _name(schema: Any) -> str:
    return (schema if isinstance(schema, type) else type(schema)).__name__


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    lines = (endpoint.do.__doc__ or "").strip()
    ok: dict[str, Any] = {"description": "as asked", **_told(endpoint)}
    if endpoint.gives:
        ok["content"] = {"application/json": {"schema": endpoint.gives}}
        ok["content"] |= {media: {"schema": {"type": "string"}} for media in endpoint.also}
    found: dict[str, Any] = {
        "operationId": f"{endpoint.do.__module__.rpartition('.')[2]}-{endpoint.do.__name__}".replace("_", "-"),
        "summary": lines.splitlines()[0],
        "description": f"For the role `{endpoint.role}` and above.",
        "parameters": [*_path(endpoint.path), *_query(endpoint.query), *(_header(*one) for one in endpoint.takes)],
        "responses": {str(endpoint.status): ok, **_empty(endpoint), "default": _problem()},
    }
    if endpoint.body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": endpoint.body}}}
    return found


def _empty(endpoint: Endpoint) -> dict[str, Any]:
    return {str(status): {"description": EMPTY[status], **_told(endpoint)} for status in endpoint.empty}


def _told(endpoint: Endpoint) -> dict[str, Any]:
    """The headers of an answer."""
    text = {"required": True, "schema": {"type": "string"}}
    headers = {one.name: {"description": one.description, **text} for one in endpoint.tells}
    return {"headers": headers} if headers else {}


def _stream(path: str) -> dict[str, Any]:
    which = "of one migration" if "{" in path else "of all migrations"
    return {
        "operationId": f"events-{'of-migration' if '{' in path else 'all'}",
        "summary": f"Hear the events {which}, as they are told.",
        "description": "Server-sent events: `event` is the message's name, `data` its CloudEvent, `id` its number. "
                       "`reset`: something is kept no longer that was told before `first`. For the role `viewer`.",
        "parameters": [*_path(path), *_query(EventsQuery), _header("Last-Event-ID", "number of the last event heard")],
        "responses": {
            "200": {"description": "as they come", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            "default": _problem(),
        },
    }  # fmt: skip


def _problem() -> dict[str, Any]:
    return {"description": "why not", "content": {MEDIA: {"schema": ProblemDetails}}}


def _path(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", path)
    return [{"in": "path", "name": name, "required": True, "schema": {"type": "string"}} for name in names]


def _query(schema: type[Schema] | None) -> list[Any]:
    return [{"in": "query", "schema": schema}] if schema else []


def _header(name: str, description: str) -> dict[str, Any]:
    return {"in": "header", "name": name, "description": description, "schema": {"type": "string"}}
