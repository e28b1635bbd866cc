"""hosts deploy, enrol, list, drain, resume, delete: conversion hosts, through which servers' disks cross."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated, Any

import typer
from stackferry import topology
from stackferry.definitions import password_hash
from stackferry.errors import Error
from stackferry.topology import User

from .. import broker_users, completing, os_migrate, output
from ..broker_users import Rabbitmqctl
from ..connecting import client
from ..hosts import asking, broker, connections, deleting, deploying, flags, options, waiting
from ..hosts.options import Place
from ..hosts.wanted import PORT, Wanted
from ..options import Destination, DestinationProject, Output, Source, SourceProject, Yes, variables
from ..options import place as side_of

app = typer.Typer(help="Conversion hosts: servers in each cloud, through which disks cross.", no_args_is_help=True)
COLUMNS = ("name", "id", "cloud", "project", "state", "agents", "slots", "used", "version", "seen", "why")
Host = Annotated[
    str,
    typer.Argument(metavar="HOST", help="Id of the host, its beginning, or its name.", autocompletion=completing.hosts),
]


@app.command()
def deploy(
    context: typer.Context,
    source: Source = None,
    destination: Destination = None,
    source_project: SourceProject = None,
    destination_project: DestinationProject = None,
    vars_file: flags.Vars = None,
    count: flags.Count = None,
    flavor: flags.Flavor = None,
    image: flags.Image = None,
    name: flags.Name = None,
    volume_size: flags.VolumeSize = None,
    availability_zone: flags.Zone = None,
    config_drive: flags.ConfigDrive = False,
    network: flags.Existing = None,
    external_network: flags.External = None,
    floating_ip: flags.FloatingIp = None,
    cidr: flags.Cidr = None,
    dns: flags.Dns = None,
    mtu: flags.Mtu = None,
    agents: flags.Agents = 1,
    slots: flags.Slots = 4,
    bandwidth: flags.Bandwidth = 0,
    listen_port: flags.ListenPort = PORT,
    package: flags.Package = None,
    pip_arguments: flags.PipArguments = "",
    pre_hook: flags.PreHook = None,
    post_hook: flags.PostHook = None,
    agent_amqp_uri_file: flags.AmqpUriFile = None,
    rabbitmqctl: Rabbitmqctl = None,
    ca_file: flags.CaFile = None,
    peer: flags.Peer = None,
    ssh_from: flags.SshFrom = None,
    ssh_public_key: flags.SshPublicKey = None,
    key_name: flags.KeyName = None,
    wait: flags.Wait = True,
    timeout: flags.Timeout = 900,
    format_: Output = output.Format.table,
) -> None:
    """Make conversion hosts in the named clouds, and wait until their agents answer.

    A second run makes only what is missing. What says [CLOUD=] may be repeated, once for each cloud:
    --flavor src=m1.small --flavor dst=v1.large.
    """
    said = variables(vars_file)
    places = _places(source, destination, source_project, destination_project)
    uri = broker.agent_uri(agent_amqp_uri_file)
    users = None if broker.names_user(uri) else broker_users.control(rabbitmqctl)
    wanted = options.all_wanted(places, context.params, said, uri)
    _note_loopback(wanted[0])
    if wait and said:
        with client() as ferry:  # hosts in another project than the services use would get no work
            os_migrate.check(ferry, said, {one.side: side_of(one.cloud, one.project) for one in places})
    connected = [(w, connections.connect(w.cloud, w.project, _entry(said, w.cloud))) for w in wanted]
    deadline, say = time.monotonic() + timeout, output.aside(format_).print

    def make() -> list[tuple[Wanted, list[deploying.Host], Any]]:
        made = _deploy(connected, say)
        if users is not None:
            users.make(_users(made), broker_users.vhost_of(uri))
        _await_active(made, deadline, say)
        return made

    if not wait:
        made = make()
    else:
        with client() as ferry:
            ferry.hosts()  # whoever can't be asked is better known of before anything is made
            made = make()
            for one, hosts, connection in made:
                waiting.agents(one, hosts, connection, ferry, deadline, say)
    output.tell(format_, [_row(one, host) for one, hosts, _ in made for host in hosts])


@app.command()
def enrol(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="Id of the server.")],
    cloud: Annotated[
        str,
        typer.Option(
            "--cloud", "-c", help="Its cloud, as the services' clouds.yaml calls it.", autocompletion=completing.clouds
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where the agents' AMQP URI is written: a secret.")],
    project: Annotated[
        str | None, typer.Option(help="Its project, as migrations name it; that of the credentials otherwise.")
    ] = None,
    agent_amqp_uri_file: flags.AmqpUriFile = None,
    rabbitmqctl: Rabbitmqctl = None,
    format_: Output = output.Format.table,
) -> None:
    """Make the broker's user of a conversion host that you set up yourself.

    `deploy` does it by itself for its own. A second time gives it a new password.
    """
    uri = broker.agent_uri(agent_amqp_uri_file)
    if broker.names_user(uri):
        raise Error(f"the broker's URI for the hosts names a user; each host gets its own: {broker.SAY}")
    user, password, users = _user(cloud, project, server), token_urlsafe(24), broker_users.control(rabbitmqctl)
    with broker_users.written(
        to, broker.with_own_user(uri, password, cloud, project).replace(topology.SERVER_ID, server)
    ):
        users.make({user: password_hash(password)}, broker_users.vhost_of(uri))
    output.tell(format_, {"user": user.name, "file": str(to)}, f"{user.name}: STACKFERRY_AMQP_URI is in {to}")


def _row(wanted: Wanted, host: deploying.Host) -> dict[str, Any]:
    return {"cloud": wanted.cloud, "name": host.name, "id": host.id, "address": host.address, "made": host.made}


def _deploy(
    connected: list[tuple[Wanted, Any]], say: Callable[[str], None]
) -> list[tuple[Wanted, list[deploying.Host], Any]]:
    """The destination's come first: the source's have to know who'll fetch from them."""
    done: list[tuple[Wanted, list[deploying.Host], Any]] = []
    for wanted, connection in reversed(connected):
        peers = tuple(range_ for _, hosts, _ in done for host in hosts for range_ in host.seen_as)
        wanted = replace(wanted, peers=(*wanted.peers, *peers))
        done.append((wanted, deploying.deploy(wanted, connection, say), connection))
    return done


