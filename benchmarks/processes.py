"""Processes whose CPU seconds and memory are counted, and a relay that counts bytes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERTZ = os.sysconf("SC_CLK_TCK")


class Counted:
    """A child process; after :meth:`end`, ``cpu`` has the seconds of it and of all its children, ``memory`` MB."""

    def __init__(self, *command: Any, **options: Any) -> None:
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, **options)
        self.cpu = self.memory = 0.0

    def end(self, number: int | None = None) -> None:
        """Wait for its end, after a signal if one is given."""
        if self.process.returncode is not None:
            return
        if number is not None:
            until(lambda: not children(self.process.pid), 10)  # who isn't reaped by it isn't counted
            os.kill(self.process.pid, number)  # Popen's own would reap it, and nobody would count
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu, self.memory = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024

    def stop(self) -> None:
        """End it by SIGTERM."""
        self.end(signal.SIGTERM)


def children(pid: int) -> list[str]:
    """The pids of a process's children."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def cpu_of(pid: int) -> float:
    """CPU seconds of a running process and its reaped children so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / HERTZ


def memory_of(pid: int) -> float:
    """The most memory (MB) that a running process has had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def until(true: Callable[[], Any], seconds: float) -> None:
    """Return when something is true; SystemExit when it doesn't come."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"{true} did not come true in {seconds} s")
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Whether somebody listens at a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Relay:
    """Passes TCP connections on to *address* and counts what crosses, both ways."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._to, self.bytes, self._lock = address, 0, threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", int(self._listener.getsockname()[1]))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._to)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        buffer = memoryview(bytearray(1 << 18))
        try:
            while read := one.recv_into(buffer):
                other.sendall(buffer[:read])
                with self._lock:
                    self.bytes += read
            other.shutdown(socket.SHUT_WR)
        except OSError:
            one.close()
            other.close()
