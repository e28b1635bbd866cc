"""Ids of the source in documents (``_info.id``): steps are named by them, so not every text may be one."""

from __future__ import annotations

from typing import Any

LONGEST = 255  # characters, as OpenStack's APIs have it


def fault(id_: Any) -> str | None:
    """Why this can't be an id; None when it can, or when there's none."""
    if id_ is None:
        return None
    if not isinstance(id_, str):
        return "is not a text"
    if not 0 < len(id_) <= LONGEST:
        return f"has {len(id_)} characters; an id has 1 to {LONGEST}"
    if "/" in id_ or not id_.isprintable():
        return "holds a slash, or a character that can't be printed: give it another one, or leave it out"
    return None
