"""What people and programs ask about migrations; read only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, String, cast, func, select, tuple_
from stackferry.errors import InvalidMessage
from stackferry.pages import pages
from stackferry.progress import meter

from .hosts import presence
from .storage import tables as t
from .storage.retention import FORGOTTEN

PAGE_BYTES = 400_000  # of one answer; a message may have 1 MiB
PAGE_ROWS = 500  # read at once, so that nobody waits long for the database
Row = dict[str, Any]
Sees = Callable[[Row], bool]


def describe(engine: Engine, data: Row, sees: Sees) -> Iterator[tuple[Row, bool]]:
    """Yield the parts of the answer to DescribeMigrations, each with whether another one follows.

    A part is {migrations}, or {migration, steps}; ``next`` in the last one says where the question goes on that a
    ``limit`` has ended. *sees*: whether who asks may know of a migration. Nothing is told of any other. Each part is
    read by itself: what has changed meanwhile is in the later ones as it is by then.
    """
    if not data.get("migration"):
        yield from _parts(_Migrations(engine, data, sees), data.get("limit"))
        return
    with engine.connect() as connection:
        row = connection.execute(_heads().where(t.migration.c.id == data["migration"])).mappings().one_or_none()
        if row is None or not sees(_head(row)):
            return
        head = _head(row)
        if not data.get("steps", True):
            yield {"migration": head}, False
            return
        first = head | {
            "kinds": _by_kind(connection, data["migration"]),
            "stays_behind": _stays_behind(connection, data["migration"]),
            "missing_hosts": _missing_hosts(connection, head),
        }
    for number, (part, more) in enumerate(_parts(_Steps(engine, data), data.get("limit"))):
        yield {"migration": head if number else first, **part}, more


class _Rows(Protocol):
    """Rows in an order that doesn't change, by what they are called in an answer."""

    called: str
    begin: str | None  # the cursor that the question begins at

    def after(self, last: str | None, limit: int) -> list[Row]:
        """So many rows after a cursor, or the first ones."""

    def cursor(self, row: Row) -> str:
        """What says where a row is."""


def _parts(rows: _Rows, limit: int | None) -> Iterator[tuple[Row, bool]]:
    """Pages of rows: at least one, since somebody waits for it."""
    last, left = rows.begin, limit
    while True:
        wanted = PAGE_ROWS if left is None else min(PAGE_ROWS, left)
        found = rows.after(last, wanted + 1)  # one more, to know whether there are more
        page = next(pages(found[:wanted], PAGE_BYTES), [])
        is_over, left = len(page) == len(found), None if left is None else left - len(page)
        if left == 0 and not is_over:
            yield {rows.called: page, "next": rows.cursor(page[-1])}, False
            return
        yield {rows.called: page}, not is_over
        if is_over:
            return
        last = rows.cursor(page[-1])


class _Migrations:
    """All migrations that a client may know of, the oldest first, or the newest."""

    called = "migrations"

    def __init__(self, engine: Engine, data: Row, sees: Sees) -> None:
        self.engine, self.sees, self.begin = engine, sees, data.get("after")
        self.newest, self.labels = bool(data.get("newest")), data.get("labels") or {}
        self.query = _heads(self.newest)
        if phases := data.get("phases"):
            self.query = self.query.where(t.migration.c.phase.in_(phases))

    def after(self, last: str | None, limit: int) -> list[Row]:
        found: list[Row] = []
        while len(found) < limit:
            rows = self._rows(last, limit)
            heads = [_head(row) for row in rows]
            found += [head for head in heads if self.labels.items() <= head["labels"].items() and self.sees(head)]
            if len(rows) < limit:
                break
            last = rows[-1]["id"]
        return found[:limit]

    def _rows(self, last: str | None, limit: int) -> list[Any]:
        c, query = t.migration.c, self.query.limit(limit)
        with self.engine.connect() as connection:
            if last is not None:
                created = connection.execute(select(c.created).where(c.id == last)).scalar()
                if created is None:
                    return _gone(last == self.begin)
                here, there = tuple_(c.created, c.id), tuple_(created, last)
                query = query.where(here < there if self.newest else here > there)
            return list(connection.execute(query).mappings())

    def cursor(self, row: Row) -> str:
        return str(row["id"])


