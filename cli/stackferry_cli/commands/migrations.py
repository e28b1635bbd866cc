"""migrate, watch, list, show, telling a migration what to do, and forgetting those that are over."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from stackferry.cleanup import deleted
from stackferry.client import Client
from stackferry.errors import Error
from stackferry.messages import MigrationChanged
from stackferry.phases import OVER, PHASES, refusal

from .. import completing, live, options, os_migrate, output, report
from ..connecting import client
from ..options import (
    Bandwidth,
    BootDiskCopy,
    CutoverWhen,
    Destination,
    DestinationProject,
    Filters,
    KindsOption,
    Label,
    Map,
    Migration,
    Name,
    Output,
    ServersAtOnce,
    Source,
    SourceProject,
    StartServers,
    Vars,
    VolumesAtOnce,
    WaitForShutdown,
    Warm,
    Yes,
    place,
)

DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
TAKEN = 2.0  # seconds in which a request is taken, or refused; not every one changes the phase


def migrate(
    source: Source = "src",
    destination: Destination = "dst",
    source_project: SourceProject = None,
    destination_project: DestinationProject = None,
    kinds: KindsOption = None,
    filters: Filters = None,
    vars_file: Vars = None,
    warm: Warm = False,
    cutover_when: CutoverWhen = None,
    boot_disk_copy: BootDiskCopy = False,
    wait_for_shutdown: WaitForShutdown = False,
    start_servers: StartServers = False,
    volumes_at_once: VolumesAtOnce = None,
    servers_at_once: ServersAtOnce = None,
    bandwidth: Bandwidth = None,
    maps: Map = None,
    name: Name = None,
    label: Label = None,
    detach: Annotated[bool, typer.Option("--detach", help="Only request it and print its id.")] = False,
    yes: Yes = False,
    format_: Output = output.Format.table,
) -> None:
    """Move a project from one cloud to another, all in one. A second run changes nothing that is right already."""
    said = options.variables(vars_file)
    chosen, mapping, labels = options.selection(kinds, filters, said), options.mapping(maps), options.labels(label)
    copied = boot_disk_copy or os_migrate.boot_disk_copy(said) is True
    params = options.migration_params(said, warm, cutover_when, copied, wait_for_shutdown, start_servers)
    with client() as ferry:
        sides = place(source, source_project), place(destination, destination_project)
        os_migrate.check(ferry, said, {"src": sides[0], "dst": sides[1]})
        if not yes and (when := _stops_servers(chosen, params)):
            output.confirm(f"Running servers of {output.place(sides[0])} are stopped {when}. Go on?")
        migration = ferry.migrate(
            *sides, selection=chosen, mapping=mapping, migration_params=params, volumes_at_once=volumes_at_once,
            servers_at_once=servers_at_once, bandwidth=bandwidth, name=name, labels=labels,
        )  # fmt: skip
        if detach:
            output.tell(format_, {"id": migration}, migration)
            return
        output.errors.print(f"migration {migration}")
        live.follow(ferry, migration, quiet=format_ is not output.Format.table)
        state = ferry.show(migration)
    options.note_unmatched(chosen, state)
    report.print_report(state, format_)
    raise typer.Exit(report.exit_code(state))


def _stops_servers(selection: dict[str, Any] | None, params: dict[str, Any] | None) -> str | None:
    """When servers that run would be stopped; None when none is without a word from a person."""
    kinds, said = (selection or {}).get("kinds"), params or {}
    if (kinds and "server" not in kinds) or said.get("shutdown") == "wait" or said.get("cutover") == "manual":
        return None
    if said.get("mode") == "warm":
        return "for the last pass of their disks" if said.get("cutover", "auto") == "auto" else "at their cut-over"
    return "while their disks are copied"


def watch(migration: Migration = "last", format_: Output = output.Format.table) -> None:
    """Follow a migration until it has ended or needs a person."""
    with client() as ferry:
        id_ = options.find(ferry, migration)
        live.follow(ferry, id_, quiet=format_ is not output.Format.table)
        state = ferry.show(id_)
    report.print_report(state, format_)
    raise typer.Exit(report.exit_code(state))


def list_(
    label: Label = None,
    phase: Annotated[
        list[str] | None,
        typer.Option(
            "--phase",
            help=f"Only those in this phase ({', '.join(PHASES)}); may be repeated.",
            autocompletion=completing.phases,
        ),
    ] = None,
    format_: Output = output.Format.table,
) -> None:
    """List every migration; with labels, those that have all of them."""
    if unknown := sorted(set(phase or ()) - set(PHASES)):
        raise Error(f"--phase {unknown[0]}: there are {', '.join(PHASES)}")
    with client() as ferry:
        found = ferry.migrations(phase, options.labels(label))
    if format_ is output.Format.table:
        for row in found:
            row |= {"from": output.place(row["source"]), "to": output.place(row["destination"])}
            row |= {
                "requested": output.when(row["created"]),
                "phase": row["phase"] + (" (paused)" if row["paused"] else ""),
            }
    named = ["name"] if any(row.get("name") for row in found) else []
    output.show(found, format_, ("id", *named, "mode", "phase", "from", "to", "requested", "reason"))


def show(
    migration: Migration = "last",
    steps: Annotated[bool, typer.Option("--steps", help="Every step, not only what needs attention.")] = False,
    format_: Output = output.Format.table,
) -> None:
    """Show one migration: what became of each kind, and what needs attention."""
    with client() as ferry:
        state = ferry.show(options.find(ferry, migration))
    if steps and format_ is output.Format.table:
        output.show(
            state["steps"],
            format_,
            ("kind", "name", "action", "state", "outcome", "attempt", "seconds", "reason"),
        )
        return
    if format_ is output.Format.table:
        called = f" {state['name']}" if state.get("name") else ""
        output.console.print(f"{state['id']}{called}: {state['phase']}{' (paused)' if state['paused'] else ''}")
    (report.print_plan if state["mode"] == "plan" else report.print_report)(state, format_)
    if state["phase"] == "stuck":
        raise typer.Exit(output.NEEDS_PERSON)


def _tell(migration: str, action: str, format_: output.Format) -> None:
    with client() as ferry:
        id_ = options.find(ferry, migration)
        before = ferry.show(id_)
        if why := refusal(before["phase"], before["paused"], action, before["reason"]):
            raise Error(f"{id_}: {why}")
        if action == "undo" and (why := deleted(before["steps"])):
            raise Error(f"{id_}: {why}")
        ferry.control(id_, action)
        _await_taken(ferry, id_)
        output.tell(format_, {"id": id_, "told_to": action}, f"{id_}: told to {action}")


def _await_taken(ferry: Client, id_: str) -> None:
    """Return when the migration has changed, or nothing is heard for a moment; raise Error with why it's refused."""
    deadline = time.monotonic() + TAKEN
    while (left := deadline - time.monotonic()) > 0:
        fact = ferry.hear(id_, left)
        if fact is not None and fact.type == MigrationChanged.type:
            return


