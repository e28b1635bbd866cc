"""clients enrol, dismiss: users of the broker for people and programs that ask for migrations."""

from __future__ import annotations

import os
import re
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated
from urllib.parse import quote, urlsplit

import typer
from stackferry import topology
from stackferry.definitions import password_hash
from stackferry.errors import Error

from .. import broker_users, output
from ..broker_users import Rabbitmqctl
from ..local.stack import Stack, home
from ..options import Output

app = typer.Typer(help="Users of the broker that may ask for migrations.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user: letters, digits and hyphens.")]
TAKEN = {user.name for user in topology.USERS} | {topology.HOST.service, "admin", "guest"}


@app.command()
def enrol(
    name: Name,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where the user's AMQP URI is written: a secret.")],
    cloud: Annotated[
        list[str] | None,
        typer.Option("--cloud", metavar="NAME", help="Let it hear of migrations between these clouds only."),
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option("--project", metavar="NAME", help="Let it hear of migrations between these projects only."),
    ] = None,
    rabbitmqctl: Rabbitmqctl = None,
    format_: Output = output.Format.table,
) -> None:
    """Make a user of the broker. What it may ask for, the coordinator's file of clients says (STACKFERRY_CLIENTS).

    With --cloud or --project (both may be given several times) the broker keeps from it what is told of all others. A
    second time gives it a new password, and these limits in place of those before.
    """
    _check(name)
    user, password = topology.client_user(name, cloud or None, project or None), token_urlsafe(24)
    where = urlsplit(os.environ.get("AMQP_URI") or Stack(home()).node.address())
    place = where.netloc.rpartition("@")[2]
    users = broker_users.control(rabbitmqctl)
    vhost = broker_users.vhost_of(where.geturl())  # written in the form that every client takes
    uri = where._replace(netloc=f"{name}:{password}@{place}", path=f"/{quote(vhost, safe='')}").geturl()
    with broker_users.written(to, uri):
        users.make({user: password_hash(password)}, vhost)
        users.delete_queues(topology.client_queues(name), vhost)  # with bindings that it might not make any more
    output.tell(format_, {"user": name, "file": str(to)}, f"{name}: its AMQP_URI is in {to}")


@app.command()
def dismiss(name: Name, rabbitmqctl: Rabbitmqctl = None, format_: Output = output.Format.table) -> None:
    """Delete a user that `enrol` has made; its connections end."""
    _check(name)
    broker_users.control(rabbitmqctl).delete([topology.client_user(name)])
    output.tell(format_, {"deleted": name}, f"{name}: deleted")


def _check(name: str) -> None:
    names = ", ".join(sorted(TAKEN))
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", name) or name in TAKEN:
        raise Error(f"{name!r} can't be a client's name: lower-case letters, digits and hyphens, and not {names}")
