"""Tell what stands for a server: a folder, or a real guest."""

from pathlib import Path

from stackferry_inside.guest_machine import PORTS, Guest
from stackferry_inside.machine import Machine


def machine_at(path: Path) -> Machine:
    """What stands for the server of a folder."""
    return Guest(path) if (path / PORTS).exists() else Machine(path)


def machines(cloud: Path) -> list[Machine]:
    """All servers of a cloud."""
    return [machine_at(path) for path in sorted((cloud / "hosts").iterdir()) if path.is_dir()]


def guests(cloud: Path) -> list[Guest]:
    """The servers of a cloud that are real guests."""
    return [machine for machine in machines(cloud) if isinstance(machine, Guest)]
