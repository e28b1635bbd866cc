"""A TCP proxy that misbehaves: connections through it are cut, left half open, slowed, sliced."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import Any

HARMS = ("cut", "half-open", "slow", "sliced")


class Proxy:
    """Forwards from a port of its own on 127.0.0.1 to *target*; ``harm`` says how badly."""

    def __init__(self, target: int) -> None:
        self.target, self.harm, self.over = target, "", False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.pairs: set[tuple[socket.socket, socket.socket]] = set()
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End all of it."""
        self.over = True
        self.listener.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def strike(self, harm: str, seconds: float) -> None:
        """Do harm for so long: at its end, a cut or half-open connection is no more, the others go on."""
        if harm == "cut":
            self.cut()
            return
        self.harm = harm
        try:
            time.sleep(seconds)  # what is tried: so long a harm
        finally:
            self.harm = ""
        if harm == "half-open":
            self.cut()

    def _accept(self) -> None:
        while not self.over:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                continue
            far.settimeout(None)
            with self.lock:
                self.pairs.add((near, far))
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with selectors.DefaultSelector() as selector:
            for end in other:
                selector.register(end, selectors.EVENT_READ)
            with suppress(OSError):
                while not self.over:
                    for key, _ in selector.select(0.2):
                        end: Any = key.fileobj
                        while self.harm == "half-open" and not self.over:
                            time.sleep(0.05)  # nothing is read, and nothing is closed
                        data = end.recv(65536)
                        if not data:
                            raise OSError("closed")
                        self._send(other[end], data)
        with self.lock:
            self.pairs.discard((near, far))
        for end in other:
            end.close()

    def _send(self, end: socket.socket, data: bytes) -> None:
        if self.harm == "slow":
            time.sleep(0.5)  # a slow network
        if self.harm == "sliced":
            for at in range(0, len(data), 7):
                end.sendall(data[at : at + 7])
            return
        end.sendall(data)
