"""hosts scale: as many conversion hosts as there is work for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from stackferry.client import Client
from stackferry.errors import Error

from .. import output
from ..connecting import client
from ..hosts import scaling
from ..hosts.scaling import Fleet
from ..hosts.wanted import NAME
from ..options import Destination, DestinationProject, Source, SourceProject
from ..options import place as side_of

PAUSE = 30.0  # seconds between two looks


@dataclass
class Scaler:
    """What is scaled, and since when there were too many."""

    sides: tuple[tuple[str, str | None], ...]
    name: str
    least: int
    most: int
    idle: float
    more: tuple[str, ...]
    surplus_since: dict[str, float] = field(default_factory=dict)

    def look(self, ferry: Client, now: float) -> list[str]:
        """Do what there is to do once; return what was done."""
        known = ferry.hosts()
        places = tuple(side_of(cloud, project) or {} for cloud, project in self.sides)
        volumes = scaling.needed(ferry.migrations(["running"]), places[0], places[1])
        fleets = [scaling.fleet(cloud, project, self.name, known) for cloud, project in self.sides]
        want = scaling.wanted(volumes, min(one.slots for one in fleets), self.least, self.most)
        if any(len(one.active) < want for one in fleets):
            return [self._grow(ferry, fleets, want, volumes)]
        return [line for one in fleets for line in self._shrink(ferry, one, want, now)]

    def _grow(self, ferry: Client, fleets: list[Fleet], want: int, volumes: int) -> str:
        """First those that were told to stop, then new ones: the names follow one another."""
        for one in fleets:
            for host in one.draining[: max(0, want - len(one.active))]:
                ferry.control_host(host["id"], "resume")
        _run("deploy", *self._where(), "--count", str(want), "--name", self.name, *self.more)
        self.surplus_since.clear()
        return f"{volumes} volumes: {want} hosts in each cloud"

    def _shrink(self, ferry: Client, of: Fleet, want: int, now: float) -> Iterator[str]:
        """Drain what wasn't needed for a while; delete what is empty by then."""
        if not (surplus := scaling.surplus(of, want)):
            self.surplus_since.pop(of.cloud, None)
        elif now - self.surplus_since.setdefault(of.cloud, now) >= self.idle:
            for host in surplus:
                ferry.control_host(host["id"], "drain")
                yield f"{of.cloud}: {host['name']} takes nothing new"
        for host in scaling.gone(of):
            of_project = ["--source-project", of.project] if of.project else []
            _run("delete", host["id"], "-s", of.cloud, *of_project, "--yes")
            yield f"{of.cloud}: {host['name']} is deleted"

    def _where(self) -> list[str]:
        words = []
        for (cloud, project), flag, long in zip(self.sides, ("-s", "-d"), ("source", "destination"), strict=True):
            words += [flag, cloud, *([f"--{long}-project", project] if project else [])]
        return words


def scale(
    context: typer.Context,
    source: Source = None,
    destination: Destination = None,
    source_project: SourceProject = None,
    destination_project: DestinationProject = None,
    least: Annotated[int, typer.Option("--min", min=0, help="Hosts that are always there, in each cloud.")] = 1,
    most: Annotated[int, typer.Option("--max", min=1, help="Hosts in each cloud, at most.")] = 8,
    idle: Annotated[float, typer.Option(min=0, help="Seconds after which hosts that aren't needed are let go.")] = 600,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks.")] = PAUSE,
    name: Annotated[str, typer.Option(help="Name of the hosts.")] = NAME,
    once: Annotated[bool, typer.Option("--once", help="Look once, such as from cron.")] = False,
) -> None:
    """Keep as many conversion hosts in both clouds as there are volumes for, until it's stopped.

    Options of `hosts deploy` may follow: it makes the hosts. Hosts that aren't needed are drained, and deleted when
    they're empty; one that has work is never.
    """
    if not source or not destination:
        raise Error("say both clouds: -s SOURCE -d DESTINATION")
    if least > most:
        raise Error(f"--min {least} is more than --max {most}")
    sides = (source, source_project), (destination, destination_project)
    scaler = Scaler(sides, name, least, most, idle, tuple(context.args))
    with client() as ferry:
        while True:
            try:
                for line in scaler.look(ferry, time.monotonic()):
                    output.console.print(line)
            except Error as error:
                if once:
                    raise
                output.errors.print(f"will look again: {error}")
            if once:
                return
            time.sleep(every)  # how often people want it looked at


def _run(*words: Any) -> None:
    """Another command of ours, with what it prints; raise Error when it fails."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", "stackferry_cli.app", "hosts", *words], check=False)
    if done.returncode:
        raise Error(f"`stackferry hosts {' '.join(words)}` failed")
