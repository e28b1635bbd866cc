"""What people and programs ask about migrations; read only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, func, select
from stackferry.pages import pages
from stackferry.progress import meter

from .hosts import presence
from .plan.ledger import COPIES
from .storage import tables as t
from .storage.retention import FORGOTTEN

PAGE_BYTES = 400_000  # of one answer; a message may have 1 MiB


def describe(engine: Engine, data: dict[str, Any], sees: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    """Yield the parts of the answer to DescribeMigrations: {migrations}, or {migration, steps}.

    *sees*: whether who asks may know of a migration. Nothing is told of any other.
    """
    with engine.connect() as connection:
        if not data.get("migration"):
            every = map(_head, connection.execute(_heads()).mappings())
            yield from ({"migrations": page} for page in _whole(filter(sees, every)))
            return
        row = connection.execute(_heads().where(t.migration.c.id == data["migration"])).mappings().one_or_none()
        if row is None or not sees(_head(row)):
            return
        if not data.get("steps", True):
            yield {"migration": _head(row)}
            return
        head = _head(row) | {"kinds": _by_kind(connection, data["migration"])}
        told = {
            "stays_behind": _stays_behind(connection, data["migration"]),
            "missing_hosts": _missing_hosts(connection, head),
        }
        for page in _whole(_steps(connection, data)):
            yield {"migration": {**head, **told}, "steps": page}
            told = {}  # once is enough


def _whole(rows: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Pages of an answer: at least one, since somebody waits for it."""
    return list(pages(rows, PAGE_BYTES)) or [[]]


def _heads() -> Any:
    return select(t.migration).where(t.migration.c.phase != FORGOTTEN).order_by(t.migration.c.created)


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
    results = connection.execute(select(c.results).where(c.migration == migration, c.action == "export")).scalar()
    return list((results or {}).get("stays_behind") or ())


def _missing_hosts(connection: Connection, head: dict[str, Any]) -> str | None:
    """Where no conversion host answers that a plan would need; a step of a run says itself what it waits for."""
    c = t.step.c
    compared = select(c.hints).where(c.migration == head["id"], c.action == "compare", c.outcome == "created")
    copied = head["mode"] == "plan" and any(hints.get(COPIES) for hints in connection.execute(compared).scalars())
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


def _steps(connection: Connection, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    wanted = ("key", "action", "kind", "name", "state", "attempt", "outcome", "source_id", "destination_id",
              "reason", "notes", "changes", "seconds", "done", "total", "group", "results", "hints")  # fmt: skip
    columns = [t.step.c[name] for name in wanted]
    query = select(*columns)
    if data.get("documents"):
        query = query.add_columns(t.document.c.content.label("document")).outerjoin_from(
            t.step,
            t.document,
            (t.document.c.migration == t.step.c.migration) & (t.document.c.key == t.step.c.key),
        )
    query = query.where(t.step.c.migration == data["migration"]).order_by(t.step.c.order)
    now = time.time()
    for row in connection.execute(query).mappings():
        yield _step(dict(row), now)


#: what of a step's hints people are told
TOLD = ("length", "pass", "failing", "first_asked")


def _step(row: dict[str, Any], now: float) -> dict[str, Any]:
    """A step as it's answered; with how fast it moves bytes, while it does."""
    hints = row.pop("hints")
    if row["action"] == "export":
        row["results"] = {}  # what stays behind is told with the migration
    rate = meter.told(hints.get("meter"), now) if row["state"] == "asked" else None
    return {**row, **{name: hints[name] for name in TOLD if name in hints}, **({} if rate is None else {"rate": rate})}
