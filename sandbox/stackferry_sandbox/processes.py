"""Processes of services: who they are, whether they live, how they end."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from stackferry_sandbox.files import read_json
from stackferry_sandbox.layout import CloudPaths
from stackferry_sandbox.services import NAMES

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Process:
    """A process, told apart from a later one of the same pid by its start time.

    The command line can't tell: neutron rewrites its own (setproctitle), environment included.
    """

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return start_time(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process is still there."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if there is none."""
    folder = Path(f"/proc/{pid}")
    try:
        state, *rest = (folder / "stat").read_text(encoding="latin-1").rpartition(")")[2].split()
        # A killed process shows as a zombie when its first thread has ended. While others are still
        # ending, it keeps its sockets, and so its port.
        dead = state in "ZX" and len(list((folder / "task").iterdir())) <= 1
    except OSError:
        return None
    return None if dead else rest[18]


@dataclass(frozen=True)
class Running:
    """A service's process and the launcher that forked it."""

    process: Process
    launcher: Process


def read_running(paths: CloudPaths, service: str) -> Running | None:
    """The process that was started as a service, dead or alive."""
    record = read_json(paths.pid(service))
    return record and Running(Process(*record["process"]), Process(*record["launcher"]))


def process_of(paths: CloudPaths, service: str) -> Process | None:
    """The live process of a service."""
    running = read_running(paths, service)
    return running.process if running and running.process.alive else None


def memory_of(process: Process) -> dict[str, int]:
    """Resident memory in KiB: all of it, and with shared pages divided among their users."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="latin-1").splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines[1:])
    return {name.lower(): int(fields[name].split()[0]) for name in ("Rss", "Pss") if name in fields}


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition; False if it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(processes: Iterable[Process], patience: float = 10.0) -> None:
    """End processes and wait until they are gone."""
    processes = list(processes)
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 60.0)):
        for process in processes:
            process.send(number)
        if wait_until(lambda: not any(process.alive for process in processes), seconds):
            return


def stop_services(clouds: Iterable[CloudPaths], others: Iterable[CloudPaths] = ()) -> None:
    """Stop all services of some clouds, and wait for the launchers that have no child left.

    Args:
        clouds: the clouds to stop.
        others: clouds that may share a launcher with them and keep running.
    """
    stopping = [r for paths in clouds for service in NAMES if (r := read_running(paths, service))]
    end(running.process for running in stopping)
    staying = {
        running.launcher
        for paths in others
        for service in NAMES
        if (running := read_running(paths, service)) and running.process.alive
    }
    leaving = {running.launcher for running in stopping} - staying
    wait_until(lambda: not any(launcher.alive for launcher in leaving), 10.0)
