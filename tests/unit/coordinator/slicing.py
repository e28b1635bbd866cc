"""How large the slices are in which a simulated migration is cancelled, retried, undone: by its seed, often tiny."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from stackferry_coordinator.rules import slices

SIZES = (500, 1, 2)


@contextmanager
def sliced(seed: int, is_played: bool = True) -> Iterator[None]:
    """*is_played*: by itself, and not by a test that says each word."""
    size = SIZES[seed // 3 % len(SIZES)] if is_played else SIZES[0]
    with mock.patch.object(slices, "PLAIN", size), mock.patch.object(slices, "GROUPS", size):
        yield
