"""What is known of one object of a project that doesn't cross."""

from __future__ import annotations

from typing import NamedTuple


class Staying(NamedTuple):
    """One object that stays. ``type`` is what people call it; ``kind`` is its kind, if there is one for it.

    Without an ``id`` it's about all objects of the type: nobody knows how many there are.
    """

    type: str
    id: str | None
    name: str | None
    reason: str
    kind: str | None = None
