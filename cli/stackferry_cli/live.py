"""Following a migration: a progress bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from stackferry.client import FINAL, Client
from stackferry.envelope import Envelope
from stackferry.messages import MigrationChanged, StepEnded

from .output import console

OVER = ("done", "failed", "skipped", "removed")


def follow(ferry: Client, migration: str, quiet: bool = False) -> None:
    """Show a migration until it has ended or needs a person."""
    state = ferry.show(migration)
    if state["phase"] in FINAL:
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, disable=quiet or not console.is_terminal, transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task(state["phase"], total=None)
        ended = _over(state["totals"])
        progress.update(task, completed=ended, total=_total(state["totals"]))
        for fact in ferry.follow(migration):
            if not quiet:
                _line(fact, progress)
            if fact.type == MigrationChanged.type:
                totals = fact.data["totals"]
                ended = _over(totals)
                progress.update(task, description=fact.data["phase"], completed=ended, total=_total(totals))
            elif fact.type == StepEnded.type:
                progress.update(task, advance=1)


def _over(totals: dict[str, int]) -> int:
    return sum(totals.get(state, 0) for state in OVER)


def _total(totals: dict[str, int]) -> int | None:
    return sum(totals.values()) or None


def _line(fact: Envelope, progress: Progress) -> None:
    data = fact.data
    if fact.type == StepEnded.type:
        text = _step(data)
        if console.is_terminal and data["outcome"] in ("created", "updated", "unchanged", "removed"):
            return  # the bar shows these
    elif fact.type == MigrationChanged.type:
        text = f"{data['phase']}{' (paused)' if data.get('paused') else ''}"
        if data.get("reason"):
            text += f": {data['reason']}"
    else:
        return
    progress.console.print(text, markup=False)


def _step(data: dict[str, Any]) -> str:
    text = f"{data['outcome']:11} {(data.get('kind') or '').replace('_', ' ')} {data.get('name') or ''}".rstrip()
    seconds = f" ({data['seconds']:.1f} s)" if data.get("seconds") else ""
    return f"{text}{seconds}" + (f": {data['reason']}" if data.get("reason") else "")
