"""export, validate, plan, import: through a data directory, as OS Migrate does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from stackferry import documents
from stackferry.client import Client
from stackferry.errors import Error
from stackferry.resources import BY_TYPE

from .. import files, live, options, os_migrate, output, report, rules
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
    Name,
    Output,
    Prune,
    ServersAtOnce,
    Source,
    SourceProject,
    StartServers,
    Vars,
    VolumesAtOnce,
    WaitForShutdown,
    Warm,
    place,
)
from ..stays_behind import print_stays_behind

Directory = Annotated[
    Path | None, typer.Argument(help="The data directory (networks.yml ...); else --vars says it.", file_okay=False)
]


def export(
    directory: Directory = None,
    source: Source = "src",
    source_project: SourceProject = None,
    kinds: KindsOption = None,
    filters: Filters = None,
    vars_file: Vars = None,
    image_blobs: Annotated[
        bool | None,
        typer.Option(
            help="Write the payloads of images too, into the folder image_blobs. Without a word they are written when "
            "images are asked for (-k image).",
            show_default=False,
        ),
    ] = None,
    for_os_migrate: Annotated[
        bool,
        typer.Option("--os-migrate", help="Write only what OS Migrate 1.0.5 accepts; what is left out is named."),
    ] = False,
    format_: Output = output.Format.table,
) -> None:
    """Read a project into a data directory: one YAML file a kind. Files that are there are updated in place."""
    said = options.variables(vars_file)
    directory, chosen = options.directory(directory, said), options.selection(kinds, filters, said)
    if image_blobs is None:
        image_blobs = "image" in (kinds or ()) and os_migrate.wants_image_blobs(said) is not False
    with client() as ferry:
        blobs = str(options.image_blobs(directory, said)) if image_blobs else None
        side = place(source, source_project)
        os_migrate.check(ferry, said, {"src": side})
        migration = ferry.migrate(side, None, mode="export", selection=chosen, image_blobs=blobs)
        shown = format_ is output.Format.table and (image_blobs or output.console.is_terminal)
        live.follow(ferry, migration, quiet=not shown)
        state = ferry.show(migration, documents=True)
    notes = report.notes_of_export(state)
    for note in notes:
        output.errors.print(f"note: {note}")
    print_stays_behind(state, output.errors)
    if state["phase"] == "stuck":
        raise Error(state["reason"])
    options.note_unmatched(chosen, state)
    found = [_as_said(step["document"], said) for step in state["steps"] if step["action"] == "keep"]
    if for_os_migrate:
        found = files.for_os_migrate(found)
    written = [str(file) for file in documents.write_directory(directory, found, compatible=for_os_migrate)]
    if for_os_migrate:
        files.name_refused(directory)
    payloads = _payloads(state, blobs)
    lines = [*written, f"{len(found)} resources exported"]
    if payloads:
        lines.append(f"{payloads['written']} of {payloads['images']} payloads of images in {blobs}")
    answer = {"directory": str(directory), "files": written, "resources": len(found), "notes": notes}
    output.tell(format_, {**answer, "image_blobs": payloads}, *lines)
    if image_blobs and (code := report.exit_code(state)):
        raise typer.Exit(code)


def _as_said(document: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """A document with what OS Migrate's variables would write into it."""
    copied = os_migrate.boot_disk_copy(said)
    if copied is None or BY_TYPE[document["type"]].kind != "server":
        return document
    return {**document, "_migration_params": {**document["_migration_params"], "boot_disk_copy": copied}}


def _payloads(state: dict[str, Any], folder: str | None) -> dict[str, Any] | None:
    """How many payloads were written; what was not is named."""
    if folder is None:
        return None
    steps = [step for step in state["steps"] if step["action"] == "transfer"]
    for step in steps:
        if step["state"] != "done":
            output.errors.print(f"image {step['name']!r}: {step['reason']}")
    there = sum(step["state"] == "done" for step in steps)
    return {"folder": folder, "images": len(steps), "written": there}


