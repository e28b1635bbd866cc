"""What is this document's, and no namesake's: by its mark, by the id that we chose, or by its age. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .hints import Hints

Record = dict[str, Any]
#: key in the metadata of what is made for one document alone, and must not be taken for anything else
MARK = "stackferry"


def marked(record: Record, hints: Hints) -> bool:
    """Whether a resource carries the mark that was given to this document (``hints.marker``)."""
    return bool(hints.get("marker")) and (record.get("metadata") or {}).get(MARK) == hints["marker"]


def made_by_an_earlier_try(found: Record, hints: Hints) -> bool:
    """Whether an earlier try, whose answer was lost, made it: then undo must remove it.

    It's ours when it has the id that we chose, or our mark, or is younger than the first try. Clocks may differ, but
    only a namesake that somebody else made in the seconds between could be mistaken.
    """
    if found["id"] == hints.get("new_id"):
        return True
    if found["id"] == hints.get("destination_id"):
        return False
    if marked(found, hints):
        return True
    first_asked, created_at = hints.get("first_asked"), found.get("created_at")
    if first_asked is None or not created_at:
        return False
    return unix(created_at) >= int(first_asked)


def unix(created_at: Any) -> float:
    """Unix time in seconds of a resource's ``created_at``, which is UTC."""
    return datetime.fromisoformat(str(created_at)).replace(tzinfo=UTC).timestamp()