def _users(made: list[tuple[Wanted, list[deploying.Host], Any]]) -> dict[User, str]:
    """The hosts' users of the broker, each with the hash of its password."""
    everyone = [(wanted, host) for wanted, hosts, _ in made for host in hosts]
    return {_user(w.cloud, w.project, host.id): host.password_hash for w, host in everyone if host.password_hash}


def _user(cloud: str, project: str | None, server: str) -> User:
    return topology.host_user(topology.Enrolled(server, cloud, project or ""))


def _await_active(
    made: list[tuple[Wanted, list[deploying.Host], Any]], deadline: float, say: Callable[[str], None]
) -> None:
    for wanted, hosts, connection in made:
        waiting.active(wanted, hosts, connection, deadline)
        for host in hosts:
            word = "is on" if host.made else "was there"
            say(f"{wanted.cloud}: {host.name} {word} ({host.id}, {host.address})")


@app.command("list")
def list_(format_: Output = output.Format.table) -> None:
    """Show every host: how full it is, whether it gets work, and why not."""
    with client() as ferry:
        output.show(ferry.hosts(), format_, COLUMNS)


@app.command()
def drain(host: Host, format_: Output = output.Format.table) -> None:
    """Give a host no new volumes. It finishes those that it has: `list` shows when it's empty."""
    _tell(host, "drain", format_)


@app.command()
def resume(host: Host, format_: Output = output.Format.table) -> None:
    """Give a drained host work again."""
    _tell(host, "resume", format_)


def _tell(host: str, action: str, format_: output.Format) -> None:
    row = asking.tell(host, action)
    output.tell(format_, row, f"{row['name']} ({row['id']}): {row['state']}, {row['used']} volumes under way")


@app.command()
def delete(
    hosts: Annotated[list[str] | None, typer.Argument(metavar="[HOST]...", help="Only these, by name or id.")] = None,
    source: Source = None,
    destination: Destination = None,
    source_project: SourceProject = None,
    destination_project: DestinationProject = None,
    vars_file: flags.Vars = None,
    rabbitmqctl: Rabbitmqctl = None,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Even if they have work, or nobody knows.")] = False,
    format_: Output = output.Format.table,
) -> None:
    """Delete what `hosts deploy` has made in the named clouds: hosts, network, router, security group.

    Nothing else is touched. With HOST, only that one; what hosts share goes with the last of them.
    """
    said = variables(vars_file)
    places = _places(source, destination, source_project, destination_project)
    connected = [(p, connections.connect(p.cloud, p.project, _entry(said, p.cloud))) for p in places]
    found = deleting.look_in(connected, hosts or [])
    lines = [f"{place.cloud}: {line}" for place, _, mine in found for line in mine.lines()]
    if not lines:
        output.tell(format_, {"deleted": []}, "`hosts deploy` has made nothing here")
        return
    ids = [server.id for _, _, mine in found for server in mine.servers]
    if not yes:
        for line in lines:
            output.aside(format_).print(line)
        output.confirm(f"Delete these {len(lines)}?")
    if not force:
        asking.take_out(ids)
    _dismiss(found, rabbitmqctl)  # while the servers still say who they are: a second run would find none
    for place, connection, mine in found:
        with connections.explained(place.cloud):
            deleting.delete(mine, connection)
    output.tell(format_, {"deleted": lines}, *(f"deleted: {line}" for line in lines))
    asking.forget(ids)


def _dismiss(found: list[tuple[Place, Any, deleting.Found]], rabbitmqctl: str | None) -> None:
    """Delete the hosts' users of the broker: of no use to anybody but to whoever knows a password."""
    mine = [(place, server) for place, _, each in found for server in each.servers]
    users = [_user(p.cloud, p.project, s.id) for p, s in mine if deploying.PASSWORD_HASH in (s.metadata or {})]
    try:
        if users:
            broker_users.control(rabbitmqctl).delete(users)
    except Error as error:
        names = " ".join(user.name for user in users)
        output.errors.print(f"note: users of the broker are left over, delete them there ({names}): {error}")


def _places(
    source: str | None, destination: str | None, source_project: str | None, destination_project: str | None
) -> list[Place]:
    sides = (("src", source, source_project), ("dst", destination, destination_project))
    if not (places := [Place(side, cloud, project) for side, cloud, project in sides if cloud]):
        raise Error("which clouds? say -s SOURCE, -d DESTINATION, or both")
    return places


def _entry(said: dict[str, Any], cloud: str) -> dict[str, Any] | None:
    """What clouds.yaml would say, if the variables file has credentials for a cloud of this name."""
    if f"os_migrate_{cloud}_auth" not in said:
        return None
    entry: dict[str, Any] = os_migrate.clouds(said)["clouds"][cloud]
    return entry


def _note_loopback(wanted: Wanted) -> None:
    if broker.only_here(wanted.guest.amqp_uri):
        output.errors.print(f"note: hosts are told a broker that only this machine can reach; otherwise {broker.SAY}")
