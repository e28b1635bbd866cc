"""Processes that outlive the command that started them: told apart by pid and start time, stopped by pid."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One background process with its log and its pid file, both in folders of *home*."""

    name: str
    home: Path

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.home / "logs" / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """``<pid> <start time>``."""
        return self.home / "run" / f"{self.name}.pid"

    def pid(self) -> int | None:
        """The pid, when this very process runs."""
        try:
            pid, started = self.pid_file.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == started else None

    def start(self, command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, so that the terminal's signals don't reach it."""
        for folder in (self.log.parent, self.pid_file.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                command,
                env=env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid_file.write_text(f"{child.pid} {start_time(child.pid)}")
        return child

    def stop(self, timeout: float = 45) -> bool:
        """Ask it to end, insist after *timeout* seconds; return whether it ran."""
        pid = self.pid()
        if pid is None:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if until(lambda: self.pid() is None, timeout):
                break
        self.pid_file.unlink(missing_ok=True)
        return True

    def last_lines(self, count: int = 12) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])
        except OSError:
            return ""


def start_time(pid: int) -> str | None:
    """The kernel's start time of a process; None when it's gone, or dead and not yet waited for."""
    with suppress(OSError):
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else rest[18]
    return None


def until(condition: Callable[[], bool], timeout: float) -> bool:
    """Return whether *condition* came true within *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)  # how often we look
    return True
