"""Options that several commands share, and what they mean for the bus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from stackferry.client import Client
from stackferry.errors import Error
from stackferry.resources.migration_params import SERVER, wrong_choices
from stackferry.selection import unmatched
from stackferry.wording import written

from . import completing, os_migrate
from .output import Format, errors

Output = Annotated[Format, typer.Option("-o", "--output", help="How to print.")]
Source = Annotated[
    str | None,
    typer.Option("-s", "--source", help="Source cloud, by its name in clouds.yaml.", autocompletion=completing.clouds),
]
SourceProject = Annotated[str | None, typer.Option(help="Project of the source, when it isn't the credentials' own.")]
Destination = Annotated[
    str | None,
    typer.Option("-d", "--destination", help="Destination cloud, by its name.", autocompletion=completing.clouds),
]
DestinationProject = Annotated[str | None, typer.Option(help="Project of the destination.")]
KindsOption = Annotated[
    list[str] | None,
    typer.Option(
        "-k",
        "--kind",
        help="Only this kind; may be repeated. All kinds when not given.",
        autocompletion=completing.kinds,
    ),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "-f",
        "--filter",
        help="KIND=NAME keeps this name, KIND~REGEX those that match; may be repeated, any match keeps.",
    ),
]
Vars = Annotated[
    Path | None,
    typer.Option(
        "--vars",
        help="An OS Migrate variables file: its filters and folders count, and it must be about the same clouds "
        "(docs/from-os-migrate.md).",
        exists=True,
        dir_okay=False,
    ),
]
Warm = Annotated[
    bool,
    typer.Option("--warm", help="Copy the disks of servers that run while they do, and stop them only at the end."),
]
CutoverWhen = Annotated[
    str | None,
    typer.Option(
        "--cutover", metavar="WHEN",
        help="With --warm: `auto` (when a pass writes little), `manual` (by `stackferry cutover`), or a time such as "
        "2026-01-31T02:00:00+01:00.",
    ),
]  # fmt: skip
BootDiskCopy = Annotated[
    bool,
    typer.Option("--boot-disk-copy", help="Copy the root disks of servers that were made from an image into volumes."),
]
WaitForShutdown = Annotated[
    bool,
    typer.Option("--wait-for-shutdown", help="Stop no server: each is moved when whoever runs it has shut it down."),
]
StartServers = Annotated[
    bool,
    typer.Option("--start-servers", help="Start servers at the destination that are stopped at the source, too."),
]
VolumesAtOnce = Annotated[
    int | None, typer.Option(min=1, help="Volumes on the conversion hosts at the same time, at most.")
]
ServersAtOnce = Annotated[
    int | None,
    typer.Option(
        min=1, help="Servers without a disk to copy that are stopped at the same time, at most.", show_default="8"
    ),
]
Bandwidth = Annotated[
    int | None,
    typer.Option(min=1, help="Bytes a second that all volumes of this migration are sent with, at most, together."),
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="KIND:OLD=NEW",
        help="What is called OLD at the source is NEW at the destination; may be repeated. "
        "KIND: flavor, volume_type, availability_zone, network (external), image, keypair.",
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="What you call the migration.")]
Label = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label of the migration; may be repeated.")
]
Prune = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Take Neutron's own rules away from security groups that are there already, where the files hold others "
        "of theirs. Without it only where the files were exported by us.",
    ),
]
Migration = Annotated[
    str,
    typer.Argument(
        help="Id of the migration or its beginning, its name, or `last`.", autocompletion=completing.migrations
    ),
]


Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


def place(cloud: str | None, project: str | None) -> dict[str, Any] | None:
    """One side of a request."""
    return {"cloud": cloud, **({"project": project} if project else {})} if cloud else None


def variables(vars_file: Path | None) -> dict[str, Any]:
    """What an OS Migrate variables file says; what of it has no effect is named once."""
    if vars_file is None:
        return {}
    said = os_migrate.read(vars_file)
    if idle := os_migrate.without_effect(said):
        errors.print(f"note: without effect in {vars_file}:")
        for line in idle:
            errors.print(f"  {line}")
    for name in os_migrate.unknown(said):
        errors.print(f"warning: {vars_file}: {name} is no variable of OS Migrate; a typing error?")
    return said


def note_unmatched(chosen: dict[str, Any], state: dict[str, Any]) -> None:
    """Say which filters, and which kinds, matched nothing: most often a typing error."""
    if state["phase"] == "stuck":
        return
    named = [(s["kind"], s["name"]) for s in state["steps"] if s["action"] in ("keep", "ensure", "check", "compare")]
    for what in unmatched(chosen, named):
        errors.print(f"warning: {what} matches nothing")


def directory(typed: Path | None, said: dict[str, Any]) -> Path:
    """The data directory: as typed, else as OS Migrate's variable says."""
    if typed is None:
        if (given := os_migrate.data_dir(said)) is None:
            raise Error("name a data directory, or a variables file (--vars) that says os_migrate_data_dir")
        typed = Path(given)
    elif "os_migrate_data_dir" in said and Path(str(said["os_migrate_data_dir"])).resolve() != typed.resolve():
        errors.print(f"note: os_migrate_data_dir is {said['os_migrate_data_dir']!r}; {typed} is used, as typed")
    if typed.exists() and not typed.is_dir():
        raise Error(f"{typed} is no directory")
    return typed