class _Steps:
    """The steps of one migration, in order."""

    called = "steps"

    def __init__(self, engine: Engine, data: Row) -> None:
        self.engine, self.migration, self.begin = engine, data["migration"], data.get("after")
        self.query = _steps(data)

    def after(self, last: str | None, limit: int) -> list[Row]:
        c, query, now = t.step.c, self.query.limit(limit), time.time()
        with self.engine.connect() as connection:
            if last is not None:
                order = connection.execute(select(c.order).where(c.migration == self.migration, c.key == last)).scalar()
                if order is None:
                    return _gone(last == self.begin)
                query = query.where(tuple_(c.order, c.key) > tuple_(order, last))
            return [_step(dict(row), now) for row in connection.execute(query).mappings()]

    def cursor(self, row: Row) -> str:
        return str(row["key"])


def _gone(is_asked: bool) -> list[Any]:
    """What follows a row that is gone: nothing, if it was forgotten amid the answer; else the question is wrong."""
    if is_asked:
        raise InvalidMessage("invalid", {"after": "nothing is there by this name (any more): begin anew"})
    return []


def _heads(newest: bool = False) -> Any:
    order = [column.desc() if newest else column for column in (t.migration.c.created, t.migration.c.id)]
    return select(t.migration).where(t.migration.c.phase != FORGOTTEN).order_by(*order)


def _head(row: Any) -> dict[str, Any]:
    request = row["request"] or {}
    return {
        "id": row["id"],
        "name": request.get("name"),
        "labels": request.get("labels") or {},
        "phase": row["phase"],
        "mode": row["mode"],
        "paused": row["paused"],
        "reason": row["reason"],
        "totals": row["counts"],
        "source": request.get("source"),
        "destination": request.get("destination"),
        "created": row["created"],
        "changed": row["changed"],
    }


def _stays_behind(connection: Connection, migration: str) -> list[dict[str, Any]]:
    """What of the source's project no document describes, as its export said."""
    c = t.step.c
    results = connection.execute(select(c.results).where(c.migration == migration, c.key == "export")).scalar()
    return list((results or {}).get("stays_behind") or ())


def _missing_hosts(connection: Connection, head: dict[str, Any]) -> str | None:
    """Where no conversion host answers that a plan would need; a step of a run says itself what it waits for."""
    c = t.step.c
    if head["mode"] != "plan":
        return None
    compared = select(c.key).where(c.migration == head["id"], c.action == "compare", c.outcome == "created")
    copied = connection.execute(compared.where(cast(c.hints, String).contains('"copies": true')).limit(1)).first()
    return presence.missing(connection, time.time(), head["source"], head["destination"]) if copied else None


def _by_kind(connection: Connection, migration: str) -> list[dict[str, Any]]:
    """How many steps of each kind ended how, and the seconds of work in them."""
    c = t.step.c
    query = (
        select(
            c.kind,
            c.action,
            c.state,
            c.outcome,
            func.count().label("count"),
            func.sum(c.seconds).label("seconds"),
        )
        .where(c.migration == migration, c.kind != "")
        .group_by(c.kind, c.action, c.state, c.outcome)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _steps(data: Row) -> Any:
    wanted = ("key", "action", "kind", "name", "state", "attempt", "outcome", "source_id", "destination_id",
              "reason", "notes", "changes", "seconds", "done", "total", "group", "results", "hints")  # fmt: skip
    query, c = select(*(t.step.c[name] for name in wanted)), t.step.c
    if data.get("documents"):
        query = query.add_columns(t.document.c.content.label("document")).outerjoin_from(
            t.step,
            t.document,
            (t.document.c.migration == c.migration) & (t.document.c.key == c.key),
        )
    query = query.where(c.migration == data["migration"])
    for column, few in ((c.state, data.get("states")), (c.kind, data.get("kinds"))):
        query = query.where(column.in_(few)) if few else query
    return query.order_by(c.order, c.key)


#: what of a step's hints people are told
TOLD = ("length", "pass", "failing", "first_asked")


def _step(row: dict[str, Any], now: float) -> dict[str, Any]:
    """A step as it's answered; with how fast it moves bytes, while it does."""
    hints = row.pop("hints")
    if row["action"] == "export":
        row["results"] = {}  # what stays behind is told with the migration
    rate = meter.told(hints.get("meter"), now) if row["state"] == "asked" else None
    return {**row, **{name: hints[name] for name in TOLD if name in hints}, **({} if rate is None else {"rate": rate})}