def start(migration: Migration = "last", format_: Output = output.Format.table) -> None:
    """Carry out a plan."""
    _tell(migration, "start", format_)


def pause(migration: Migration = "last", format_: Output = output.Format.table) -> None:
    """Ask for nothing new until `resume`; what is under way ends."""
    _tell(migration, "pause", format_)


def resume(migration: Migration = "last", format_: Output = output.Format.table) -> None:
    """Go on after `pause`."""
    _tell(migration, "resume", format_)


def cancel(migration: Migration, format_: Output = output.Format.table) -> None:
    """Ask for nothing more; what was made stays (`undo` removes it)."""
    _tell(migration, "cancel", format_)


def retry(migration: Migration = "last", format_: Output = output.Format.table) -> None:
    """Try again whatever failed, and what it held up."""
    _tell(migration, "retry", format_)


def cutover(
    migration: Migration = "last",
    servers: Annotated[
        list[str] | None, typer.Option("--server", help="Only this server, by name or id; may be repeated.")
    ] = None,
    format_: Output = output.Format.table,
) -> None:
    """Cut warm servers over: after the pass that is under way they are stopped, copied for the last time, and started
    at the destination."""
    with client() as ferry:
        id_ = options.find(ferry, migration)
        waiting = options.waiting_to_cut_over(ferry.show(id_)["steps"])
        if missing := [name for name in servers or waiting or ["?"] if name not in waiting]:
            which = "no server" if missing == ["?"] else f"no server {missing[0]!r}"
            raise Error(f"{id_}: {which} waits to cut over")
        ferry.control(id_, "cutover", servers)
        _await_taken(ferry, id_)
        output.tell(format_, {"id": id_, "told_to": "cutover"}, f"{id_}: told to cut over")


def undo(
    migration: Migration,
    yes: Yes = False,
    format_: Output = output.Format.table,
) -> None:
    """Remove what this migration created at the destination, in reverse order. What it updated is as it was before."""
    if not yes:
        output.confirm(f"Remove everything that migration {migration} created at the destination?")
    _tell(migration, "undo", format_)


def forget(
    migrations: Annotated[list[str] | None, typer.Argument(help="Ids of migrations, or their beginnings.")] = None,
    before: Annotated[
        datetime | None,
        typer.Option(
            "--before", formats=DATES, help="All that were over by then, in UTC: 2026-11-30 or 2026-11-30T08:00:00."
        ),
    ] = None,
    yes: Yes = False,
    format_: Output = output.Format.table,
) -> None:
    """Forget migrations that are over, with all that is remembered of them: they can't be shown or undone any more.

    Nothing is deleted in a cloud, and a later migration still finds what these have made.
    """
    if bool(migrations) == (before is not None):
        raise Error("name migrations, or a date (--before)")
    with client() as ferry:
        if before is None:
            ids = [options.find(ferry, one) for one in migrations or ()]
        else:
            ids = [
                one["id"] for one in ferry.migrations() if one["phase"] in OVER and one["changed"] < _timestamp(before)
            ]
        if not ids:
            output.tell(format_, {"forgotten": [], "kept": {}}, "none were over by then")
            return
        if not yes:
            output.confirm(f"Forget {len(ids)} migrations for good?")
        found = ferry.forget(ids)
    lines = [f"{len(found['forgotten'])} migrations forgotten"]
    output.tell(format_, found, *lines, *(f"kept {id_}: {why}" for id_, why in found["kept"].items()))
    raise typer.Exit(output.SOME_FAILED if found["kept"] else output.OK)


def _timestamp(when: datetime) -> float:
    return when.replace(tzinfo=UTC).timestamp()
