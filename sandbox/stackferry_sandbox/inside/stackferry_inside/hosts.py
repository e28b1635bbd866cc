"""Conversion hosts and guests of a cloud that starts or stops: ``python -m stackferry_inside.hosts boot|halt CLOUD``.

CLOUD is the cloud's folder. Nothing but the standard library and PyYAML is needed: it is also run by the Python that
runs the sandbox, when the clouds' own is gone.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from stackferry_inside import agents, disks
from stackferry_inside.guest_machine import network_of
from stackferry_inside.guest_monitor import GuestError
from stackferry_inside.machine import Machine
from stackferry_inside.machines import guests, machine_at, machines


def hosts(cloud: Path) -> list[Machine]:
    """The servers that have agents."""
    return [machine for machine in machines(cloud) if machine.has_agents]


def boot(cloud: Path) -> None:
    """Bring back the devices of all hosts, and the agents of those whose power is on. nova itself starts guests."""
    found = hosts(cloud)
    for machine in found:
        disks.show_all(machine.folder)
    disks.sweep(cloud)
    for machine in found:
        if machine.runs:
            machine.power_on()


def halt(cloud: Path) -> None:
    """End all agents and guests, and take the devices away. nova must have stopped."""
    folders = [machine.folder for machine in hosts(cloud)]
    agents.stop(folders)
    for folder in folders:
        disks.hide_all(folder)
    disks.sweep(cloud)
    for guest in guests(cloud):
        guest.power_off()
    if (cloud / "etc/guests.json").exists():
        network_of(cloud).remove_if_empty()


def start(cloud: Path, server: str) -> None:
    """Start those agents of one server that don't run."""
    machine = machine_at(cloud / "hosts" / server)
    if not machine.has_agents:
        sys.exit(f"server {server} is not there, or has no agents")
    if not machine.runs:
        sys.exit(f"server {server} is switched off")
    machine.power_on()


ACTIONS: dict[str, Callable[..., None]] = {"boot": boot, "halt": halt, "start": start}

if __name__ == "__main__":
    action, folder, *more = sys.argv[1:]
    try:
        ACTIONS[action](Path(folder), *more)
    except GuestError as error:
        sys.exit(str(error))
