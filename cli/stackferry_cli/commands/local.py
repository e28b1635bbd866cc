"""up, down, backup, restore: the whole system on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from stackferry.errors import Error

from .. import options, os_migrate, output
from ..local import credentials
from ..local.stack import KEEPER, Stack, home
from ..options import Output, Yes


def up(
    exporters: Annotated[int, typer.Option(min=1, help="How many exporter processes.")] = 1,
    importers: Annotated[int, typer.Option(min=1, help="How many importer processes.")] = 1,
    vars_file: Annotated[
        Path | None,
        typer.Option("--vars", help="Take the credentials from an OS Migrate variables file.", exists=True),
    ] = None,
    format_: Output = output.Format.table,
) -> None:
    """Start the system on this machine: broker (unless AMQP_URI is set), coordinator, exporter, importer, gateway.

    A service that dies is started again; `status` says how often it was.
    The services find clouds as every OpenStack tool does: OS_CLIENT_CONFIG_FILE, clouds.yaml in the folder that this is
    started in, what an earlier --vars said, clouds.yaml in the user's or the system's folder, or OS_* variables (then
    the cloud is named envvars).
    """
    stack = Stack(home())
    kept = stack.folder / "clouds.yaml"
    if vars_file is not None:
        os_migrate.write_clouds(options.variables(vars_file), kept)
    environ = credentials.variables(Path.cwd(), os.environ, kept)
    if vars_file is not None:
        environ["OS_CLIENT_CONFIG_FILE"] = str(kept)
    stack.process(KEEPER).stop()  # or it could start what we start
    running = [name for name in stack.names() if stack.process(name).pid()]
    stack.up({"exporter": exporters, "importer": importers, "gateway": 1}, environ)
    stack.keep(environ)
    names, logs, file = stack.names(), stack.folder / "logs", environ.get("OS_CLIENT_CONFIG_FILE")
    url, token = stack.gateway.url(), str(stack.gateway.token_file)
    lines = [f"up: {', '.join(names)}; logs in {logs}", *([f"clouds: {file}"] if file else [])]
    lines.append(f"page: {url}, HTTP API: {url}/v1; a token for both is in {token}")
    told = {"up": names, "logs": str(logs), "clouds": file, "ran_already": running, "http": url, "token_file": token}
    output.tell(format_, told, *lines)
    if running:
        text = "ran already, with the credentials of their start; `stackferry down` and `up` to change them"
        output.errors.print(f"note: {', '.join(running)} {text}")


def down(format_: Output = output.Format.table) -> None:
    """Stop the system on this machine. Nothing is lost: what was under way goes on at the next start."""
    stopped = Stack(home()).down()
    output.tell(format_, {"stopped": stopped}, f"stopped: {', '.join(stopped) or 'nothing ran'}")


def uri(
    user: Annotated[str, typer.Argument(help="Who connects: client, operator, admin ...")] = "client",
    format_: Output = output.Format.table,
) -> None:
    """Print how to reach the broker of this machine as a user, for clients of yours. It holds a password."""
    if os.environ.get("AMQP_URI"):
        raise Error("AMQP_URI names a broker: whoever runs it knows its users")
    stack = Stack(home())
    if user not in (known := stack.node.users()):
        raise Error(f"{user!r} is no user of the broker; known are {', '.join(known)}")
    found = stack.node.uri(user)
    output.tell(format_, {"user": user, "uri": found}, found)


def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy is written; it must not be there yet.")],
    format_: Output = output.Format.table,
) -> None:
    """Copy the coordinator's database (SQLite), as it is at one moment, while it's in use."""
    _of_the_database("save", file)
    output.tell(format_, {"file": str(file)}, f"{file}: written")


def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` has written.", exists=True, dir_okay=False)],
    yes: Yes = False,
    format_: Output = output.Format.table,
) -> None:
    """Put a backup in the place of the coordinator's database (SQLite), which stays beside it.

    What was under way when the backup was made isn't gone on with: the same `migrate` again looks at what is there.
    """
    stack = Stack(home())
    if running := [name for name in stack.names() if name.startswith("coordinator") and stack.process(name).pid()]:
        raise Error(f"{running[0]} runs: `stackferry down` first")
    if not yes:
        output.confirm(f"Put {file} in the place of the database?")
    said = _of_the_database("restore", file)
    output.tell(format_, {"said": said}, *said, "restored; `stackferry up` starts with it")


def _of_the_database(what: str, file: Path) -> list[str]:
    """Have the coordinator's own program do it; return what it says."""
    environ = {"STACKFERRY_DATABASE_URL": Stack(home()).database_url, **os.environ}
    words = [sys.executable, "-W", "ignore", "-m", "stackferry_coordinator.storage.backup", what, str(file)]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Error(done.stderr.strip() or f"the backup's program ended with {done.returncode}")
    return done.stdout.splitlines()
