"""How fast bytes move, smoothed over the last ten seconds or so."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

SMOOTHING = 10.0  # seconds after which what was moved counts for a third
SOON = 1.0  # seconds of which nothing can be said yet


@dataclass(frozen=True, slots=True)
class Meter:
    """What has passed since *since*; the longer ago, the less it counts (``weight`` is as of ``at``)."""

    since: float
    at: float
    weight: float = 0.0

    def add(self, many: float, now: float) -> Meter:
        """Return the meter after so many more."""
        return Meter(self.since, max(now, self.at), self._faded(now) + max(many, 0) / SMOOTHING)

    def rate(self, now: float) -> float:
        """How many a second."""
        lived = now - self.since
        return self._faded(now) / (1 - exp(-lived / SMOOTHING)) if lived >= SOON else 0.0

    def _faded(self, now: float) -> float:
        return self.weight * exp(-max(now - self.at, 0.0) / SMOOTHING)


def steady(rate: float, now: float) -> Meter:
    """Return the meter of what has passed at this rate for long."""
    return Meter(now - 100 * SMOOTHING, now, rate)


def noted(known: dict[str, float] | None, attempt: int, many: float, now: float) -> dict[str, float]:
    """Return what to keep of one try's meter, as plain data, after so many more; a new try begins a new one."""
    if not known or known["attempt"] != attempt:
        return {"attempt": attempt, "since": now, "at": now, "weight": 0.0}
    meter = Meter(known["since"], known["at"], known["weight"]).add(many, now)
    return {"attempt": attempt, "since": meter.since, "at": meter.at, "weight": meter.weight}


def told(known: dict[str, float] | None, now: float) -> float | None:
    """Return the rate of what :func:`noted` has kept; None when that's nothing."""
    return Meter(known["since"], known["at"], known["weight"]).rate(now) if known else None
