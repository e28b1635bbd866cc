"""status: what runs, on this machine or anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from stackferry import __version__

from .. import output
from ..connecting import client
from ..local.stack import Stack, home
from ..options import Output

Row = dict[str, Any]
COLUMNS = ("service", "name", "state", "version", "clouds", "seen", "why")
NEEDED = ("coordinator", "exporter", "importer")


def status(
    deployment: Annotated[
        bool,
        typer.Option(
            "--deployment",
            help="What answers on the broker, whichever machine it runs on; so without this where AMQP_URI is set.",
        ),
    ] = False,
    format_: Output = output.Format.table,
) -> None:
    """Show what runs: the processes on this machine, or a whole deployment; exit code 3 when something is missing."""
    if deployment or os.environ.get("AMQP_URI"):
        return _deployment(format_)
    rows = Stack(home()).status()
    for row in rows:
        row["state"] = "up" if row["pid"] else "down"
    output.show(rows, format_, ("process", "state", "pid", "memory_mb", "restarts", "log"))
    if any(row["pid"] is None for row in rows):
        raise typer.Exit(output.UNAVAILABLE)
    return None


def _deployment(format_: output.Format) -> None:
    rows = list(_rows())
    shown = [{**row, "clouds": ", ".join(row["clouds"] or ()) or None} for row in rows]
    output.show(rows if format_ is not output.Format.table else shown, format_, COLUMNS)
    ours = {row["version"] for row in rows if row["service"] != "rabbitmq" and row["version"]} | {__version__}
    if len(ours) > 1:
        output.errors.print(
            f"note: several versions are in use: {', '.join(sorted(ours))}; this command is {__version__}"
        )
    if missing := [name for name in NEEDED if all(row["service"] != name for row in rows)]:
        output.errors.print(f"error: no {' and no '.join(missing)} answers")
        raise typer.Exit(output.UNAVAILABLE)


def _rows() -> Iterator[Row]:
    """The broker, the coordinator, each worker and each conversion host. Raises NoAnswer, BrokerUnavailable."""
    absent = dict.fromkeys(COLUMNS)
    with client() as ferry:
        known = ferry.deployment()
        hosts = ferry.hosts()
        parked = f"{known['parked']} parked: stackferry dead-letters list" if known.get("parked") else None
        yield absent | {"service": "rabbitmq", "state": "up", "version": ferry.broker_version, "why": parked}
    yield absent | {"service": "coordinator", "state": "up", "version": known.get("coordinator")}
    for one in known["workers"]:
        yield absent | {"service": one["service"], "name": one["instance"], "state": "up", "version": one["version"],
                        "clouds": one["clouds"], "seen": one["seen"]}  # fmt: skip
    for one in hosts:
        yield absent | {"service": "transfer", "name": one.get("name") or one["id"], "state": one["state"],
                        "version": one["version"], "clouds": [output.place(one)], "seen": one["seen"],
                        "why": one["why"]}  # fmt: skip
