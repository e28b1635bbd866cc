"""Waits until hosts are switched on, and until their agents have said that they're there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from stackferry.client import Client
from stackferry.errors import Error, NoAnswer

from .connections import CloudUnavailable, explained
from .deploying import Host
from .wanted import Wanted

LOOK_EVERY = 1.0  # seconds
LINES = 15  # of a console log


def active(wanted: Wanted, hosts: Sequence[Host], connection: Any, deadline: float) -> None:
    """Return when every host is on; start what is off; raise Error naming a host that can't be used."""
    compute = connection.compute
    with explained(wanted.cloud):
        for host in hosts:
            if compute.get_server(host.id).status == "SHUTOFF":
                compute.start_server(host.id)
        for host in hosts:
            while (server := compute.get_server(host.id)).status != "ACTIVE":
                if server.status == "ERROR":
                    why = (server.fault or {}).get("message") or "Nova doesn't say why"
                    raise Error(f"{host.name} ({host.id}) is in ERROR: {why}; `hosts delete` it, and deploy again")
                _before(deadline, f"{host.name} ({host.id}) is still {server.status}")


def agents(
    wanted: Wanted, hosts: Sequence[Host], connection: Any, ferry: Client, deadline: float,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Return when all agents of every host have said that they're there; raise NoAnswer with the console's end."""
    missing = {host.id: host for host in hosts}
    while missing:
        answering = {row["id"]: row["agents"] for row in ferry.hosts() if row["agents"]}
        for id_ in [id_ for id_ in missing if answering.get(id_, 0) >= wanted.guest.agents]:
            host = missing.pop(id_)
            say(f"{wanted.cloud}: {host.name} is ready, {answering[id_]} agents answer")
        if missing and time.monotonic() > deadline:
            raise NoAnswer("\n".join(_silent(host, connection) for host in missing.values()))
        if missing:
            time.sleep(LOOK_EVERY)


def _before(deadline: float, otherwise: str) -> None:
    if time.monotonic() > deadline:
        raise CloudUnavailable(otherwise)
    time.sleep(LOOK_EVERY)


def _silent(host: Host, connection: Any) -> str:
    """Why a person should look at a host, and what its console said last."""
    text = f"no agent on {host.name} ({host.id}) has said that it's there: can it reach the broker and its packages?"
    console = _console(host, connection)
    return f"{text} The end of its console:\n{console}" if console else f"{text} The cloud shows no console of it."


def _console(host: Host, connection: Any) -> str:
    from keystoneauth1 import exceptions as keystone
    from openstack import exceptions as sdk

    try:
        output = connection.compute.get_server_console_output(host.id, length=LINES)
    except (keystone.ClientException, sdk.SDKException):
        return ""  # a courtesy: not every cloud has one
    text = output.get("output", "") if isinstance(output, dict) else str(output or "")
    return "\n".join(text.splitlines()[-LINES:])
