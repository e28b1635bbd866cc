"""How a batch of volumes gets faster with more agents, and with a host that is added while it moves.

    python benchmarks/scaling.py [--agents 1 2 4] [--volumes 8] [--mib 48] [--cap 4]

The volumes, attached nowhere, cross from one sandbox cloud to the other through one conversion host in each, with so
many agents. Each agent of the source sends at most ``--cap`` MiB/s, far less than this machine could: so the cap is
what limits, as a host's network is elsewhere. In the last line a second host joins at each side once a quarter is over.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import yaml
from stackferry.client import Client
from stackferry.definitions import password_hash
from stackferry.resources.conversion import MARK, METADATA
from stackferry.topology import Enrolled, host_user
from stackferry_cli import broker_users
from stackferry_cli.hosts import broker
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack
from stackferry_sandbox import Sandbox
from stackferry_sandbox.connections import connect
from stackferry_sandbox.hosts import user_data

MIB = 1 << 20


@dataclass
class Project:
    """A project of one's own; ``entry`` is its name in the services' clouds.yaml."""

    cloud: str
    name: str
    entry: str
    connection: Any


class Bench:
    """Two clouds and the services."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.box, self.stack = Sandbox(), Stack(folder / "home")
        self.box.up("src", "dst")
        self.entries: dict[str, Any] = {}
        self.clouds = folder / "clouds.yaml"
        self.clouds.write_text("clouds: {}")

    def project(self, cloud: str) -> Project:
        name = f"bench-{os.urandom(3).hex()}"
        entry = f"{cloud}-{name}"
        self.entries[entry] = self.box.create_tenant(cloud, name)
        self.clouds.write_text(yaml.safe_dump({"clouds": self.entries}))
        c = connect(self.entries[entry])
        wire = c.network.create_network(name="wire", description=MARK)
        c.network.create_subnet(network_id=wire.id, name="wire", description=MARK, ip_version=4, cidr="192.168.0.0/24")
        c.image.create_image(name="host", disk_format="raw", container_format="bare", data=b"x" * 512)
        return Project(cloud, name, entry, c)

    def host(self, project: Project, agents: int) -> Any:
        """A conversion host whose agents answer."""
        cap = self.options.cap * MIB if project.cloud == "src" else 0
        password = token_urlsafe(18)
        uri = broker.with_own_user(self.stack.node.address(), password, project.entry)
        env = {"STACKFERRY_AMQP_URI": uri, "STACKFERRY_CLOUD": project.entry,
               "STACKFERRY_AGENTS": agents, "STACKFERRY_SLOTS": 2, "STACKFERRY_BANDWIDTH": cap}  # fmt: skip
        compute = project.connection.compute
        made = compute.create_server(
            name="host", flavor_id=compute.find_flavor("m1.tiny").id, metadata=METADATA,
            image_id=next(iter(project.connection.image.images(name="host"))).id,
            networks=[{"uuid": next(iter(project.connection.network.networks(name="wire"))).id}],
            user_data=base64.b64encode(user_data(env).encode()).decode(),
        )  # fmt: skip
        user = host_user(Enrolled(made.id, project.entry))
        broker_users.local(self.stack.node).make({user: password_hash(password)})
        made = compute.wait_for_server(made, interval=0.3, wait=300)
        run = self.box.server_folder(project.cloud, made.id) / "run"
        ready = [run / f"agent-{number}.ready" for number in range(1, agents + 1)]
        if not until(lambda: all(file.exists() for file in ready), 120):
            raise SystemExit(f"the agents of {made.id} don't answer; see {run.parent}/var/log")
        return made

    def volume(self, project: Project, number: int) -> None:
        """A volume of 1 GiB with noise at its beginning."""
        storage = project.connection.block_storage
        made = storage.wait_for_status(
            storage.create_volume(name=f"volume-{number}", size=1), "available", interval=0.2
        )
        with self.box.volume_file(project.cloud, made.id).open("r+b") as content:
            content.write(random.Random(number).randbytes(self.options.mib * MIB))

    def cross(self, agents: int, join: bool = False) -> tuple[float, list[int]]:
        """Move the batch; return the seconds, and how many of the volumes each of the source's hosts sent."""
        with ExitStack() as stack, Client(self.stack.uri()) as ferry:
            projects = [self.project(cloud) for cloud in ("src", "dst")]
            for project in projects:
                stack.callback(self.box.delete_tenant, project.cloud, project.name)
                self.host(project, agents)
            for number in range(self.options.volumes):
                self.volume(projects[0], number)
            selection, began = {"kinds": ["volume"]}, time.monotonic()
            migration = ferry.migrate(projects[0].entry, projects[1].entry, selection=selection)
            if join:
                part = self.options.volumes // 4
                until(lambda: _ended(ferry.show(migration), "copy") >= part, 600)
                for project in projects:
                    self.host(project, agents)
            ferry.wait_for(migration, "done", timeout=1800)
            seconds = time.monotonic() - began
            steps = ferry.show(migration)["steps"]
            if bad := [s["reason"] for s in steps if s["state"] != "done" and s["action"] == "ensure"]:
                raise SystemExit(f"not all volumes arrived: {bad}")
            sent = [s["results"]["source_host"] for s in steps if s["action"] == "assign"]
            return seconds, sorted(map(sent.count, set(sent)), reverse=True)


def _ended(state: dict[str, Any], action: str) -> int:
    return sum(step["action"] == action and step["state"] == "done" for step in state["steps"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--volumes", type=int, default=8)
    parser.add_argument("--mib", type=int, default=48, help="noise in each volume")
    parser.add_argument("--cap", type=int, default=4, help="MiB a second that each agent of the source sends at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackferry-bench-") as folder:
        bench = Bench(Path(folder), options)
        try:
            bench.stack.up(environ={"OS_CLIENT_CONFIG_FILE": str(bench.clouds)})
            report(options, bench.cross)
        finally:
            bench.stack.down()


def report(options: argparse.Namespace, cross: Callable[..., tuple[float, list[int]]]) -> None:
    """Print the table, line by line."""
    whole = options.volumes * options.mib
    print(f"{options.volumes} volumes with {whole} MiB together; {options.cap} MiB/s for each agent of the source\n")
    print(
        "| agents a side | seconds | MiB/s | the caps alone, seconds | volumes by host | load |\n|---|---|---|---|---|---|"
    )
    runs = [(agents, False) for agents in options.agents] + [(options.agents[0], True)]
    for agents, join in runs:
        seconds, shares = cross(agents, join)
        words = f"{agents}, then {agents} more on a second host" if join else str(agents)
        least = "" if join else f"{whole / options.cap / agents:.0f}"
        load = os.getloadavg()[0]
        print(f"| {words} | {seconds:.0f} | {whole / seconds:.1f} | {least} | {shares} | {load:.0f} |", flush=True)


if __name__ == "__main__":
    main()
