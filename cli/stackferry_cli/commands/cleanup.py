"""cleanup-source: delete at the source what a migration has moved."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from stackferry.cleanup import CLEAN_UP, Candidate, candidates
from stackferry.client import FINAL, Client
from stackferry.errors import Error, NoAnswer
from stackferry.messages import MigrationChanged
from stackferry.step_key import read

from .. import lines, options, output
from ..connecting import client
from ..options import Migration, Output, Yes

COLUMNS = ("kind", "name", "id", "volumes", "ports", "trunks", "floating IPs")
Servers = Annotated[
    list[str] | None,
    typer.Option("--server", help="Only this server, or detached volume, by name or id; may be repeated."),
]


def cleanup_source(
    migration: Migration,
    servers: Servers = None,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list it.")] = False,
    format_: Output = output.Format.table,
) -> None:
    """Delete at the source what this migration has moved and verified, after a list and a question.

    That's servers with their volumes, ports, trunks and floating IPs, and detached volumes. Kept are servers that run
    or ran again, whose server at the destination is not ACTIVE, that have a disk which was not moved, or on which
    something hangs that was not moved, such as snapshots; and what is used elsewhere. Afterwards the migration can't be
    undone.
    """
    with client() as ferry:
        state = ferry.show(options.find(ferry, migration))
        found = chosen(candidates(state["steps"]), servers)
        keys = [one.key for one in found if not one.refusal]
        if format_ is output.Format.table:
            _list(found, output.place(state["source"]))
        if dry_run or not keys:
            output.tell(format_, {"id": state["id"], "to_be_deleted": keys, "stays": _staying(found)})
            return
        if state["phase"] != "done":
            raise Error(f"{state['id']}: its source can be cleaned up when it is done, and it is {state['phase']}")
        if not yes:
            output.confirm(f"Delete these {len(keys)} at {output.place(state['source'])} for good?")
        ferry.clean_up_source(state["id"], keys)
        _follow(ferry, state["id"], output.aside(format_))
        after = ferry.show(state["id"])
    wrong = _report(after, {f"{key}/cleanup-{CLEAN_UP}" for key in keys}, format_)
    raise typer.Exit(output.SOME_FAILED if wrong else output.OK)


def _staying(found: list[Candidate]) -> list[dict[str, str]]:
    return [{"key": one.key, "name": one.name, "why": one.refusal} for one in found if one.refusal]


def chosen(found: list[Candidate], names: list[str] | None) -> list[Candidate]:
    """The workloads that are meant; raise Error for a name that is none's, or one that stays."""
    if not found:
        raise Error("this migration has moved no servers and no volumes")
    if not names:
        return [one for one in found if not one.is_cleaned]
    for name in names:
        named = [one for one in found if name in (one.name, one.source_id)]
        if not named:
            raise Error(f"--server {name!r}: this migration has none of that name or id")
        if len(named) > 1 and name not in [one.source_id for one in named]:
            raise Error(f"--server {name!r}: {len(named)} are called so; give the id ({named[0].source_id} ...)")
        if named[0].refusal:
            raise Error(f"--server {name!r} stays: {named[0].refusal}")
    return [one for one in found if one.name in names or one.source_id in names]


def _list(found: list[Candidate], place: str) -> None:
    rows = [
        {
            "kind": one.kind, "name": one.name, "id": one.source_id,
            "ports": len([*one.parts["ports"], *one.parts["sub_ports"]]) or None,
            "trunks": len(one.parts["trunks"]) or None,
            "volumes": ", ".join(one.names[id_] or id_ for id_ in one.parts["volumes"]) or None,
            "floating IPs": ", ".join(one.names[id_] for id_ in one.parts["floating_ips"]) or None,
        }
        for one in found
        if not one.refusal
    ]  # fmt: skip
    if rows:
        output.show(rows, output.Format.table, COLUMNS, f"to be deleted at {place}:")
    else:
        output.console.print(f"nothing is to be deleted at {place}")
    for one in found:
        if one.refusal:
            output.console.print(f"stays: {one.kind} {one.name}: {one.refusal}")


def _follow(ferry: Client, migration: str, console: Console) -> None:
    """Show what happens until it's over."""
    begun = False
    while True:
        fact = ferry.hear(migration, None if begun else ferry.timeout)
        if fact is None:
            raise NoAnswer("the coordinator did not begin; see `stackferry show` and `stackferry dead-letters list`")
        if fact.type != MigrationChanged.type:
            continue
        console.print(lines.told(fact))
        begun = begun or fact.data["phase"] == "cleaning"
        if begun and fact.data["phase"] in FINAL:
            return


def _report(state: dict[str, Any], keys: set[str], format_: output.Format) -> bool:
    """Print what became of each; return whether something that was to be deleted was kept."""
    deleted, kept, said = [], [], []
    about = {read(key).subject for key in keys}
    for step in state["steps"]:
        what, notes = f"{step['kind']} {step['name']}", (step["notes"] or []) if step["key"] in keys else []
        if step["key"] in keys and step["state"] == "done":
            deleted.append({"key": read(step["key"]).subject, "name": step["name"], "notes": notes})
            said.append(f"deleted    {what}")
        elif read(step["key"]).subject in about and step["state"] == "failed":
            kept.append({"key": read(step["key"]).subject, "name": step["name"], "why": step["reason"]})
            said.append(f"kept       {what}: {step['reason']}")
        said += [f"           {note}" for note in notes]
    output.tell(format_, {"id": state["id"], "deleted": deleted, "kept": kept}, *said)
    return bool(kept)
