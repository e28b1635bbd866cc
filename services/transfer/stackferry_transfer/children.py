"""Runs a program of somebody else's that ends when we do, however we end, and keeps its last words."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any

from .errors import ProgramMissing, quotable

GRACE = 5.0  # seconds to end in, before it's killed
_WORDS = 300  # bytes of its last words that are told
#: Runs first in the child: the kernel kills it when its parent ends, and a listening socket is where systemd puts one.
_LEAD_IN = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
if sys.argv[2] != "-":
    given = int(sys.argv[2])
    if given != 3:
        os.dup2(given, 3)
        os.close(given)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Child:
    """A program that runs, until it's closed, or the thread that started it has ended."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        listener: socket.socket | None = None,
        pass_on: Sequence[int] = (),
        stdin: Any = subprocess.DEVNULL,
        stdout: Any = subprocess.DEVNULL,
    ) -> None:
        """Start *command*, which takes over a listening socket and more descriptors; ProgramMissing."""
        if shutil.which(command[0]) is None:
            raise ProgramMissing(f"{command[0]} is not installed on this conversion host")
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the child)
        handed = [] if listener is None else [listener.fileno()]
        lead_in = [sys.executable, "-I", "-S", "-c", _LEAD_IN, str(os.getpid()), str(handed[0]) if handed else "-"]
        self._process = subprocess.Popen(
            [*lead_in, *command],
            env={**os.environ, **environ},
            stdin=stdin,
            stdout=stdout,
            stderr=self._errors,
            pass_fds=(*handed, *pass_on),
        )
        self.stdout, self.pid = self._process.stdout, self._process.pid

    def ended(self) -> int | None:
        """The exit code, once it has ended."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """The exit code; None when it still runs after so long."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def sockets(self) -> int:
        """How many sockets it has open."""
        folder, found = f"/proc/{self.pid}/fd", 0
        for name in os.listdir(folder):
            try:
                found += os.readlink(f"{folder}/{name}").startswith("socket:")
            except FileNotFoundError:
                continue
        return found

    def last_words(self) -> str:
        """The end of what it complained of."""
        self._errors.seek(0)
        said = self._errors.read()[-_WORDS:].decode(errors="replace").split("\n")
        return quotable("; ".join(line.strip() for line in said if line.strip())) or "it said nothing"

    def close(self) -> None:
        """End it; harmless twice."""
        if self._process.poll() is None:
            self._process.terminate()
            if self.wait(GRACE) is None:
                self._process.kill()
                self._process.wait()
        if self.stdout is not None:
            self.stdout.close()
        self._errors.close()
