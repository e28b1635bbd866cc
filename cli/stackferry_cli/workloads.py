"""The table of servers and disks: where they are, and what it took."""

from __future__ import annotations

from typing import Any

from stackferry.progress import Amount
from stackferry.progress.standing import OVER
from stackferry.step_key import read
from stackferry.wording import words

from . import output

COLUMNS = (
    "server",
    "phase",
    "disk",
    "size",
    "done",
    "rate",
    "left",
    "sent",
    "seconds",
    "downtime",
    "passes",
    "floating IP",
    "blake3",
)
SHORT = 12  # letters of a digest
Row = dict[str, Any]


def print_workloads(workloads: list[Row], overall: Row) -> None:
    """Print a line a disk, the servers that something is done with or was; those that wait are only counted."""
    begun = [one for one in workloads if one["phase"] not in ("waiting", "skipped")]
    if not workloads:
        return
    found = [row for one in begun for row in rows(one)]
    used = [c for c in COLUMNS if any(row.get(c) not in (None, "") for row in found)]
    if found:
        output.console.print()
        output.show(found, output.Format.table, used)
    if any(phase not in OVER for phase in overall["phases"]):
        output.console.print(summary(overall))


def rows(one: Row) -> list[Row]:
    """The lines of one workload: the first one is about itself as well."""
    disks = [_disk(disk, one["phase"] in OVER) for disk in one["disks"]] or [{}]
    number = {n: None if one[n] is None else f"{one[n]:.1f}" for n in ("seconds", "downtime")}
    reason = f": {one['reason']}" if one["reason"] and one["phase"] not in OVER else ""
    about = {"server": one["name"] or one["key"], "phase": f"{one['phase']}{reason}", "passes": one["passes"], **number}
    about["floating IP"] = ", ".join(_address(pair) for pair in one.get("floating_ips") or []) or None
    if one["kind"] == "volume":
        about["disk"] = ""
    return [{**disks[0], **about}, *disks[1:]]


def _address(pair: Row) -> str:
    """The address that a server got, with the one that it had, where that is another."""
    same = pair["source"] == pair["destination"]
    return str(pair["destination"]) if same else f"{pair['destination']} (was {pair['source']})"


def _disk(disk: Row, over: bool) -> Row:
    verifying = disk["phase"] == "verifying"
    names = ("bytes_verified", "bytes_to_verify") if verifying else ("bytes", "bytes_total")
    amount = Amount(*(disk[name] for name in names))
    found = {
        "disk": disk["name"] or read(disk["key"]).id,
        "size": words.size(disk["bytes_total"]) if disk["bytes_total"] else None,
        "sent": words.size(disk["bytes_on_wire"]) if disk["bytes_on_wire"] else None,
        "blake3": disk["digest"] and disk["digest"][:SHORT],
    }
    moving = {"done": f"{disk['phase']} {words.amount(amount)}", "rate": words.rate(disk["rate"]),
              "left": words.duration(disk["seconds_left"])}  # fmt: skip
    return found if over or not amount.total else {**found, **moving}


def summary(overall: Row) -> str:
    """All workloads in one line."""
    phases = ", ".join(f"{many} {phase}" for phase, many in overall["phases"].items())
    moved = words.amount(Amount(overall["bytes"], overall["bytes_total"])) if overall["bytes_total"] else ""
    left = words.duration(overall["seconds_left"])
    told = [moved and f"{moved} copied", words.rate(overall["rate"]), left and f"{left} left"]
    return f"servers and volumes: {phases}" + "".join(f", {text}" for text in told if text)
