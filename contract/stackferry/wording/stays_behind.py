"""What of a project doesn't cross, in lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TITLE = "stays behind"


def lines(entries: list[dict[str, Any]]) -> Iterator[str]:
    """A line a type and reason: ``2 load balancers: web, api: Stackferry does not move them``."""
    for entry in entries:
        number, names = entry.get("number"), entry.get("names") or []
        more = (number or 0) - len(names)
        named = ", ".join(names) + (f" and {more} more" if names and more > 0 else "")
        yield ": ".join(part for part in (_counted(entry["type"], number), named, entry["reason"]) if part)


def _counted(type_: str, number: int | None) -> str:
    if number is None:
        return type_
    if number == 1:
        return f"1 {type_}"
    return f"{number} {type_[:-1]}ies" if type_.endswith("y") else f"{number} {type_}s"
