"""Progress bars of a migration that is under way, on a terminal: all of it, and what something is done with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from stackferry.envelope import Envelope
from stackferry.messages import GOOD, MigrationChanged, StepEnded
from stackferry.printable import printable
from stackferry.progress import Amount, Standing
from stackferry.progress import Progress as Standings
from stackferry.wording import words
from stackferry.wording.telling import told

from .lines import MOVING
from .output import console

OVER = ("done", "failed", "skipped", "removed")
AROUND = 8  # lines of a terminal that are left for other things
Row = tuple[str, str, Standing]


class Bars:
    """Bars that come and go with what they are about."""

    def __init__(self, state: dict[str, Any]) -> None:
        columns = [TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
                   TextColumn("{task.fields[says]}", markup=False), TimeElapsedColumn()]  # fmt: skip
        self._progress = Progress(*columns, console=console, transient=True)
        self._steps = self._progress.add_task(state["phase"], total=None, says="")
        self._bytes: TaskID | None = None
        self._rows: dict[str, TaskID] = {}
        self._bad: list[str] = []  # how many failed so far, and were skipped
        self._counted(state["totals"])

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def fact(self, fact: Envelope) -> None:
        """Count what is over; print what a bar doesn't show."""
        if fact.type == MigrationChanged.type:
            self._progress.update(self._steps, description=fact.data["phase"])
            self._counted(fact.data["totals"])
        elif fact.type == StepEnded.type and fact.data["outcome"] in GOOD:
            self._progress.update(self._steps, advance=1)
            self._say()
            return
        if text := told(fact):
            self._progress.console.print(text)

    def show(self, progress: Standings, now: float) -> None:
        """Show where the workloads are."""
        total, phases = progress.total(now)
        if total.copied.total:
            self._whole(total, f"{phases['done']} of {phases.total()} servers and volumes")
        found = list(rows(progress.standings(now)))
        room = max(console.size.height - AROUND, 3)
        shown = {key: (text, of) for key, text, of in found[:room]}
        for key in [key for key in self._rows if key not in shown]:
            self._progress.remove_task(self._rows.pop(key))
        for key, (text, of) in shown.items():
            if key not in self._rows:
                self._rows[key] = self._progress.add_task(printable(text), total=None, says="")
            self._update(self._rows[key], text, of.amount if of.phase in MOVING else Amount(), words.moving(of))
        more = len(found) - len(shown)
        self._say(f", {more} more under way" if more else "")

    def _whole(self, total: Standing, text: str) -> None:
        if self._bytes is None:
            self._bytes = self._progress.add_task(text, total=None, says="")
        self._update(self._bytes, text, total.copied + total.verified, words.moving(total))

    def _update(self, task: TaskID, text: str, amount: Amount, says: str) -> None:
        self._progress.update(
            task,
            description=printable(text),
            completed=amount.done,
            total=amount.total or None,
            says=says if amount.total else "",
        )

    def _counted(self, totals: dict[str, int]) -> None:
        over = sum(totals.get(state, 0) for state in OVER)
        self._bad = [f"{totals[state]} {state}" for state in ("failed", "skipped") if totals.get(state)]
        self._progress.update(self._steps, completed=over, total=sum(totals.values()) or None)
        self._say()

    def _say(self, more: str = "") -> None:
        task = self._progress.tasks[0]
        bad = "".join(f", {one}" for one in self._bad)
        self._progress.update(self._steps, says=f"{task.completed:.0f} of {task.total or 0:.0f} steps{bad}{more}")


def rows(standings: list[Standing]) -> Iterator[Row]:
    """Yield (key, what to call it, where it is) of what something is done with: disks that move, else workloads."""
    for one in standings:
        if not one.active:
            continue
        disks = [disk for disk in one.disks if disk.phase in MOVING]
        for disk in disks:
            name = f"{one.name}/{disk.name or disk.key[7:15]}" if one.key != disk.key else one.name
            yield disk.key, f"{name}: {disk.says}", disk
        if not disks:
            yield one.key, f"{one.name or one.key}: {one.says}", one
