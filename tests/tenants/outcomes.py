"""What became of a migration's objects, and of what a migration may do to its source: stop servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .reading import Reading


def at_rest(reading: Reading) -> Reading:
    """A reading in which no server runs: who moves servers stops them, and undo starts them again."""
    return {
        id_: replace(one, fields=one.fields | {"status": "SHUTOFF"}) if one.fields.get("status") == "ACTIVE" and
        one.kind == "server" else one for id_, one in reading.items()
    }  # fmt: skip


def as_was(now: Reading, before: Reading) -> Reading:
    """A reading with the servers' states of before they were moved."""
    return {
        id_: replace(one, fields=one.fields | {"status": before[id_].fields["status"]})
        if one.kind == "server" and id_ in before else one for id_, one in now.items()
    }  # fmt: skip


def unsuccessful(migration: dict[str, Any]) -> list[str]:
    return [s["key"] for s in migration["steps"] if s["kind"] and s["state"] in ("failed", "skipped")]


def outcomes(migration: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Step of an object → what was said of it or became of it, and why."""
    found = {}
    for step in migration["steps"]:
        if step["action"] in ("ensure", "compare", "check") and step["kind"] and step["source_id"]:
            inside = step.get("group") and step["group"] != step["key"]
            if not inside:
                found[step["key"]] = (step["outcome"] or step["state"], step["reason"] or "")
    return found
