"""Plain lines about a migration that is under way, for pipes and logs."""

from __future__ import annotations

from typing import Any

from stackferry.envelope import Envelope
from stackferry.messages import GOOD, MigrationChanged, StepEnded
from stackferry.progress import Progress, Standing

from . import words
from .output import console

AGAIN = 10.0  # seconds between two lines about the same copy
SILENT = ("done", "differs")  # what says nothing to people: the step goes on
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


def told(fact: Envelope) -> str:
    """What a fact says in a line; nothing for what is told otherwise."""
    data = fact.data
    if fact.type == StepEnded.type:
        only_looked = data["outcome"] in GOOD and data["step"].endswith("/check")
        return "" if only_looked or data["outcome"] in SILENT else _step(data)
    if fact.type == MigrationChanged.type:
        text = f"{data['phase']}{' (paused)' if data.get('paused') else ''}"
        return f"{text}: {data['reason']}" if data.get("reason") else text
    return ""


def _step(data: dict[str, Any]) -> str:
    what = f"{(data.get('kind') or '').replace('_', ' ')} {data.get('name') or ''}".strip()
    text = f"{data['outcome']:11} {what or data['step']}"
    seconds = f" ({data['seconds']:.1f} s)" if data.get("seconds") else ""
    return f"{text}{seconds}" + (f": {data['reason']}" if data.get("reason") else "")