def validate(directory: Directory = None, vars_file: Vars = None, format_: Output = output.Format.table) -> None:
    """Check a data directory, and a variables file: syntax, types, values, duplicates. Nothing is asked of a cloud."""
    said = options.variables(vars_file)
    if any(f"os_migrate_{side}_auth" in said for side in os_migrate.OPTIONS):
        os_migrate.clouds(said)
    os_migrate.filters(said)
    found = files.read(options.directory(directory, said))
    warnings = files.warnings(found) + files.without_effect(found) + rules.warnings(found)
    for warning in warnings:
        output.errors.print(f"warning: {warning}")
    output.tell(format_, {"resources": len(found), "warnings": warnings}, f"{len(found)} resources, all valid")


def plan(
    directory: Annotated[
        Path | None, typer.Argument(help="A data directory; without it, the source cloud is read.", file_okay=False)
    ] = None,
    source: Source = None,
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
    prune: Prune = False,
    maps: Map = None,
    name: Name = None,
    label: Label = None,
    format_: Output = output.Format.table,
) -> None:
    """Say what an import or a migration would do, field by field; write nothing.

    A data directory's servers and volumes need their source cloud too (--source), as in an import.
    `stackferry start ID` carries a plan out, with the options of the plan.
    """
    said = options.variables(vars_file)
    if directory is None and source is None and os_migrate.data_dir(said) is None:
        raise Error("name a data directory, or a source cloud (--source), or both")
    if directory is None and source is None:
        directory = options.directory(None, said)
    chosen, mapping = options.selection(kinds, filters, said), options.mapping(maps)
    copied = boot_disk_copy or (directory is None and os_migrate.boot_disk_copy(said) is True)
    params = options.migration_params(said, warm, cutover_when, copied, wait_for_shutdown, start_servers)
    with client() as ferry:
        sides = place(source, source_project), place(destination, destination_project)
        os_migrate.check(ferry, said, {"src": sides[0], "dst": sides[1]})
        what = {"selection": chosen} if directory is None else _from_files(ferry, directory, sides[0], chosen, said)
        migration = ferry.migrate(
            *sides, mode="plan", mapping=mapping, migration_params=params, volumes_at_once=volumes_at_once,
            servers_at_once=servers_at_once, bandwidth=bandwidth, prune=prune, name=name,
            labels=options.labels(label), **what,
        )  # fmt: skip
        state = _finish(ferry, migration, format_, quiet=not output.console.is_terminal)
    options.note_unmatched(chosen, state)
    report.print_plan(state, format_)
    raise typer.Exit(report.exit_code(state))


def import_(
    directory: Directory = None,
    source: Source = None,
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
    prune: Prune = False,
    maps: Map = None,
    name: Name = None,
    label: Label = None,
    format_: Output = output.Format.table,
) -> None:
    """Make a destination match a data directory: create what is missing, update what differs.

    Servers and volumes need their source cloud too (--source): their disks are read there.
    """
    said = options.variables(vars_file)
    directory = options.directory(directory, said)
    chosen, mapping = options.selection(kinds, filters, said), options.mapping(maps)
    params = options.migration_params(said, warm, cutover_when, boot_disk_copy, wait_for_shutdown, start_servers)
    with client() as ferry:
        sides = place(source, source_project), place(destination, destination_project)
        os_migrate.check(ferry, said, {"src": sides[0], "dst": sides[1]})
        what = _from_files(ferry, directory, sides[0], chosen, said)
        migration = ferry.migrate(
            *sides, mapping=mapping, migration_params=params, volumes_at_once=volumes_at_once,
            servers_at_once=servers_at_once, bandwidth=bandwidth, prune=prune, name=name,
            labels=options.labels(label), **what,
        )  # fmt: skip
        state = _finish(ferry, migration, format_)
    options.note_unmatched(chosen, state)
    report.print_report(state, format_)
    raise typer.Exit(report.exit_code(state))


def _finish(ferry: Client, migration: str, format_: output.Format, quiet: bool = False) -> dict[str, Any]:
    live.follow(ferry, migration, quiet=quiet or format_ is not output.Format.table)
    return ferry.show(migration)


def _from_files(
    ferry: Client, directory: Path, source: dict[str, Any] | None, chosen: dict[str, Any], said: dict[str, Any]
) -> dict[str, Any]:
    """What a data directory asks for, as arguments of the request."""
    found = files.wanted(ferry, directory, source, chosen)
    return {"documents": found, "image_blobs": None if source else files.blobs(directory, said)}
