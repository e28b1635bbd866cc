"""Keeps all connections of a process together below so many bytes a second: a token bucket that may go into debt."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

BURST = 0.25  # seconds' worth of bytes that may go at once after a pause


class Pace:
    """Bytes a second for everybody who shares this object; None is no limit. ``rate`` may be changed at any time.

    Who takes bytes takes them at once and waits until they are paid for. So a block larger than the bucket passes
    too, and connections are served in the order in which they asked.
    """

    def __init__(self, rate: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock, self._lock = _checked(rate), clock, threading.Lock()
        self._balance, self._at = 0.0, clock()

    @property
    def rate(self) -> float | None:
        """Bytes a second."""
        return self._rate

    @rate.setter
    def rate(self, rate: float | None) -> None:
        with self._lock:
            self._earn()
            self._rate = _checked(rate)
            self._balance = 0.0  # a debt at the old rate would be paid at the new one

    def reserve(self, size: int) -> float:
        """Take *size* bytes; return the seconds until they may go."""
        with self._lock:
            if self._rate is None:
                return 0.0
            self._earn()
            self._balance -= size
            return max(0.0, -self._balance / self._rate)

    def wait(self, size: int, stop: threading.Event) -> None:
        """Return when *size* bytes may go, or when *stop* is set."""
        if delay := self.reserve(size):
            stop.wait(delay)

    def _earn(self) -> None:
        now = self._clock()
        if self._rate is not None:
            self._balance = min(self._rate * BURST, self._balance + (now - self._at) * self._rate)
        self._at = now


def _checked(rate: float | None) -> float | None:
    if rate is not None and rate <= 0:
        raise ValueError(f"{rate} bytes a second would never end")
    return rate
