"""How QEMU is called for a guest, as data. Paths are relative to the server's folder."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackferry_inside.guest_network import Nic

MONITOR = "run/qmp.sock"
CONSOLE = "run/console.log"
CONFIG_DRIVE = "run/config.iso"
KERNEL_OPTIONS = (
    "root=/dev/vda rw console=ttyS0 quiet loglevel=3 net.ifnames=0"
    # What takes time and serves nothing here.
    " mitigations=off nokaslr cryptomgr.notests no_timer_check tsc=reliable apparmor=0 audit=0 random.trust_cpu=on"
    " 8250.nr_uarts=1 nowatchdog systemd.show_status=0 rcupdate.rcu_expedited=1"
)
ACCELERATION = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    # The least CPU that has AES: the more one can do, the longer its emulated boot takes.
    "tcg": ["-accel", "tcg,thread=multi,tb-size=128", "-cpu", "Westmere"],
}
LAST_SLOT = "0x1e"
"""Of the PCI bus: volumes come before what is there."""


@dataclass(frozen=True)
class Disk:
    """A file as a disk of a guest."""

    file: str
    serial: str
    """What /dev/disk/by-id/virtio-... ends with."""

    @property
    def node(self) -> str:
        """The name of its content in QEMU."""
        return f"disk-{self.serial}"

    @property
    def device(self) -> str:
        """The name of its device in QEMU."""
        return f"dev-{self.serial}"

    @property
    def blockdev(self) -> dict[str, Any]:
        """Its content. Unlocked: cinder copies it, and tests read it, at any time."""
        file = {"driver": "file", "filename": self.file, "locking": "off"}
        return {"driver": "raw", "node-name": self.node, "discard": "unmap", "file": file}

    @property
    def virtio(self) -> dict[str, Any]:
        """Its device."""
        return {
            "driver": "virtio-blk-pci",
            "id": self.device,
            "drive": self.node,
            "serial": self.serial,
            "share-rw": True,
        }


@dataclass(frozen=True)
class Boot:
    """What a guest starts from: there is no boot loader in a disk."""

    kernel: str
    initrd: str
    namespace: str
    """The network namespace of all guests."""
    accelerator: str
    """``kvm`` or ``tcg``."""


def command(
    boot: Boot, namespace: Path, server: dict[str, Any], disks: Iterable[Disk], nics: Iterable[Nic]
) -> list[str]:
    """The command that becomes a guest.

    Args:
        boot: the kernel and what belongs to it.
        namespace: the file that stands for the network namespace.
        server: as in server.json.
        disks: the first is what the guest boots from.
        nics: its ports.
    """
    words = [
        *("nsenter", f"--net={namespace}", "qemu-system-x86_64"),
        *("-name", server["nova_name"], "-uuid", server["uuid"]),
        *("-nodefaults", "-no-user-config", "-display", "none", "-M", "pc,usb=off,vmport=off,hpet=off"),
        *ACCELERATION[boot.accelerator],
        *("-smp", str(server["vcpus"]), "-m", str(server["ram"])),
        *("-kernel", boot.kernel, "-initrd", boot.initrd, "-append", KERNEL_OPTIONS),
        *("-qmp", f"unix:{MONITOR},server=on,wait=off"),
        *("-chardev", f"file,id=console,path={CONSOLE},append=on", "-serial", "chardev:console"),
        *("-device", "virtio-rng-pci"),
    ]
    for disk in disks:
        words += ["-blockdev", json.dumps(disk.blockdev), "-device", json.dumps(disk.virtio)]
    for number, nic in enumerate(nics):
        words += ["-netdev", f"tap,id=net{number},ifname={nic.tap},script=no,downscript=no"]
        words += ["-device", f"virtio-net-pci,netdev=net{number},mac={nic.mac},host_mtu={nic.mtu},romfile="]
    words += ["-drive", f"file={CONFIG_DRIVE},format=raw,if=none,id=config,readonly=on"]
    words += ["-device", f"virtio-blk-pci,drive=config,serial=config-2,addr={LAST_SLOT}"]
    return words
