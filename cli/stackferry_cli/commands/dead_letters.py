"""dead-letters: messages that nobody could act on."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from stackferry import deadletters
from stackferry.errors import Error

from .. import output
from ..local.stack import Stack, home
from ..options import Output

app = typer.Typer(help="Messages that nobody could act on, with the reasons.", no_args_is_help=True)
Ids = Annotated[list[str] | None, typer.Argument(help="Ids, or their beginnings.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


def _uri() -> str:
    return os.environ.get("AMQP_URI") or Stack(home()).uri("operator")


@app.command("list")
def list_(format_: Output = output.Format.table) -> None:
    """Show what is parked; nothing is taken away."""
    output.show(deadletters.browse(_uri()), format_, ("id", "queue", "type", "reason", "attempts", "error"))


@app.command()
def retry(ids: Ids = None, all_: All = False, format_: Output = output.Format.table) -> None:
    """Put messages back into the queues in which they failed; say of each that stays why it does."""
    found = deadletters.retry(_uri(), _wanted(ids, all_))
    stay = {message["id"]: message["stays"] for message in found if message["stays"]}
    _report(len(found) - len(stay), "put back", all_ or bool(found), format_, stay)
    if stay:
        raise typer.Exit(output.SOME_FAILED)


@app.command()
def drop(ids: Ids = None, all_: All = False, format_: Output = output.Format.table) -> None:
    """Delete messages for good."""
    _report(len(deadletters.drop(_uri(), _wanted(ids, all_))), "dropped", all_, format_)


def _wanted(ids: list[str] | None, all_: bool):  # type: ignore[no-untyped-def]
    if bool(ids) == all_:
        raise Error("name ids (see `stackferry dead-letters list`), or say --all")
    return lambda message: all_ or any(message["id"].startswith(id_) for id_ in ids or [])


def _report(count: int, done: str, all_: bool, format_: output.Format, stay: dict[str, str] | None = None) -> None:
    if not count and not all_:
        raise Error("nothing that is parked has such an id; see `stackferry dead-letters list`")
    content = {done.replace(" ", "_"): count, **({} if stay is None else {"stay": stay})}
    why = [f"{id_} stays: {reason}" for id_, reason in (stay or {}).items()]
    output.tell(format_, content, f"{count} {done}", *why)
