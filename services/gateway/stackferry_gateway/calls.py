"""A request to the API, read and allowed; what is answered; and a line of the table that says who answers what."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from marshmallow import Schema
from stackferry import roles
from stackferry.envelope import trace
from stackferry.errors import InvalidMessage
from stackferry.messages import Command, DescribeMigrations
from stackferry.roles import Places
from stackferry_runtime.desk import Declined, Desk

from .people import Person
from .problems import Problem

Row = dict[str, Any]
MOMENTS = ("created", "changed", "first_asked")  # Unix times inside; RFC 3339 outside


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: data as JSON, or a body of another type."""

    data: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media: str = "application/json"
    body: bytes | None = None

    def content(self) -> bytes:
        """The body, as it travels."""
        if self.body is not None:
            return self.body
        return b"" if self.data is None else json.dumps(self.data, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks for what: ``path`` and ``query`` parameters and the ``body``, checked; ``headers`` in small letters."""

    person: Person
    desk: Desk
    path: dict[str, str]
    query: Row
    body: Row
    headers: dict[str, str]

    def allow(self, message: type[Command], data: Row, about: Iterable[Row] | Places) -> None:
        """Raise Problem when this person may not ask for it."""
        if wrong := roles.refused(self.person.client, message.called, data, about):
            raise Problem(403, next(iter(wrong.values())).replace("STACKFERRY_CLIENTS", "STACKFERRY_TOKENS"))

    def ask(self, message: type[Command], data: Row) -> list[Row]:
        """What the coordinator answers; Problem when it doesn't do it."""
        traceparent = self.headers.get("traceparent", "")
        return self.desk.ask(message, data, self.person.name, traceparent=traceparent if trace(traceparent) else "")

    def migration(self, **which: Any) -> Row:
        """The migration of the path, as it is; Problem when there's none that this person may know of."""
        return self.parts(steps=False, **which)[0]["migration"]  # type: ignore[no-any-return]

    def parts(self, **which: Any) -> list[Row]:
        """The parts of what is known of the migration of the path."""
        id_ = self.path["migration"]
        try:
            parts = self.ask(DescribeMigrations, {"migration": id_, **which})
        except Declined as error:
            if error.reason != "error":
                raise
            raise no_migration(id_) from None
        except InvalidMessage as error:
            if "migration" in error.errors:
                raise no_migration(id_) from None
            raise
        if not self.person.client.may_see(parts[0]["migration"]):
            raise no_migration(id_)
        return parts


def no_migration(id_: str) -> Problem:
    """There's none of this id; or it's not this person's to know of."""
    return Problem(404, f"there's no migration {id_}", help="stackferry list")


class Header(NamedTuple):
    """A header, and what it says."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A line of the table: the function whose docstring says what it does, and what goes in and comes out.

    *role*: the lowest that may call it at all; some actions need a higher one.
    """

    method: str
    path: str
    do: Callable[[Call], Reply]
    role: str = roles.VIEWER
    query: type[Schema] | None = None
    body: type[Schema] | None = None
    gives: type[Schema] | None = None
    status: int = 200
    also: tuple[str, ...] = ()  # other media types than JSON that it answers
    empty: tuple[int, ...] = ()  # other statuses that it answers, without a body
    takes: tuple[Header, ...] = ()  # headers of the request
    tells: tuple[Header, ...] = ()  # headers of the answer, which it always has


def told(row: Row) -> Row:
    """A state as people outside read it: times as in RFC 3339."""
    found = {name: value for name, value in row.items() if name not in MOMENTS}
    moments = {name: moment(row[name]) for name in MOMENTS if row.get(name) is not None}
    return {**found, **moments}


def moment(seconds: float) -> str:
    """A Unix time as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cursor(after: str) -> str:
    """Where a page goes on, as a text that means nothing to anybody else."""
    return base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")


def after(cursor: str) -> str:
    """What :func:`cursor` was made of; Problem for anything else."""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, UnicodeError):
        raise Problem(422, "this cursor isn't one of ours", {"cursor": ["begin anew, without it"]}) from None


def page(items: list[Row], next_: str | None) -> Row:
    """A page of a list: ``next`` is the cursor of the following one, null when this was the last."""
    return {"items": items, "next": cursor(next_) if next_ else None}


def as_csv(columns: Iterable[str], rows: Iterable[Row], name: str) -> Reply:
    """Rows as a file for spreadsheets. Source: RFC 4180. What a spreadsheet would compute is only shown."""
    text = io.StringIO()
    names = list(columns)
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_plain(row.get(column)) for column in names] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Reply(media="text/csv; charset=utf-8", body=text.getvalue().encode(), headers=headers)


def _plain(value: Any) -> Any:
    is_formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if is_formula else value


def tagged(call: Call, data: Any) -> Reply:
    """The data with a tag of its content; only the tag when the caller has that already. Source: RFC 9110, 8.8.3."""
    reply = Reply(data)
    tag = f'W/"{hashlib.sha256(reply.content()).hexdigest()[:32]}"'
    known = [one.strip().removeprefix("W/") for one in call.headers.get("if-none-match", "").split(",")]
    if tag.removeprefix("W/") in known or "*" in known:
        return Reply(None, 304, {"ETag": tag, "Cache-Control": "private, no-cache"})
    return Reply(data, headers={"ETag": tag, "Cache-Control": "private, no-cache"})
