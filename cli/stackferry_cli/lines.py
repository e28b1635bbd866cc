"""Plain lines about a migration that is under way, for pipes and logs."""

from __future__ import annotations

from stackferry.envelope import Envelope
from stackferry.progress import Progress, Standing
from stackferry.wording import words
from stackferry.wording.telling import told

from .output import console

AGAIN = 10.0  # seconds between two lines about the same copy
MOVING = ("copying", "verifying")


class Lines:
    """Says each thing once, and every now and then how far the copies are."""

    def __init__(self) -> None:
        self._phases: dict[str, str] = {}
        self._told: dict[str, float] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def fact(self, fact: Envelope) -> None:
        """Say what happened."""
        if text := told(fact):
            console.print(text)

    def show(self, progress: Progress, now: float) -> None:
        """Say which workloads are in another phase now, and how far the copies are."""
        standings = progress.standings(now)
        for one in standings:
            if one.says != self._phases.get(one.key, "waiting"):
                console.print(f"{words.title(one)}: {one.says}")
            self._phases[one.key] = one.says
        moving = [(one, disk) for one in standings if one.active for disk in one.disks if disk.phase in MOVING]
        for one, disk in moving:
            self._copy(one, disk, now)
        if len(moving) > 1 and self._due("", now):
            console.print(whole(progress, now))

    def _copy(self, one: Standing, disk: Standing, now: float) -> None:
        if disk.amount.done and self._due(disk.key, now):
            name = words.title(one) if one.key == disk.key else f"{words.title(one)}, {words.title(disk)}"
            console.print(f"{name}: {disk.says} {words.moving(disk)}")

    def _due(self, key: str, now: float) -> bool:
        if now - self._told.get(key, -AGAIN) < AGAIN:
            return False
        self._told[key] = now
        return True


def whole(progress: Progress, now: float) -> str:
    """All workloads in one line."""
    total, phases = progress.total(now)
    counts = ", ".join(f"{many} {phase}" for phase, many in sorted(phases.items(), key=lambda p: (-p[1], p[0])))
    return f"servers and volumes: {counts}; {words.moving(total)}".rstrip("; ")
