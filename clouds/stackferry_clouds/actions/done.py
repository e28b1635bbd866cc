"""What an action gives back, and waiting for a cloud to finish what it has begun."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stackferry.errors import Unfinished
from stackferry.resources.view import Record

PATIENCE = 25.0  # seconds that one try waits


@dataclass(frozen=True)
class Done:
    """It's done: what later steps need to know, and what people should."""

    results: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def until(look: Callable[[], Record | None], good: Callable[[Record | None], bool], what: str) -> Record | None:
    """Return what *look* finds once it's *good*; raise Unfinished when that takes long."""
    end, pause = time.monotonic() + PATIENCE, 0.2
    while True:
        found = look()
        if good(found):
            return found
        if time.monotonic() > end:
            raise Unfinished(f"{what} ({(found or {}).get('status')})")
        time.sleep(pause)
        pause = min(pause * 1.3, 3.0)
