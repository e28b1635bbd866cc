"""A visit: who looks at what, and what is shown to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from marshmallow import Schema
from stackferry.roles import ROLES, VIEWER

from ..calls import Call, Row
from ..history import History
from ..pace import Pace
from ..serving import loaded
from ..standings import Standings


@dataclass(frozen=True, slots=True)
class Seen:
    """What the gateway has heard, for whoever looks."""

    history: History
    standings: Standings
    pace: Pace


@dataclass(frozen=True, slots=True)
class Visit:
    """A request to the page: the call that the API would have for it, the ``form`` that came, what was heard."""

    call: Call
    form: Mapping[str, list[str]]
    query: Mapping[str, str]
    path: str
    seen: Seen

    def asking(
        self, schema: type[Schema] | None = None, body: Row | None = None, path: dict[str, str] | None = None,
        **query: Any,
    ) -> Call:  # fmt: skip
        """The call with other parameters, checked by a schema as those of the API are; or other names in its path."""
        query = loaded(schema, query) if schema else {}
        return replace(self.call, query=query, body=body or {}, path=path or self.call.path)

    def may(self, role: str) -> bool:
        """Whether the person has this role, or a higher one."""
        return ROLES.index(self.call.person.client.role) >= ROLES.index(role)

    def said(self, name: str, default: str = "") -> str:
        """A field of the form that was sent, else what stands after the question mark, without spaces around it."""
        if self.form:
            return next(iter(self.form.get(name, ())), default).strip()
        return self.query.get(name, default).strip()

    def lines(self, name: str) -> list[str]:
        """The lines of a text of the form, without empty ones."""
        return [line.strip() for line in self.said(name).splitlines() if line.strip()]

    def here(self, **query: Any) -> str:
        """The same place with another question."""
        given = {name: value for name, value in {**self.query, **query}.items() if value not in (None, "")}
        return f"{self.path}?{urlencode(given)}" if given else self.path


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown: a template, with what it needs. ``hears``: the path of the events after which it's shown anew."""

    template: str
    title: str
    data: Row = field(default_factory=dict)
    status: int = 200
    hears: str = ""


@dataclass(frozen=True, slots=True)
class Go:
    """Where the browser goes on."""

    to: str


@dataclass(frozen=True, slots=True)
class File:
    """What the browser keeps."""

    content: bytes
    media: str
    name: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the page's table."""

    method: str
    path: str
    do: Callable[[Visit], Page | Go | File]
    role: str = VIEWER
