"""What of a project stays behind: each object once, by type and reason, in a list that fits a message. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from stackferry.resources.staying import Staying
from stackferry.selection import filter_of, keeps, selects_kind

Entry = dict[str, Any]
#: names of one entry that are told; the others are counted
NAMES = 20
NAME_LENGTH = 120
REASON_LENGTH = 500
#: bytes of JSON that all entries may have together; a message may have 1 MiB
MOST_BYTES = 150_000


def gathered(found: Iterable[Staying], selection: Mapping[str, Any] | None = None) -> list[Entry]:
    """Return entries {type, number, names, reason}; of kinds that are selected, in the order in which they were found.

    ``number`` is null where nobody knows it. What doesn't fit is counted in a last entry.
    """
    groups: dict[tuple[str, str], dict[str | None, str]] = {}
    for one in found:
        if _wanted(one, selection):
            groups.setdefault((one.type, one.reason), {})[one.id] = one.name or one.id or ""
    return _bounded([_entry(*about, named) for about, named in groups.items()])


def _wanted(one: Staying, selection: Mapping[str, Any] | None) -> bool:
    if one.kind is None:
        return True  # whoever looked for it knows whether it was asked for
    return selects_kind(selection, one.kind) and keeps(filter_of(selection, one.kind), one.name)


def _entry(type_: str, reason: str, named: dict[str | None, str]) -> Entry:
    known = [name[:NAME_LENGTH] for id_, name in named.items() if id_ is not None]
    return {"type": type_, "number": len(known) or None, "names": known[:NAMES], "reason": reason[:REASON_LENGTH]}


def _bounded(entries: list[Entry]) -> list[Entry]:
    size = 0
    for place, entry in enumerate(entries):
        size += len(json.dumps(entry))
        if size > MOST_BYTES:
            left = sum(other["number"] or 0 for other in entries[place:])
            more: Entry = {
                "type": "other object",
                "number": left,
                "names": [],
                "reason": "there are too many to name them",
            }
            return [*entries[:place], more]
    return entries
