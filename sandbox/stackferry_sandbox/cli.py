"""The command line: ``stackferry-sandbox install|up|down|destroy|status|clouds-yaml|seed``."""

import dataclasses
import enum
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
import yaml
from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException
from rich.console import Console
from rich.table import Table

from stackferry_sandbox.connections import TENANT, connect
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.guests import Guests
from stackferry_sandbox.sandbox import DEFAULT_CLOUDS, Sandbox
from stackferry_sandbox.seed import seed_stacks, seed_tenant
from stackferry_sandbox.seed.build import IMAGE_MIB
from stackferry_sandbox.status import CloudStatus

app = typer.Typer(
    name="stackferry-sandbox",
    help="Real OpenStack clouds on loopback, for tests and a demo.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
messages = Console(stderr=True, highlight=False, soft_wrap=True)

StateOption = Annotated[
    Path | None,
    typer.Option("--state", envvar="STACKFERRY_SANDBOX", help="The folder of all state.", show_default=False),
]
NamesArgument = Annotated[list[str] | None, typer.Argument(help="Which clouds.", show_default=False)]


class Format(enum.StrEnum):
    """How to print a result."""

    TABLE = "table"
    JSON = "json"


@app.callback()
def common(context: typer.Context, state: StateOption = None) -> None:
    """Real OpenStack clouds on loopback, for tests and a demo."""
    context.obj = Sandbox(state, tell=lambda line: messages.print(line, markup=False))


@app.command()
def install(context: typer.Context) -> None:
    """Make the Python environment of the clouds, unless it is there."""
    context.obj.install()


@app.command()
def up(context: typer.Context, names: NamesArgument = None) -> None:
    """Start clouds (src and dst if none is named).

    The first time this also installs the environment, builds the template, and makes the clouds.
    """
    began = time.monotonic()
    context.obj.up(*names or ())
    messages.print(f"after {time.monotonic() - began:.1f} s; clients: {context.obj.state.clouds_yaml}")


@app.command()
def down(context: typer.Context, names: NamesArgument = None) -> None:
    """Stop clouds (all if none is named) and keep their state."""
    context.obj.down(*names or ())


@app.command()
def destroy(context: typer.Context, names: NamesArgument = None) -> None:
    """Stop clouds (all if none is named) and remove their state."""
    context.obj.destroy(*names or ())


@app.command()
def guests(context: typer.Context, names: NamesArgument = None) -> None:
    """Let clouds (src and dst if none is named) have servers that are real guests; needs root and QEMU.

    The first time this also makes their image, which takes some minutes.
    """
    Guests(context.obj).prepare(*names or DEFAULT_CLOUDS)


@app.command()
def status(
    context: typer.Context,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print it.")] = Format.TABLE,
) -> None:
    """Show what exists, what runs, and how much memory it takes."""
    found = context.obj.status()
    if output is Format.JSON:
        print(json.dumps([dataclasses.asdict(cloud) for cloud in found], indent=2))
    else:
        Console().print(status_table(found))


@app.command("clouds-yaml")
def clouds_yaml(context: typer.Context) -> None:
    """Print a clouds.yaml, with passwords, for all clouds."""
    print(context.obj.clouds_yaml(), end="")


@app.command()
def seed(
    context: typer.Context,
    cloud: Annotated[str, typer.Argument(help="In which cloud.")],
    project: Annotated[str, typer.Option(help="In which project; a new one is made.")] = TENANT,
    size: Annotated[int, typer.Option(min=1, help="MiB of each image.")] = IMAGE_MIB,
    stacks: Annotated[int, typer.Option(min=0, help="Build so many equal stacks instead.")] = 0,
    prefix: Annotated[str, typer.Option(help="How the names of stacks begin.")] = "stack",
) -> None:
    """Fill a project with a realistic tenant, or with equal stacks."""
    sandbox: Sandbox = context.obj
    began = time.monotonic()
    login = None if project == TENANT else sandbox.create_tenant(cloud, project)
    with sandbox.connect(cloud) if login is None else connect(login) as member:
        if stacks:
            seed_stacks(member, stacks, prefix, tell=sandbox.tell)
        else:
            with sandbox.connect(f"{cloud}-admin") as admin:
                disks = sandbox.disks(cloud)
                if not seed_tenant(member, admin, size_mib=size, disks=disks, tell=sandbox.tell):
                    messages.print(f"project {project} of {cloud} has this tenant already")
    messages.print(f"after {time.monotonic() - began:.1f} s")
    if login:
        print(yaml.safe_dump({"clouds": {f"{cloud}-{project}": login}}, sort_keys=False), end="")


def status_table(clouds: list[CloudStatus]) -> Table:
    """The table that ``status`` prints."""
    table = Table("cloud", "service", "pid", "url")
    table.add_column("memory (MiB)", justify="right")
    for cloud in clouds:
        for service in cloud.services:
            pid = str(service.pid) if service.pid else "[red]down[/red]"
            memory = f"{service.pss_kib / 1024:.0f}" if service.pid else ""
            table.add_row(cloud.name, service.name, pid, service.url, memory)
        total = sum(service.pss_kib for service in cloud.services) / 1024
        table.add_row(cloud.name, "all", "", "", f"{total:.0f}", end_section=True)
    return table


def main() -> None:
    """Run the command line; an error is a message and an exit code, not a traceback."""
    try:
        app()
    except (SandboxError, SDKException, ClientException, OSError, subprocess.SubprocessError) as error:
        messages.print(f"error: {error}", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        messages.print("interrupted; what was started keeps running: `stackferry-sandbox status`")
        sys.exit(130)
