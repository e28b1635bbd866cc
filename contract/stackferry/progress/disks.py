"""A volume on its way: its segments, and what of them is copied and verified."""

from __future__ import annotations

from typing import Any

from ..step_key import WARM, read
from .meter import Meter, steady
from .standing import Amount
from .words import SILENT

GIB = 1 << 30
#: warm steps that a pass begins with, in any order
BEGINNINGS = ("warm-expose", "warm-attach-source", "warm-attach-destination")
UNTOLD = -1  # how far a try is of which nothing was heard yet


class Known:
    """A step, as far as is known."""

    __slots__ = ("about", "attempt", "done", "key", "length", "name", "rate", "reason", "results", "spared", "state",
                 "subject", "takes_back", "turn", "warm")  # fmt: skip

    def __init__(self, row: dict[str, Any]) -> None:
        self.key: str = row["key"]
        self.about = read(self.key)
        self.subject, self.name, self.warm = self.about.subject, self.about.task, self.about.is_warm
        self.takes_back = self.about.takes_away
        self.state: str = row["state"]
        self.attempt: int = row.get("attempt") or 0
        self.reason: str | None = row.get("reason") if self.state == "resting" else None
        self.length: int = row.get("length") or row.get("total") or 0
        self.done: int = row.get("done") or 0
        self.turn: int = row.get("pass") or 1
        self.rate: float = row.get("rate") or 0.0
        self.spared = bool(self.about.number) and row.get("outcome") == "unchanged"
        self.results: dict[str, Any] = row.get("results") or {}
        if self.state == "done":
            self.finish()
        elif self.state != "asked":
            self.done = 0
        elif not self.done:
            self.done = UNTOLD

    @property
    def active(self) -> bool:
        """Whether somebody works on it, or will soon."""
        return self.state in ("asked", "resting")

    def begins(self, attempt: int) -> bool:
        """Whether this is news of another try; then it's the one that counts."""
        if attempt <= self.attempt:
            return False
        self.state, self.attempt, self.done = "asked", attempt, UNTOLD
        return True

    def rest(self, reason: str | None) -> None:
        """There'll be another try."""
        self.state, self.reason = "resting", reason

    def moved_to(self, done: int, total: int | None) -> int:
        """Note how far it is; return the bytes since the last word. The first one tells what was there already."""
        before, self.done = self.done, done
        self.length = self.length or total or 0
        return max(done - before, 0) if before >= 0 else 0

    def finish(self) -> int:
        """It's done; return the bytes since the last word."""
        before, self.state, self.reason = self.done, "done", None
        self.length = self.length or max(before, 0)
        self.done = self.length
        return self.done - before if before >= 0 else 0

    def spare(self) -> None:
        """Nothing had to be done for it."""
        self.state, self.spared = "done", True


class Disk:
    """One volume of a workload."""

    def __init__(self, key: str, name: str, meter: Meter | None, now: float) -> None:
        self.key, self.name, self.meter = key, name, meter or Meter(now, now)
        self._seen = meter is not None
        self.steps: list[Known] = []
        self.segments: dict[str, list[Known]] = {"copy": [], "verify": [], "warm-copy": []}
        self.said = ""  # its phase, when it was last asked for
        self.passes = 0  # warm ones, as far as they have begun
        self.size = 0

    def add(self, step: Known, now: float) -> None:
        """Add one of its steps, as it was read."""
        self.steps.append(step)
        if step.name in self.segments:
            self.segments[step.name].append(step)
        if step.warm and step.attempt:
            self.passes = max(self.passes, step.turn)
        self.learn(step.name, step.results)
        if step.rate and not self._seen:
            self.meter = steady(self.meter.rate(now) + step.rate, now)

    def learn(self, name: str, results: dict[str, Any]) -> None:
        """Take in what a step has found: the size of a boot disk that was no volume."""
        if name.removeprefix(WARM) == "expose" and results.get("size"):
            self.size = int(results["size"]) * GIB

    def moved(self, many: int, now: float) -> None:
        """So many bytes more are done."""
        self.meter = self.meter.add(many, now)

    def begin_pass(self, step: Known) -> None:
        """A warm step has begun; one that had been done before begins another pass."""
        self.passes = max(self.passes, 1)
        if step.name in BEGINNINGS and step.attempt > 1 and self._pass_over():
            self.passes += 1
            for other in self.steps:
                if other.warm and other is not step:
                    other.state, other.done = "waiting", 0

    @property
    def between_passes(self) -> bool:
        """Whether all that a warm pass does is done, and the last one hasn't come."""
        warm = [step for step in self.steps if step.warm and step.name.removeprefix(WARM) not in SILENT]
        return self._pass_over() and all(step.state == "done" for step in warm) and not self._final

    def _pass_over(self) -> bool:
        return bool(self.segments["warm-copy"]) and all(s.state == "done" for s in self.segments["warm-copy"])

    @property
    def warm(self) -> bool:
        """Whether its first passes are made while its server runs."""
        return bool(self.segments["warm-copy"])

    @property
    def _final(self) -> bool:
        """Whether the last pass has come, or is the only one."""
        return not self.warm or any(step.state != "waiting" for step in self.segments["copy"])

    @property
    def turn(self) -> int:
        """Number of the pass that is under way."""
        return self.passes + 1 if self._final else max(self.passes, 1)

    def copied(self) -> Amount:
        """What of the pass that is under way is copied."""
        return self._amount(self.segments["copy" if self._final else "warm-copy"])

    def verified(self) -> Amount:
        """What is verified."""
        return self._amount(self.segments["verify"])

    def _amount(self, steps: list[Known]) -> Amount:
        wanted = [step for step in steps if not step.spared]
        total = sum(step.length for step in wanted) or (self.size if wanted else 0)
        return Amount(min(sum(max(step.done, 0) for step in wanted), total), total)
