"""export, validate, plan, import: through a data directory, as OS Migrate does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from stackferry import documents
from stackferry.client import Client
from stackferry.errors import Error
from stackferry.resources import BY_TYPE, KINDS
from stackferry.selection import selects

from .. import live, options, output, report
from ..options import (
    Destination,
    DestinationProject,
    Filters,
    KindsOption,
    Map,
    Output,
    Source,
    SourceProject,
    StartServers,
    Vars,
    WaitForShutdown,
    client,
    place,
)
from ..stays_behind import print_stays_behind

Directory = Annotated[Path, typer.Argument(help="The data directory (networks.yml ...).", file_okay=False)]


def export(
    directory: Directory,
    source: Source = "src",
    source_project: SourceProject = None,
    kinds: KindsOption = None,
    filters: Filters = None,
    vars_file: Vars = None,
    image_blobs: Annotated[
        bool, typer.Option("--image-blobs", help="Write the payloads of images too, into the folder image_blobs.")
    ] = False,
    os_migrate: Annotated[
        bool,
        typer.Option("--os-migrate", help="Write only what OS Migrate 1.0.5 accepts; our extra fields are left out."),
    ] = False,
) -> None:
    """Read a project into a data directory: one YAML file a kind. Files that are there are updated in place."""
    chosen = options.selection(kinds, filters, vars_file)
    with client() as ferry:
        blobs = str(options.image_blobs(directory, vars_file)) if image_blobs else None
        side = place(source, source_project)
        migration = ferry.migrate(side, None, mode="export", selection=chosen, image_blobs=blobs)
        live.follow(ferry, migration, quiet=not (image_blobs or output.console.is_terminal))
        state = ferry.show(migration, documents=True)
    for note in report.notes_of_export(state):
        output.errors.print(f"note: {note}")
    print_stays_behind(state, output.errors)
    if state["phase"] == "stuck":
        raise Error(state["reason"])
    found = [step["document"] for step in state["steps"] if step["action"] == "keep"]
    if os_migrate:
        found = _understood(found)
    files = documents.write_directory(directory, found, compatible=os_migrate)
    for file in files:
        output.console.print(f"{file}")
    output.console.print(f"{len(found)} resources exported")
    if image_blobs:
        _print_blobs(state, str(blobs))
        if code := report.exit_code(state):
            raise typer.Exit(code)


def _print_blobs(state: dict[str, Any], folder: str) -> None:
    steps = [step for step in state["steps"] if step["action"] == "transfer"]
    for step in steps:
        if step["state"] != "done":
            output.errors.print(f"image {step['name']!r}: {step['reason']}")
    there = sum(step["state"] == "done" for step in steps)
    output.console.print(f"{there} of {len(steps)} payloads of images in {folder}")


def validate(directory: Directory) -> None:
    """Check a data directory: syntax, types, values, duplicates. Nothing is asked of a cloud."""
    found = documents.read_directory(directory)
    _name_unread(directory)
    for warning in _warnings(found):
        output.errors.print(f"warning: {warning}")
    output.console.print(f"{len(found)} resources, all valid")


def plan(
    directory: Annotated[
        Path | None, typer.Argument(help="A data directory; without it, the source cloud is read.")
    ] = None,
    source: Source = None,
    destination: Destination = "dst",
    source_project: SourceProject = None,
    destination_project: DestinationProject = None,
    kinds: KindsOption = None,
    filters: Filters = None,
    vars_file: Vars = None,
    maps: Map = None,
    format_: Output = output.Format.table,
) -> None:
    """Say what an import or a migration would do, field by field; write nothing.

    A data directory's servers and volumes need their source cloud too (--source), as in an import.
    `stackferry start ID` carries a plan out.
    """
    if directory is None and source is None:
        raise Error("name a data directory, or a source cloud (--source), or both")
    chosen, mapping = options.selection(kinds, filters, vars_file), options.mapping(maps)
    what = {"selection": chosen} if directory is None else _from_files(directory, source, chosen, vars_file)
    with client() as ferry:
        sides = place(source, source_project), place(destination, destination_project)
        migration = ferry.migrate(*sides, mode="plan", mapping=mapping, **what)
        state = _finish(ferry, migration, format_, quiet=not output.console.is_terminal)
    report.print_plan(state, format_)
    raise typer.Exit(report.exit_code(state))


def import_(
    directory: Directory,
    source: Source = None,
    destination: Destination = "dst",
    source_project: SourceProject = None,
    destination_project: DestinationProject = None,
    kinds: KindsOption = None,
    filters: Filters = None,
    vars_file: Vars = None,
    wait_for_shutdown: WaitForShutdown = False,
    start_servers: StartServers = False,
    maps: Map = None,
    format_: Output = output.Format.table,
) -> None:
    """Make a destination match a data directory: create what is missing, update what differs.

    Servers and volumes need their source cloud too (--source): their disks are read there.
    """
    chosen, mapping = options.selection(kinds, filters, vars_file), options.mapping(maps)
    what = _from_files(directory, source, chosen, vars_file)
    with client() as ferry:
        sides = place(source, source_project), place(destination, destination_project)
        params = options.migration_params(
            wait_for_shutdown=wait_for_shutdown, start_servers=start_servers, vars_file=vars_file
        )
        migration = ferry.migrate(*sides, mapping=mapping, migration_params=params, **what)
        state = _finish(ferry, migration, format_)
    report.print_report(state, format_)
    raise typer.Exit(report.exit_code(state))


def _finish(ferry: Client, migration: str, format_: output.Format, quiet: bool = False) -> dict[str, Any]:
    live.follow(ferry, migration, quiet=quiet or format_ is not output.Format.table)
    return ferry.show(migration)


def _from_files(directory: Path, source: str | None, chosen: dict[str, Any], vars_file: Path | None) -> dict[str, Any]:
    """What a data directory asks for, as arguments of the request."""
    found = _movable(_selected(documents.read_directory(directory), chosen), source, chosen)
    _name_unread(directory)
    return {"documents": found, "image_blobs": None if source else _blobs(directory, vars_file)}


def _name_unread(directory: Path) -> None:
    for name in documents.unread_files(directory):
        output.errors.print(f"warning: {name}: not read; no kind's data file is called so")


def _blobs(directory: Path, vars_file: Path | None) -> str | None:
    """The folder of the images' payloads, when there is one."""
    folder = options.image_blobs(directory, vars_file)
    return str(folder) if folder.is_dir() else None


