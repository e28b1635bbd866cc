"""The network of real guests: a namespace of its own with a bridge for each network and a tap for each port.

A bridge has the gateways' addresses and the namespace routes between them, so guests of all clouds reach each other.
It has no link to the outside: no packet leaves the machine. Security groups are not enforced. A bridge lives while a
guest on it runs; so two networks may have the same addresses, as long as only one of them has running guests.

``python -m stackferry_inside.guest_network NAME LOCK`` makes the namespace.
"""

import subprocess
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from stackferry_inside.locks import locked

NAMESPACES = Path("/run/netns")
HOST = "192.0.2.1"
"""The address of this machine, as guests see it: what relays listen at."""


@dataclass(frozen=True)
class Nic:
    """What a guest needs to know of a port, and the bridge of its network."""

    port: str
    network: str
    mac: str
    mtu: int
    gateways: list[str]
    """Addresses with the length of the prefix: those of the bridge."""

    @property
    def tap(self) -> str:
        """The name of its device; the kernel allows 15 characters."""
        return f"tap{self.port[:11]}"

    @property
    def bridge(self) -> str:
        """The name of its network's device."""
        return f"br{self.network[:11]}"


@dataclass(frozen=True)
class Network:
    """A namespace; it need not exist."""

    name: str
    lock: Path
    """A file whose lock allows to change it: several clouds do."""

    @property
    def path(self) -> Path:
        """What stands for it, for nsenter and setns."""
        return NAMESPACES / self.name

    def make(self) -> None:
        """Make it, unless it is there."""
        with self._changing():
            self._make()

    def plug(self, nics: Iterable[Nic]) -> None:
        """Make the devices of some ports."""
        with self._changing():
            self._make()
            for nic in nics:
                self._ip("link", "add", nic.bridge, "type", "bridge", check=False)
                self._ip("link", "set", nic.bridge, "up")
                for gateway in nic.gateways:
                    self._ip("address", "replace", gateway, "dev", nic.bridge)
                self._ip("tuntap", "add", nic.tap, "mode", "tap", check=False)
                self._ip("link", "set", nic.tap, "mtu", str(nic.mtu), "master", nic.bridge, "up")

    def unplug(self, nics: Iterable[Nic]) -> None:
        """Remove the devices of some ports, and the bridges that nobody uses any more."""
        if not self.path.exists():
            return
        with self._changing():
            for nic in nics:
                self._ip("link", "delete", nic.tap, check=False)
                if not self._ip("link", "show", "master", nic.bridge, check=False):
                    self._ip("link", "delete", nic.bridge, check=False)

    def remove_if_empty(self) -> None:
        """Remove it, unless a guest runs in it."""
        if not self.path.exists():
            return
        with self._changing():
            if not self._ip("link", "show", "type", "bridge"):
                run("ip", "netns", "delete", self.name)

    def _make(self) -> None:
        if not self.path.exists():
            run("ip", "netns", "add", self.name)
        self._ip("link", "set", "lo", "up")
        self._ip("address", "replace", f"{HOST}/32", "dev", "lo")
        run("nsenter", f"--net={self.path}", "sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1")

    def _changing(self) -> AbstractContextManager[int]:
        return locked(self.lock)

    def _ip(self, *words: str, check: bool = True) -> str:
        return run("ip", "-n", self.name, *words, check=check)


def run(*command: str, check: bool = True) -> str:
    """What a command prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if check and done.returncode:
        raise OSError(f"`{' '.join(command)}`: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    Network(sys.argv[1], Path(sys.argv[2])).make()
