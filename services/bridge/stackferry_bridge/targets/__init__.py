"""Where events are carried to: one module for each system, with that system's own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ..events import Event, Place


class Away(Exception):
    """The target takes nothing now. ``seconds``: until it's tried again."""

    def __init__(self, why: str, seconds: float = 5.0) -> None:
        super().__init__(why)
        self.seconds = seconds


class Target(Protocol):
    """What events are carried to, in order. One thread uses it."""

    name: str
    is_exact: bool  # whether its position is the last event that it has; else it may have some after it

    def position(self) -> Place | None:
        """The last event that it surely has; None when it can't say. Raises Away."""

    def send(self, events: list[Event]) -> Iterator[Place]:
        """Give it some events; yield each place up to which it has all, once that's certain. Raises Away."""
        yield from ()

    def close(self) -> None:
        """Leave it."""
