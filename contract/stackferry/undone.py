"""What became of the steps of a migration that was undone: what was created is *removed*, what was changed is
*restored*. Pure.

A step remembers what it did; that it was taken back later is another step's doing (``<key>/undo/...``). People and
programs want to know what is there now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from .step_key import read

Row = dict[str, Any]
GONE = ("removed", "done")  # states of a step that has taken something back
UNDOING = ("undoing", "undone")


def now(phase: str, steps: Iterable[Row]) -> list[Row]:
    """Return the steps as they stand now, in a migration of this phase."""
    steps = list(steps)
    taking: dict[str, list[Row]] = defaultdict(list)
    by_group: dict[str, list[Row]] = defaultdict(list)
    for step in steps:
        if (key := taken_back_by(step["key"])) is not None:
            taking[key].append(step)
            by_group[step.get("group") or ""].append(step)
    return [_now(phase, step, taking.get(step["key"], []), by_group) for step in steps]


def taken_back_by(key: str) -> str | None:
    """The key of the step that a step takes back; None when it takes back none."""
    about = read(key)
    return about.of if about.takes_away else None


def _now(phase: str, step: Row, taking: list[Row], by_group: dict[str, list[Row]]) -> Row:
    if step.get("action") != "ensure":
        return step
    removals = [one for one in taking if read(one["key"]).is_undo]
    is_gone = step["state"] == "removed" or (bool(removals) and all(one["state"] in GONE for one in removals))
    if step.get("group") == step["key"] and step["state"] == "failed":  # a workload: all of it, or it isn't
        of_it = by_group[step["key"]]
        is_gone = phase in UNDOING and bool(of_it) and all(one["state"] in GONE for one in of_it)
    elif step["state"] not in ("done", "removed"):
        return step
    word = "restored" if removals and all(one["outcome"] == "restored" for one in removals) else "removed"
    return {**step, "state": word, "outcome": word, "reason": None} if is_gone else step
