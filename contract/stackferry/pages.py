"""Many rows in lists that fit a message each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any


def pages(
    rows: Iterable[dict[str, Any]], most_bytes: int, most_rows: int | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Yield *rows* in order, in lists of so many bytes of JSON and so many rows at most; a larger row goes alone."""
    page: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        cost = len(json.dumps(row, ensure_ascii=False, default=str).encode())
        if page and (size + cost > most_bytes or len(page) == most_rows):
            yield page
            page, size = [], 0
        page.append(row)
        size += cost
    if page:
        yield page
