"""Reaches other agents through ssh, where only its port is open: a process for each connection, and no local port."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from ..children import Child
from ..errors import PeerLost
from ..settings import Settings
from .connections import direct

ALIVE, MISSED = 15, 4  # seconds between two signs of life, and how many may be missed
LAST = 1.0  # seconds for an ssh whose connection broke to say why
CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com"


class Tunnel:
    """What connects to an address, from ``with`` on: by ssh where the settings say so. Its processes end with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._children: list[Child] = []
        self._stack = ExitStack()

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def reach(self, address: tuple[str, int]) -> socket.socket:
        """Return a connection to *address*; PeerLost or ProgramMissing. Threads may do this at once."""
        if not self._settings.tunnel:
            return direct(address)
        ours, its = socket.socketpair()
        with its:
            child = Child(command(self._settings, address), {}, stdin=its, stdout=its)
        self._children.append(child)
        self._stack.callback(child.close)
        return ours

    def explained(self, error: PeerLost) -> PeerLost:
        """The error, with what ssh said about it."""
        said = {child.last_words() for child in self._children if child.wait(LAST)}
        return PeerLost(f"{error} (ssh: {'; '.join(sorted(said))})") if said else error


def command(settings: Settings, address: tuple[str, int]) -> list[str]:
    """The ssh that connects its standard input and output with an address, as it's reached from the host it goes to."""
    host, port = address
    where, _, ssh_port = settings.tunnel.partition(" ")
    options = {
        "BatchMode": "yes", "StrictHostKeyChecking": "yes", "UserKnownHostsFile": settings.tunnel_known_hosts,
        "GlobalKnownHostsFile": "/dev/null", "IdentitiesOnly": "yes", "IdentityAgent": "none", "Compression": "no",
        "ServerAliveInterval": ALIVE, "ServerAliveCountMax": MISSED, "Ciphers": CIPHERS, "LogLevel": "ERROR",
    }  # fmt: skip
    return [
        "ssh", "-F", "none", "-i", settings.tunnel_key, *(f"-o{name}={value}" for name, value in options.items()),
        "-W", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "-p", ssh_port or "22", "--",
        where.replace("{host}", host),
    ]  # fmt: skip
