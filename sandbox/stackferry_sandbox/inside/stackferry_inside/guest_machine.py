"""A server that is a real guest: a QEMU process with the disks and the ports that nova gave it.

Its folder has, beside what every server has, ``guest.json`` (its ports) and, below ``run/``, the config drive, the
console's log and which process it is. The process outlives nova, and is found again.
"""

import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stackferry_inside import agents, guest_disks, guest_monitor, guest_qemu, identity
from stackferry_inside.guest_monitor import Command, GuestError
from stackferry_inside.guest_network import Network, Nic
from stackferry_inside.guest_qemu import Boot, Disk
from stackferry_inside.identity import Identity
from stackferry_inside.locks import locked
from stackferry_inside.machine import Machine

PORTS = "guest.json"
STARTING = 20.0
"""Seconds in which QEMU has to open its monitor."""
CTRL_ALT_DEL = [{"type": "qcode", "data": key} for key in ("ctrl", "alt", "delete")]


def boot_of(cloud: Path) -> Boot:
    """What guests of a cloud start from; the sandbox writes it when a cloud is to have guests."""
    try:
        return Boot(**json.loads((cloud / "etc/guests.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise GuestError(f"cloud {cloud.name!r} has no real guests: `stackferry-sandbox guests {cloud.name}`") from None


def network_of(cloud: Path) -> Network:
    """The network of all guests of a sandbox, of which the cloud is one."""
    return Network(boot_of(cloud).namespace, cloud.parent.parent / "guests.lock")


class Guest(Machine):
    """One guest, running or not."""

    def __init__(self, path: Path) -> None:
        """Name its folder."""
        super().__init__(path)
        self.ports = path / PORTS
        self.record = self.folder.run / "qemu.json"
        self.console = path / guest_qemu.CONSOLE
        self.config_drive = path / guest_qemu.CONFIG_DRIVE

    @property
    def process(self) -> Identity | None:
        """The process that it is; None if it doesn't run."""
        found = identity.read(self.record)
        return found if found and found.alive else None

    @property
    def nics(self) -> list[Nic]:
        """Its ports."""
        return [Nic(**each) for each in json.loads(self.ports.read_text(encoding="utf-8"))]

    def make(self, data: bytes) -> None:
        """Create its folder. What the user data asks for is the guest's own business."""
        self.folder.make()
        self.folder.run.mkdir(exist_ok=True)
        self.folder.user_data.write_bytes(data)

    def connect(self, nics: list[Nic]) -> None:
        """Write down its ports; this makes it a guest."""
        self.ports.parent.mkdir(parents=True, exist_ok=True)
        self.ports.write_text(json.dumps([asdict(nic) for nic in nics], indent=1), encoding="utf-8")

    def remove(self, *, with_disks: bool) -> None:
        """End it, and remove its folder; or only its devices, if the disks are to stay."""
        self.power_off()
        shutil.rmtree(self.folder.path if with_disks else self.folder.devices, ignore_errors=True)

    # -- power

    def power_on(self) -> None:
        """Start it, unless it runs."""
        with locked(self.folder.run / "lock") as lock:
            if self.process:
                return
            boot = boot_of(self.folder.cloud)
            network = network_of(self.folder.cloud)
            network.plug(self.nics)
            (self.folder.path / guest_qemu.MONITOR).unlink(missing_ok=True)
            self.folder.log.mkdir(parents=True, exist_ok=True)
            log = self.folder.log / "qemu.log"
            words = guest_qemu.command(
                boot, network.path, self.folder.read(), guest_disks.listing(self.folder), self.nics
            )
            agents.run_apart(self.folder.path, lock, self.record, log, words, agents.BASE)
            self._wait(log)

    def _wait(self, log: Path) -> None:
        end = time.monotonic() + STARTING
        while not (self.folder.path / guest_qemu.MONITOR).exists():
            if not self.process or time.monotonic() > end:
                raise GuestError(f"QEMU did not start; the end of {log}:\n{log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.05)

    def power_off(self, seconds: float = 0) -> None:
        """Ask it to end, and end it if it hasn't after some seconds; then its ports' devices go."""
        if not self.folder.run.is_dir():
            return
        with locked(self.folder.run / "lock"):
            if seconds and self.process:
                self._shut_down(seconds)
            if process := self.process:
                agents.end([process])
            if self.ports.exists() and (self.folder.cloud / "etc/guests.json").exists():
                network_of(self.folder.cloud).unplug(self.nics)

    def _shut_down(self, seconds: float) -> None:
        # Ctrl-Alt-Del: the guest needs no ACPI daemon for it. It would restart; so QEMU has to end instead.
        end = time.monotonic() + seconds
        try:
            self.ask(("set-action", {"reboot": "shutdown"}), ("send-key", {"keys": CTRL_ALT_DEL}))
        except GuestError:
            return  # it is on its way out, or stuck: killed in any case
        while self.process and time.monotonic() < end:
            time.sleep(0.1)

    def hold(self, held: bool) -> None:
        """Stop its time, or let it go on."""
        if self.process:
            self.ask(("stop" if held else "cont", {}))

    # -- disks

    def plug(self, file: Path, volume_id: str, device: str | None) -> None:
        """Make a volume appear."""
        self.folder.plug(file, volume_id, device)
        if self.process:
            try:
                guest_disks.plug(self.ask, self._disk(file))
            except GuestError:
                self.folder.unplug(file)
                raise

    def unplug(self, file: Path) -> None:
        """Make a volume vanish."""
        if self.process and any(disk.file == str(file) for disk in guest_disks.listing(self.folder)):
            try:
                guest_disks.unplug(self.ask, self._disk(file))
            except GuestError:
                if self.process:  # else it is gone, and the disk with it
                    raise
        self.folder.unplug(file)

    def grow(self, file: Path) -> None:
        """Show that a volume has grown."""
        if self.process:
            size = file.stat().st_size
            self.ask(("block_resize", {"node-name": self._disk(file).node, "size": size}))

    def _disk(self, file: Path) -> Disk:
        return next(disk for disk in guest_disks.listing(self.folder) if disk.file == str(file))

    # -- within

    def ask(self, *commands: Command) -> Any:
        """Put commands to QEMU."""
        process = self.process
        if not process:
            raise GuestError("it does not run")
        # Not by the folder's path: that of a socket may have 107 characters only.
        return guest_monitor.ask(f"/proc/{process.pid}/cwd/{guest_qemu.MONITOR}", *commands)

    def printed(self, size: int = 100_000) -> bytes:
        """The end of what it has printed on its console."""
        if not self.console.exists():
            return b""
        with self.console.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read()
