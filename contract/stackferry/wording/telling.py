"""An event in a line."""

from __future__ import annotations

from typing import Any

from ..envelope import Envelope
from ..messages import GOOD, MigrationChanged, StepEnded

SILENT = ("done", "differs")  # what says nothing to people: the step goes on


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