def _selected(found: list[dict[str, Any]], chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """The documents that kinds and filters keep; those of kinds that we don't import are named and left out."""
    kept = []
    for document in found:
        kind = BY_TYPE.get(document["type"])
        if kind is None or kind.nested:
            output.errors.print(f"left out: {documents.label(document)}: not imported by this version")
        elif selects(chosen, document):
            kept.append(document)
    return kept


def _movable(found: list[dict[str, Any]], source: str | None, chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """Without a source cloud, servers and volumes are left out, unless they're asked for: then it's reported."""
    if source or chosen.get("kinds"):
        return found
    kept = []
    for document in found:
        if BY_TYPE[document["type"]].by_workload:
            output.errors.print(f"left out: {documents.label(document)}: its disks are read at the source (--source)")
        else:
            kept.append(document)
    return kept


def _understood(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents that OS Migrate can be given; the others are named and left out."""
    kept = []
    for document in found:
        if why := documents.obstacle_for_os_migrate(document):
            output.errors.print(f"left out: {documents.label(document)}: {why}")
        else:
            kept.append(document)
    return kept


def _warnings(found: list[dict[str, Any]]) -> list[str]:
    """Keys in params that nobody reads: most often a typing error."""
    expected = {name for names in documents.EXPECTED.values() for name in names}
    return [
        f"{KINDS[kind.kind].file}.yml: {documents.label(document)}: params.{name} is not known, and kept unread"
        for document in found
        if (kind := BY_TYPE.get(document["type"]))
        for name in document["params"]
        if name not in kind.declared() and name not in expected
    ]
