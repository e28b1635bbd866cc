"""Tell processes apart: pid and start time. (The package outside has the same for the services.)"""

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """One process, dead or alive."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return started(self.pid) == self.started

    def signal(self, number: int) -> None:
        """Signal the process and those it has started, if it is still there."""
        if self.alive:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                return


def started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if there is none."""
    folder = Path(f"/proc/{pid}")
    try:
        state, *rest = (folder / "stat").read_text(encoding="latin-1").rpartition(")")[2].split()
        dead = state in "ZX" and len(list((folder / "task").iterdir())) <= 1
    except OSError:
        return None
    return None if dead else rest[18]


def read(path: Path) -> Identity | None:
    """The process that a file names."""
    try:
        return Identity(*json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def write(path: Path) -> None:
    """Name this process in a file; the name holds over an exec."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps([os.getpid(), started(os.getpid())]), encoding="utf-8")
    new.rename(path)
