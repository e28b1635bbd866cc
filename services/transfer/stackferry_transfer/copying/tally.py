"""Counts what a pull does, over all its connections, and tells how far it is."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

REPAIRS_NAMED = 1000  # of the repaired blocks, so many are named; all are counted

Progress = Callable[[int, int], None]
"""Called with the blocks and bytes of the volume that are done, skipped ones too; one call at a time."""


@dataclass(frozen=True)
class Repair:
    """A block that ``verify`` wrote anew, and who had left the journal's word: neither, when it knew nothing."""

    block: int
    destination_differed: bool
    source_changed: bool


@dataclass(frozen=True)
class Pulled:
    """What a pull did. ``complete`` is False when it was stopped.

    ``blocks`` of the range are either ``skipped`` (journaled before), or were answered: ``same`` + ``zero`` + ``raw`` +
    ``zstd``, which stand for ``volume_bytes``; ``written`` bytes of these were put on the device, zeros that had to be
    cleared too. ``wire_received`` and ``wire_sent`` are bytes without TLS, which adds
    some 0.2 %. ``repaired`` blocks were unlike the source in a verify; of these ``destination_differed`` from the
    journal, ``source_changed`` since the journal, or both. ``resent`` is how often a block had to be asked for again.
    """

    blocks: int
    complete: bool
    seconds: float
    skipped: int = 0
    same: int = 0
    zero: int = 0
    raw: int = 0
    zstd: int = 0
    volume_bytes: int = 0
    written: int = 0
    wire_received: int = 0
    wire_sent: int = 0
    repaired: int = 0
    destination_differed: int = 0
    source_changed: int = 0
    resent: int = 0
    repairs: tuple[Repair, ...] = ()


class Tally:
    """The counts so far; threads share it."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._lock, self._began = progress, threading.Lock(), time.monotonic()
        self._counts: Counter[str] = Counter()
        self._repairs: list[Repair] = []
        self._blocks = self._bytes = 0

    def add(self, name: str, number: int = 1) -> None:
        """Count something that is no progress."""
        with self._lock:
            self._counts[name] += number

    def done(self, answer: str, blocks: int, size: int) -> None:
        """Count blocks of together *size* bytes that are done."""
        with self._lock:
            self._counts[answer] += blocks
            if answer != "skipped":
                self._counts["volume_bytes"] += size
            self._blocks, self._bytes = self._blocks + blocks, self._bytes + size
            self._progress(self._blocks, self._bytes)

    def repaired(self, repair: Repair) -> None:
        """Count a block that a verify wrote anew."""
        with self._lock:
            self._counts["repaired"] += 1
            self._counts["destination_differed"] += repair.destination_differed
            self._counts["source_changed"] += repair.source_changed
            if len(self._repairs) < REPAIRS_NAMED:
                self._repairs.append(repair)

    def pulled(self, blocks: int, complete: bool) -> Pulled:
        """The result."""
        seconds = round(time.monotonic() - self._began, 3)
        with self._lock:
            return Pulled(blocks, complete, seconds, **self._counts, repairs=tuple(self._repairs))
