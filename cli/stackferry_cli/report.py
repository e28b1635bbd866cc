"""What became of a migration: the table of kinds, what needs attention, the differences of a plan."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from stackferry.client import FINAL
from stackferry.moved import report
from stackferry.summary import COLUMNS, attention, by_kind
from stackferry.wording import words

from . import output, workloads
from .stays_behind import print_stays_behind

ALIKE = 5  # of what is skipped for the same reason, so many are named


def exit_code(migration: dict[str, Any]) -> int:
    """Return what the process should end with."""
    if migration["phase"] == "stuck":
        return output.NEEDS_PERSON
    return output.SOME_FAILED if attention(migration) else output.OK


def whole(migration: dict[str, Any]) -> dict[str, Any]:
    """Return a migration with all that is known of its servers and disks, for programs."""
    if not any(step.get("group") for step in migration["steps"]):
        return migration
    found, overall = report(migration["steps"], time.monotonic())
    return {**migration, "progress": overall, "workloads": found}


def print_report(migration: dict[str, Any], format_: output.Format) -> None:
    """Print what became of a migration, and where its workloads are."""
    if format_ is not output.Format.table:
        output.show(whole(migration), format_)
        return
    steps = migration["steps"]
    kinds = by_kind(steps)
    output.show(kinds, format_, [c for c in COLUMNS if c not in ("removed", "restored") or kinds[-1][c]])
    workloads.print_workloads(*report(steps, time.monotonic()))
    for note in notes_of_export(migration):
        output.console.print(f"  note: {note}")
    for step in steps:
        for note in step["notes"] or [] if step["action"] != "export" else []:
            output.console.print(f"  note: {_title(step)}: {note}")
    print_stays_behind(migration, output.console)
    if bad := attention(migration):
        output.console.print()
        output.console.print(f"{len(bad)} need attention", style="bold")
        for line in _needing_attention(bad):
            output.console.print(f"  {line}")
    output.console.print(ended(migration))


def ended(migration: dict[str, Any]) -> str:
    """How a migration stands, and how long it took by the clock; the seconds of a table are sums of work."""
    text = migration["phase"] + (f": {migration['reason']}" if migration.get("reason") else "")
    if migration["phase"] == "undone":
        text += ": what it created is removed, what it changed is as it was"
    begun, over = migration.get("created"), migration.get("changed")
    if migration["phase"] in FINAL and begun is not None and over is not None:
        text += f", {words.duration(max(over - begun, 0))} after it was asked for"
    return text


def _needing_attention(bad: list[dict[str, Any]]) -> Iterator[str]:
    """A line a step; of many that are skipped for the same reason the first ones."""
    skipped = Counter(step["reason"] for step in bad if step["state"] == "skipped")
    told: Counter[Any] = Counter()
    for step in bad:
        if step["state"] == "skipped":
            told[step["reason"]] += 1
            if told[step["reason"]] > ALIKE:
                continue
        yield f"{step['outcome'] or step['state']}: {_title(step)}: {step['reason']}"
    yield from (f"skipped: {many - ALIKE} more: {reason}" for reason, many in skipped.items() if many > ALIKE)


def notes_of_export(migration: dict[str, Any]) -> list[str]:
    """What of the source's resources can't be taken along, and why."""
    return [note for step in migration["steps"] if step["action"] == "export" for note in step["notes"] or []]


def print_plan(migration: dict[str, Any], format_: output.Format) -> None:
    """Print what a plan would do, field by field; what is unchanged is only counted."""
    if format_ is not output.Format.table:
        output.show(migration, format_)
        return
    said = {
        "created": "create",
        "updated": "update",
        "conflict": "conflict",
        "missing": "missing prerequisite",
    }
    for note in notes_of_export(migration):
        output.console.print(f"note: {note}")
    if missing := migration.get("missing_hosts"):
        output.console.print(f"note: {missing}: no disk is copied, and no server stopped, before one does")
    for step in migration["steps"]:
        if step["action"] == "room" and step["state"] == "failed":
            output.console.print(f"{step['kind']:9} {step['name']}: {step['reason']}")
        if step["action"] != "compare" or (step["outcome"] == "unchanged" and not step["notes"]):
            continue
        word = said.get(step["outcome"] or "", step["outcome"] or step["state"])
        why = f": {step['reason']}" if step["reason"] else ""
        output.console.print(f"{word:9} {_title(step)}{why}")
        for change in step["changes"] or []:
            output.console.print(f"            {change['field']}: {_value(change['from'])} → {_value(change['to'])}")
        for note in step["notes"] or []:
            output.console.print(f"            note: {note}")
    print_stays_behind(migration, output.console)
    counts = by_kind(migration["steps"])[-1]
    to_do, not_possible = counts["created"] + counts["updated"], counts["failed"] + counts["skipped"]
    if any(step["action"] == "room" and step["state"] == "failed" for step in migration["steps"]):
        counts, not_possible = {**counts, "created": 0, "updated": 0}, not_possible + to_do  # it stops all of them
    output.console.print()
    if migration["phase"] == "stuck":
        output.console.print(f"stuck: {migration['reason']}")
    output.console.print(
        f"plan {migration['id']}: {counts['created']} to create, {counts['updated']} to update, "
        f"{counts['unchanged']} unchanged, {not_possible} not possible"
    )


def _title(step: dict[str, Any]) -> str:
    return f"{step['kind'].replace('_', ' ')} {step['name'] or '(no name)'}"


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
