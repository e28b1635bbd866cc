"""What ``cleanup-source`` may delete at the source: of workloads that are done, what was moved and verified. Pure.

Both sides need it: a client lists it and asks, the coordinator decides. Steps are as ``Client.show`` returns them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .step_key import WARM, of_task, read

Row = dict[str, Any]
#: what is done for each workload, in this order; only the last one deletes
ARRIVED, AT_REST, CLEAN_UP = "arrived", "at-rest", "clean-up"
ACTIONS = (ARRIVED, AT_REST, CLEAN_UP)
BOOT = "-boot"  # a server's id with this is its boot disk, which is no volume
BY_HAND = "by-hand-"  # begins the id of what a document has and the source hasn't: a port that somebody added
#: kinds of what belongs to a server
PARTS = {"volume": "volumes", "port": "ports", "floating_ip": "floating_ips", "trunk": "trunks",
         "sub_port": "sub_ports"}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A server or a detached volume at the source, with what goes with it: kind → ids. ``refusal``: why it stays."""

    key: str
    kind: str
    name: str
    source_id: str
    destination_id: str | None
    refusal: str | None
    moved_at: float | None = None
    parts: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # id → name of each part
    destination_volumes: tuple[str, ...] = ()
    has_boot_disk: bool = False  # whether the disk that it booted from, and that is no volume, was moved too
    is_cleaned: bool = False


def candidates(steps: Iterable[Row]) -> list[Candidate]:
    """Return the workloads of a migration, in order."""
    by_group, known = defaultdict(list), {}
    for row in steps:
        known[row["key"]] = row
        if row.get("group"):
            by_group[row["group"]].append(row)
    return [_candidate(key, rows, known.get(step_keys(key)[CLEAN_UP])) for key, rows in by_group.items()]


def step_keys(workload: str) -> dict[str, str]:
    """Return action → key of the steps that clean up a workload."""
    return {action: of_task(workload, f"cleanup-{action}") for action in ACTIONS}


def deleted(steps: Iterable[Row]) -> str | None:
    """Return why a migration can't be undone any more; None when nothing of it was deleted at the source."""
    many = sum(1 for row in steps if row["action"] == CLEAN_UP and row["attempt"])
    if not many:
        return None
    what = "workload was" if many == 1 else "workloads were"
    return f"{many} {what} deleted at the source by cleanup-source: undo would delete what is left of it"


def _candidate(key: str, rows: list[Row], cleaned: Row | None) -> Candidate:
    head = next(row for row in rows if row["key"] == key)
    own = [row for row in rows if not read(row["key"]).takes_away]
    subjects = {row["key"]: row for row in own if row["key"] == read(row["key"]).subject != key}
    found: dict[str, list[str]] = {name: [] for name in PARTS.values()}
    for row in subjects.values():
        if not _is_boot_disk(row) and not str(row["source_id"]).startswith(BY_HAND):
            found[PARTS[row["kind"]]].append(row["source_id"])
    volumes = [row for row in (*subjects.values(), head) if row["kind"] == "volume"]
    is_cleaned = cleaned is not None and cleaned["state"] == "done"
    return Candidate(
        key, head["kind"], head["name"], head["source_id"], head["destination_id"],
        "it was deleted there already" if is_cleaned else _refusal(head, volumes, own),
        _moved_at(head), found,
        {row["source_id"]: row["name"] for row in subjects.values()},
        tuple(row["destination_id"] for row in volumes if row["destination_id"] and row is not head),
        any(map(_is_boot_disk, volumes)), is_cleaned,
    )  # fmt: skip


def _moved_at(head: Row) -> float | None:
    """When what is at the source was what arrived: the stop of a server, the last byte of a volume."""
    results = head.get("results") or {}
    moved: float | None = results.get("stopped") or results.get("over")
    return moved


def _of(rows: list[Row], volume: Row, name: str) -> list[Row]:
    return [row for row in rows if (about := read(row["key"])).subject == volume["key"] and about.task == name]


def _is_boot_disk(row: Row) -> bool:
    return str(row["source_id"]).endswith(BOOT)


def _refusal(head: Row, volumes: list[Row], rows: list[Row]) -> str | None:
    """Why a workload is none that this migration has moved and verified."""
    if head["state"] != "done":
        return f"it isn't done but {head['state']}"
    if head["outcome"] != "created" or not head["destination_id"]:
        return "it was at the destination before: this migration has moved nothing of it"
    for volume in volumes:
        checks = _of(rows, volume, "verify")
        if not checks and _of(rows, volume, f"{WARM}copy"):
            checks = _of(rows, volume, "copy")  # the last pass has read back what none before had verified
        if not checks or any((row["state"], row["outcome"]) != ("done", "done") for row in checks):
            return f"its volume {volume['name'] or volume['source_id']!r} was not verified"
    return None
