"""Where the servers and volumes of migrations are, kept up to date by what is told of them.

To read all steps of a migration is dear, so it's done once: when somebody first looks, and whenever it has entered
another phase, which may bring steps that weren't there.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stackferry.progress import Progress, Standing

Row = dict[str, Any]
Load = Callable[[], list[Row]]
Found = tuple[list[Standing], Standing, Counter[str]]
FRESH = 0.5  # seconds in which it isn't worked out again
MOST = 30  # migrations that are kept; of the others, those that were looked at longest ago go
UNSEEN = 600.0  # seconds after which nobody looks at it any more


@dataclass
class _Known:
    """A migration that somebody looks at. ``progress`` None: its steps are to be read (again)."""

    seen: float
    progress: Progress | None = None
    is_reading: bool = False
    missed: list[tuple[str, Row]] = field(default_factory=list)  # what is told while they're read
    phases: int = 0  # how often it has entered another one
    told: tuple[float, Found] | None = None  # when it was last worked out, and what it was then
    lock: threading.Lock = field(default_factory=threading.Lock)
    reading: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, name: str, data: Row) -> None:
        """Take in what is told of it."""
        with self.lock:
            if name == "migration-changed" and data.get("phase") != data.get("was"):
                self.progress, self.told, self.missed, self.phases = None, None, [], self.phases + 1
            elif self.progress is not None:
                self.progress.take(name, data, time.monotonic())
            if self.is_reading:
                self.missed.append((name, data))

    def now(self) -> Found | None:
        """Where everything is; None when its steps are to be read first."""
        with self.lock:
            if self.progress is None:
                return None
            now = time.monotonic()
            if self.told is None or now - self.told[0] > FRESH:
                self.told = now, (self.progress.standings(now), *self.progress.total(now))
            return self.told[1]

    def read(self, load: Load) -> None:
        """Read its steps; what is told meanwhile counts, too."""
        with self.lock:
            self.is_reading, self.missed, phases = True, [], self.phases
        try:
            rows, progress = load(), Progress()
            with self.lock:
                if self.phases == phases:  # else there may be steps by now that weren't read
                    progress.load(rows, time.monotonic())
                    for name, data in self.missed:
                        progress.take(name, data, time.monotonic())
                    self.progress, self.told = progress, None
        finally:
            with self.lock:
                self.is_reading, self.missed = False, []


class Standings:
    """Of the migrations that people look at. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def heard(self, name: str, data: Row) -> None:
        """Something is told."""
        with self._lock:
            known = self._known.get(str(data.get("migration") or ""))
        if known is not None:
            known.hear(name, data)

    def peek(self, migration: str) -> Found | None:
        """The same as :meth:`of`, where it's at hand."""
        with self._lock:
            known = self._known.get(migration)
        return known.now() if known is not None else None

    def of(self, migration: str, load: Load) -> Found:
        """Return each workload, all of them as one, and how many are in which phase. *load* reads all steps."""
        now = time.monotonic()
        with self._lock:
            for gone in [one for one, known in self._known.items() if now - known.seen > UNSEEN]:
                del self._known[gone]
            known = self._known.setdefault(migration, _Known(now))
            known.seen = now
            self._known.move_to_end(migration)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        while (found := known.now()) is None:
            with known.reading:
                if known.now() is None:
                    known.read(load)
        return found
