"""Where the servers and volumes of migrations are, kept up to date by what is told of them.

To read all steps of a migration is dear, so it's done once: when somebody first looks, and whenever it has entered
another phase, which may bring steps that weren't there.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stackferry.progress import Progress, Standing

Row = dict[str, Any]
Load = Callable[[], list[Row]]
MOST = 30  # migrations that are kept; of the others, those that were looked at longest ago go
UNSEEN = 600.0  # seconds after which nobody looks at it any more
BUCKET = 5.0  # seconds that are counted as one
KEPT = 240  # of these that a migration's pace is remembered for


@dataclass
class _Known:
    """A migration that somebody looks at. ``progress`` None: its steps are to be read (again)."""

    seen: float
    progress: Progress | None = None
    missed: list[tuple[str, Row]] = field(default_factory=list)  # what is told while they're read
    reading: threading.Lock = field(default_factory=threading.Lock)
    phases: int = 0  # how often it has entered another one


class Standings:
    """Of the migrations that people look at. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def heard(self, name: str, data: Row) -> None:
        """Something is told."""
        migration = str(data.get("migration") or "")
        with self._lock:
            known = self._known.get(migration)
            if known is None:
                return
            if time.monotonic() - known.seen > UNSEEN:
                del self._known[migration]
            elif name == "migration-changed" and data.get("phase") != data.get("was"):
                known.progress, known.missed, known.phases = None, [(name, data)], known.phases + 1
            elif known.progress is None:
                known.missed.append((name, data))
            else:
                known.progress.take(name, data, time.monotonic())

    def of(self, migration: str, load: Load) -> tuple[list[Standing], Standing, Counter[str]]:
        """Return each workload, all of them as one, and how many are in which phase. *load* reads all steps."""
        with self._lock:
            known = self._known.setdefault(migration, _Known(time.monotonic()))
            known.seen = time.monotonic()
            self._known.move_to_end(migration)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        while True:
            with self._lock:
                if known.progress is not None:
                    now = time.monotonic()
                    return known.progress.standings(now), *known.progress.total(now)
            with known.reading:
                if known.progress is None:
                    self._read(known, load)

    def _read(self, known: _Known, load: Load) -> None:
        with self._lock:
            known.missed, phases = [], known.phases  # what was told before is in what is read now
        rows, progress = load(), Progress()
        with self._lock:
            if known.phases != phases:
                return  # there may be steps by now that weren't read
            progress.load(rows, time.monotonic())
            for name, data in known.missed:
                progress.take(name, data, time.monotonic())
            known.progress, known.missed = progress, []


class Pace:
    """How many bytes of each migration were copied and verified lately, as this gateway heard. For several threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock, self._lock = clock, threading.Lock()
        self._done: dict[str, dict[str, int]] = {}  # migration → step → bytes of its try
        self._buckets: dict[str, deque[tuple[int, int]]] = {}  # migration → (number of the bucket, bytes)

    def heard(self, name: str, data: Row) -> None:
        """Something is told."""
        if name == "step-progressed" and data.get("unit", "bytes") == "bytes":
            migration, step, done = str(data["migration"]), str(data["step"]), int(data["done"])
            with self._lock:
                before = self._done.setdefault(migration, {}).get(step, done)  # the first word says only where it is
                self._done[migration][step] = done
                self._add(migration, max(0, done - before))
        elif name in ("step-ended", "migration-changed"):
            with self._lock:
                if name == "step-ended":
                    self._done.get(str(data["migration"]), {}).pop(str(data["step"]), None)
                self._drop_old()

    def _add(self, migration: str, many: int) -> None:
        now = int(self.clock() // BUCKET)
        buckets = self._buckets.setdefault(migration, deque(maxlen=KEPT))
        if buckets and buckets[-1][0] == now:
            many += buckets.pop()[1]
        buckets.append((now, many))

    def _drop_old(self) -> None:
        oldest = int(self.clock() // BUCKET) - KEPT
        for migration in [one for one, buckets in self._buckets.items() if buckets[-1][0] < oldest]:
            del self._buckets[migration]
            self._done.pop(migration, None)

    def of(self, migration: str) -> list[float]:
        """Return bytes a second, one value each five seconds, the latest last; empty when nothing was heard."""
        with self._lock:
            buckets = dict(self._buckets.get(migration, ()))
        now = int(self.clock() // BUCKET)
        first = max(min(buckets, default=now), now - KEPT)
        return [buckets.get(number, 0) / BUCKET for number in range(first, now)]
