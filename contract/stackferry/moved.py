"""What became of the servers and disks of a migration: sizes, digests, bytes on the wire, seconds, downtime. Pure.

A disk's ``digest`` is a BLAKE3 over the BLAKE3 of each of its blocks (1 MiB), in order: both sides were read for it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from .progress import Progress
from .step_key import WARM, of_task, read

Row = dict[str, Any]
#: names of steps that move bytes
RUNS = "ACTIVE"
MOVING = ("copy", "verify", f"{WARM}copy")


def report(steps: Iterable[Row], now: float) -> tuple[list[Row], Row]:
    """Return one entry a server, or volume that is attached nowhere: where it is, and what it took; and all as one.

    The latter says how many are in which phase (``phases``).
    """
    rows = [row for row in steps if row.get("group")]
    progress, by_group = Progress(), defaultdict(list)
    progress.load(rows, now)
    for row in rows:
        by_group[row["group"]].append(row)
    workloads = [_workload(standing.as_dict(), by_group[standing.key]) for standing in progress.standings(now)]
    total, phases = progress.total(now)
    return workloads, {**total.as_dict(), "phases": dict(sorted(phases.items()))}


def _workload(standing: Row, rows: list[Row]) -> Row:
    head = next((row for row in rows if row["key"] == standing["key"]), {})
    results = head.get("results") or {}
    disks = [{**disk, **_disk(disk["key"], rows)} for disk in standing.get("disks") or []]
    began = [row["first_asked"] for row in rows if row.get("first_asked") and not read(row["key"]).is_undo]
    over = results.get("over")
    return {
        **standing, "outcome": head.get("outcome"), "source_id": head.get("source_id"),
        "destination_id": head.get("destination_id"), "disks": disks,
        "bytes_on_wire": sum(disk["bytes_on_wire"] for disk in disks),
        "seconds": round(over - min(began), 3) if over and began else None,
        "downtime": results.get("downtime", _stopped_for(standing["key"], rows)),
        "floating_ips": list(_addresses(rows)), "passes": _many(results.get("passes")),
    }  # fmt: skip


def _stopped_for(key: str, rows: list[Row]) -> float | None:
    """Seconds from the stop of a server that ran until it ran again at the source, having been taken back."""
    steps = {row["key"]: row for row in rows}
    looked = [steps.get(of_task(key, name)) or {} for name in ("look-again", "look")]
    looks = [(row.get("results") or {}).get("status") for row in looked]
    undone = [row for row in rows if (about := read(row["key"])).is_undo and about.of == of_task(key, "stop")]
    starts = [row for row in undone if row["state"] == "done"]
    stop = steps.get(of_task(key, "stop")) or {}
    if next(filter(None, looks), None) != RUNS or not stop.get("first_asked") or not starts:
        return None
    begun = max(starts, key=lambda row: row.get("first_asked") or 0)
    if not begun.get("first_asked"):
        return None
    return round(float(begun["first_asked"] + (begun.get("seconds") or 0) - stop["first_asked"]), 1)


def _addresses(rows: list[Row]) -> Iterator[Row]:
    """Yield the floating IPs of a server: the address at the source, and the one that it got."""
    for row in rows:
        address = (row.get("results") or {}).get("address")
        if address and row.get("kind") == "floating_ip" and row["state"] == "done":
            yield {"source": row["name"], "destination": address}


def _disk(key: str, rows: list[Row]) -> Row:
    about = [(row, read(row["key"])) for row in rows if row["key"] != key]
    steps = [row for row, of in about if of.subject == key and not of.is_undo]
    own: Row = next((row for row in rows if row["key"] == key), {})
    counts: dict[str, Counter[str]] = {name: Counter() for name in MOVING}
    digests: dict[str, set[str]] = {name: set() for name in MOVING}
    seconds: Counter[str] = Counter()
    for row in steps:
        name = read(row["key"]).task
        if name in MOVING:
            found = row.get("results") or {}
            before = found.get("earlier") or {}
            counts[name].update(_counted(found))
            counts[name].update(_counted(before))
            digests[name].update([found["digest"]] if found.get("digest") else [])
            seconds[name] += (row.get("seconds") or 0) + (before.get("seconds") or 0)
    digest = digests["verify"] or digests["copy"]
    is_verified = bool(digests["verify"] or (digests["copy"] and counts[f"{WARM}copy"]))
    sent = sum(count["wire_received"] + count["wire_sent"] for count in counts.values())
    return {
        "source_id": own.get("source_id"), "destination_id": own.get("destination_id"),
        "digest": next(iter(digest)) if len(digest) == 1 else None, "is_verified": is_verified,
        "bytes_on_wire": sent, "counts": {name: dict(count) for name, count in counts.items() if count},
        "seconds": {name: round(many, 3) for name, many in seconds.items()},
    }  # fmt: skip


def earlier(step_results: Row, seconds: float) -> Row:
    """Return what a step's results keep of its passes when it begins another one."""
    before = step_results.get("earlier") or {}
    counts = Counter(_counted(step_results)) + Counter(_counted(before))
    return {"earlier": {"counts": dict(counts), "seconds": seconds + (before.get("seconds") or 0)}} if counts else {}


def _counted(results: Row) -> dict[str, int]:
    return {name: many for name, many in (results.get("counts") or {}).items() if type(many) is int}


def _many(passes: Any) -> Any:
    return len(passes) if isinstance(passes, list) else passes
