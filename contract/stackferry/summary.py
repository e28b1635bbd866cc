"""What became of a migration, in short: a table of kinds, what needs attention, what became of which id. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .resources import order

Row = dict[str, Any]
#: how a resource may end; and the seconds of work in it
ENDS = ("created", "updated", "unchanged", "removed", "restored", "failed", "skipped")
COLUMNS = ("kind", *ENDS, "seconds")


def by_kind(steps: Iterable[Row]) -> list[Row]:
    """Return one row a kind, in the order of the kinds, and a row for all.

    *steps*: each, or so many that are alike (``count``), as a migration's ``kinds`` has them.
    """
    rows: dict[str, Row] = {kind: dict.fromkeys(ENDS, 0) | {"kind": kind, "seconds": 0.0} for kind in order()}
    for step in steps:
        many = step.get("count", 1)
        if step["action"] not in ("ensure", "compare") or step["kind"] not in rows:
            if step["action"] in ("finish", "transfer") and step["state"] == "failed":
                rows[step["kind"]]["failed"] += many
            continue
        row = rows[step["kind"]]
        column = step["outcome"] if step["state"] == "done" else step["state"]
        row["seconds"] += step["seconds"] or 0
        if column in row:
            row[column] += many
    used = [row for row in rows.values() if any(row[end] for end in ENDS)]
    total = {"kind": "all", **{column: sum(row[column] for row in used) for column in COLUMNS[1:]}}
    return [*used, total]


def failures(steps: Iterable[Row]) -> list[Row]:
    """Return the steps that didn't succeed, each with its reason; of a server, only the server itself."""
    bad = [s for s in steps if s["state"] in ("failed", "skipped") and s["kind"]]
    return [s for s in bad if s.get("group", "") in ("", s["key"])]


def attention(migration: Row) -> list[Row]:
    """Return the steps that somebody must look at: none of a migration that was undone, as was asked."""
    return [] if migration["phase"] == "undone" else failures(migration["steps"])


def id_map(steps: Iterable[Row]) -> Iterator[Row]:
    """Yield what became of each id of the source: {kind, name, source_id, destination_id}."""
    for step in steps:
        if step["action"] == "ensure" and step["state"] == "done" and step["source_id"] and step["destination_id"]:
            yield {name: step[name] for name in ("kind", "name", "source_id", "destination_id")}
