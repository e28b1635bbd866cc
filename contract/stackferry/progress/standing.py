"""What is said of a server, a volume, or a migration as a whole: phase in people's words, bytes, rate, time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .words import WAITING

#: phases of what is over
OVER = ("done", "failed", "skipped", "taken back")
#: phases of what isn't under way
IDLE = (*OVER, *WAITING)


@dataclass(frozen=True, slots=True)
class Amount:
    """So many bytes of so many. What is skipped, the same or zero counts as done."""

    done: int = 0
    total: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.done + other.done, self.total + other.total)

    @property
    def left(self) -> int:
        """What is still to do."""
        return max(self.total - self.done, 0)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where something is. ``copied`` is about the pass that is under way (``turn``, from 1); verifying has its own."""

    key: str
    kind: str
    name: str
    phase: str
    reason: str | None = None
    turn: int = 1
    warm: bool = False
    copied: Amount = Amount()
    verified: Amount = Amount()
    rate: float = 0.0  # bytes a second
    disks: tuple[Standing, ...] = ()
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float | None:
        """How many seconds it takes until all of it is copied and verified; None when nobody knows."""
        todo = self.copied.left + self.verified.left
        return todo / self.rate if todo and self.rate >= 1 and self.phase not in OVER else None

    @property
    def active(self) -> bool:
        """Whether something is done with it right now."""
        return self.phase not in IDLE

    @property
    def amount(self) -> Amount:
        """The bytes of the phase that it's in."""
        return self.verified if self.phase == "verifying" else self.copied

    @property
    def says(self) -> str:
        """Its phase, with what people want to know of it."""
        if self.phase == "copying" and (self.warm or self.turn > 1):
            return f"copying pass {self.turn}"
        return f"{self.phase}: {self.reason}" if self.reason else self.phase

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        found = {
            "key": self.key, "kind": self.kind, "name": self.name, "phase": self.phase, "reason": self.reason,
            "pass": self.turn, "bytes": self.copied.done, "bytes_total": self.copied.total,
            "bytes_verified": self.verified.done, "bytes_to_verify": self.verified.total, "rate": round(self.rate),
            "seconds_left": None if self.left is None else round(self.left),
        }  # fmt: skip
        return {**found, "disks": [disk.as_dict() for disk in self.disks]} if self.disks else found


def together(standings: Iterable[Standing]) -> tuple[Standing, Counter[str]]:
    """Return all of them as one, and how many are in which phase."""
    copied, verified, rate, phases = Amount(), Amount(), 0.0, Counter[str]()
    for one in standings:
        copied, verified, rate = copied + one.copied, verified + one.verified, rate + one.rate
        phases[one.phase] += 1
    active = any(phase not in OVER for phase in phases)
    whole = Standing("", "migration", "", "running" if active else "done", copied=copied, verified=verified, rate=rate)
    return whole, phases
