"""The guests' network, seen from the processes of this machine: they reach guests, and guests reach them.

A socket belongs to the network namespace in which its thread was when it was made. That is all that is needed: the
namespace has no link to this machine.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.layout import process_environment

Address = tuple[str, int]
Made = TypeVar("Made")

HOST = "192.0.2.1"
"""The address of this machine, as guests see it; only what is relayed is there."""
CLONE_NEWNET = 0x40000000
CHUNK = 1 << 18


@dataclass(frozen=True)
class GuestNetwork:
    """The network of all guests of a sandbox."""

    name: str
    lock: Path

    def make(self) -> None:
        """Make it, unless it is there."""
        command = [sys.executable, "-m", "stackferry_inside.guest_network", self.name, str(self.lock)]
        done = subprocess.run(command, env=process_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SandboxError(f"no network for guests: {done.stderr.strip()[-500:]}")

    def connect(self, address: Address, timeout: float | None = None) -> socket.socket:
        """A connection to a guest."""
        return self._inside(lambda: socket.create_connection(address, timeout))

    @contextlib.contextmanager
    def relay(self, to: Address, port: int | None = None) -> Iterator[Address]:
        """A context in which guests reach a server of this machine; where they find it is yielded.

        Args:
            to: the server, such as ("127.0.0.1", 5672).
            port: where guests find it; by default at the same port.
        """
        self.make()
        address = HOST, to[1] if port is None else port
        with self._inside(lambda: socket.create_server(address, backlog=64)) as listener:
            threading.Thread(target=serve, args=(listener, to), name="relay", daemon=True).start()
            try:
                yield address
            finally:
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread

    def _inside(self, make: Callable[[], Made]) -> Made:
        """What is made by a thread of its own in the namespace."""
        made: list[Made] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                enter(Path("/run/netns") / self.name)
                made.append(make())
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return made[0]


def enter(namespace: Path) -> None:
    """Move the thread that calls this into a network namespace."""
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace))
    finally:
        os.close(descriptor)


def serve(listener: socket.socket, to: Address) -> None:
    """Connect whoever calls with a server, until the listener is shut down."""
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        try:
            server = socket.create_connection(to)
        except OSError:
            caller.close()  # as if nobody listened there
            continue
        for ends in ((caller, server), (server, caller)):
            threading.Thread(target=pump, args=ends, name="relay", daemon=True).start()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes one way, until there are no more."""
    try:
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
