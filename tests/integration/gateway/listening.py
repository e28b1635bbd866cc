"""Somebody who hears what the gateway tells."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

from stackferry_cli.local.stack import Stack

from .asking import token


class Listener:
    """Somebody who hears a stream of events, by HTTP/1.0 on a socket: what was told, as it came."""

    def __init__(self, stack: Stack, path: str = "/v1/events", person: str = "root", **headers: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.is_lost, self.opened, self._over = False, threading.Event(), threading.Event()
        host, port = urlsplit(stack.gateway.url()).netloc.split(":")
        lines = [f"GET {path} HTTP/1.0", f"Host: {host}", f"Authorization: Bearer {token(person)}",
                 *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]  # fmt: skip
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()
        assert self.opened.wait(20)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(20)
        self._socket.close()
        assert not self._thread.is_alive()

    def _hear(self) -> None:
        rest = b""
        while not self._over.is_set():
            try:
                part = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                part = b""
            if not part:
                self.is_lost = True
                self.opened.set()
                return
            *frames, rest = (rest + part).replace(b"\r\n", b"\n").split(b"\n\n")
            for frame in frames:
                self._take(frame.decode())

    def _take(self, frame: str) -> None:
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith((":", "HTTP")))
        if "data" in fields:
            self.events.append({**fields, "data": json.loads(fields["data"])})
        if "retry" in fields:  # after the headers
            self.opened.set()

    def of(self, migration: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["data"].get("subject") == migration]

    @property
    def numbers(self) -> list[int]:
        return [int(one["id"]) for one in self.events if "id" in one]


def phases(listener: Listener, migration: str) -> list[str]:
    return [one["data"]["data"]["phase"] for one in listener.of(migration) if one["event"] == "migration-changed"]
