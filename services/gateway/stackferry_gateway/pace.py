"""How fast migrations move bytes, as far as this gateway hears of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

BUCKET = 5.0  # seconds that are counted as one
KEPT = 240  # of these that a migration's pace is remembered for


class Pace:
    """How many bytes of each migration were copied and verified lately, as this gateway heard. For several threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock, self._lock = clock, threading.Lock()
        self._done: dict[str, dict[str, int]] = {}  # migration → step → bytes of its try
        self._buckets: dict[str, deque[tuple[int, int]]] = {}  # migration → (number of the bucket, bytes)

    def heard(self, name: str, data: dict[str, Any]) -> None:
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