def selection(kinds: list[str] | None, filters: list[str] | None, said: dict[str, Any]) -> dict[str, Any]:
    """What to move; raise Error naming what can't be understood."""
    chosen: dict[str, Any] = {"filters": found} if (found := os_migrate.filters(said)) else {}
    if kinds:
        chosen["kinds"] = [written.known_kind(kind) for kind in kinds]
    with _of("--filter"):
        for kind, items in written.filters(filters or ()).items():
            chosen.setdefault("filters", {}).setdefault(kind, []).extend(items)
    return chosen


def migration_params(
    said: dict[str, Any],
    warm: bool = False,
    cutover: str | None = None,
    boot_disk_copy: bool = False,
    wait_for_shutdown: bool = False,
    start_servers: bool = False,
) -> dict[str, Any] | None:
    """What the servers' documents shall say of how they're moved; raise Error naming what can't be understood.

    *said*: an OS Migrate variables file.
    """
    if cutover and not warm:
        raise Error("--cutover says when a warm migration ends; add --warm")
    params: dict[str, Any] = {"mode": "warm", **({"cutover": cutover} if cutover else {})} if warm else {}
    if wrong := dict(wrong_choices(SERVER, params)):
        raise Error(f"--cutover: {'; '.join(wrong['cutover'])}")
    params |= {"boot_disk_copy": True} if boot_disk_copy else {}
    started = start_servers or bool(said)  # OS Migrate wants servers stopped before, and starts them
    params |= {"power": "running"} if started else {}
    left = os_migrate.leaves_running(said)
    if left:
        errors.print(f"note: {os_migrate.STOP} is false: servers that run are waited for until they're shut down")
    params |= {"shutdown": "wait"} if left or wait_for_shutdown else {}
    return params or None


def waiting_to_cut_over(steps: list[dict[str, Any]]) -> list[str]:
    """Names and ids of the servers that can be told to cut over."""
    open_ = [s for s in steps if s["action"] == "cutover" and s["state"] in ("waiting", "resting")]
    return [str(word) for step in open_ for word in (step["name"], step["source_id"])]


def mapping(texts: list[str] | None) -> dict[str, dict[str, str]]:
    """What is called otherwise at the destination; raise Error naming what can't be understood."""
    with _of("--map"):
        return written.mapping(texts or ())


def image_blobs(directory: Path, said: dict[str, Any]) -> Path:
    """The folder of the images' payloads: OS Migrate's variable says another one than `image_blobs` beside them."""
    return Path(os_migrate.image_blobs_dir(said) or directory / "image_blobs").resolve()


def labels(words: list[str] | None) -> dict[str, str]:
    """What --label says; Error for what is none."""
    with _of("--label"):
        return written.labels(words or ())


@contextmanager
def _of(flag: str) -> Iterator[None]:
    """Say whose text can't be understood."""
    try:
        yield
    except Error as error:
        raise Error(f"{flag} {error}") from None


def find(ferry: Client, named: str) -> str:
    """Return the id of the one migration that has this name, or whose id begins so.

    ``last`` is the youngest that moves something, or plans to: no export.
    """
    known = ferry.migrations()
    if named == "last" and (moving := [one["id"] for one in known if one["mode"] != "export"]):
        return str(moving[-1])
    found = [one["id"] for one in known if one["id"] == named] or [
        one["id"] for one in known if one.get("name") == named or (named and one["id"].startswith(named))
    ]
    if len(found) != 1:
        raise Error(
            f"{len(found) or 'no'} migrations have the name {named!r}, or an id that begins so; see `stackferry list`"
        )
    return str(found[0])
