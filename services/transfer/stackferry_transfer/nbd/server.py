"""Serves a part of a volume with nbdkit, to the holders of some certificates, for one try."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from stackferry_runtime.certificates import Identity

from ..children import Child
from ..errors import PeerLost
from . import programs


class Export:
    """nbdkit, from ``with`` on. Each try has one of its own: 1.32 aborts when its client is killed."""

    def __init__(
        self,
        path: Path,
        part: tuple[int, int],
        offer: str,
        mine: Identity,
        certificates: Sequence[str],
        listener: socket.socket,
        rate: float = 0.0,
    ) -> None:
        self._path, self._part, self._offer, self._mine = path, part, offer, mine
        self._certificates, self._listener, self._rate = certificates, listener, rate
        self.port = int(listener.getsockname()[1])

    def __enter__(self) -> Export:
        with ExitStack() as stack:
            stack.callback(self._listener.close)
            folder, environ = stack.enter_context(programs.secured(self._mine, self._certificates, "server"))
            command = programs.serve(self._path, *self._part, self._offer, folder, self._rate)
            self._child = Child(command, environ, listener=self._listener)
            stack.callback(self._child.close)
            self._listener.close()  # when nbdkit is gone, nobody shall seem to be there
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def over(self) -> bool:
        """Whether its guest has come and gone, with which nbdkit ends; PeerLost when it has ended otherwise."""
        code = self._child.ended()
        if code:
            raise PeerLost(f"nbdkit has ended: {self._child.last_words()}")
        return code == 0

    def busy(self) -> bool:
        """Whether somebody is connected."""
        try:
            return self._child.sockets() > 1  # the other one listens
        except FileNotFoundError:
            return False  # it ends right now


def listen(address: str, first: int, count: int) -> socket.socket:
    """Listen at the first free port of some; any one when *first* is 0. PeerLost when all are taken."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in range(first, first + count) if first else [0]:
        try:
            return socket.create_server((address, port), family=family)
        except OSError as error:
            failure = error
    raise PeerLost(f"no port from {first} on is free at {address}: {failure}")
