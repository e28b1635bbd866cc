"""The disks of a guest: which it has, and how one comes and goes while it runs."""

import time
from collections.abc import Callable
from typing import Any

from stackferry_inside.guest_monitor import Command, GuestError, Refused
from stackferry_inside.guest_qemu import Disk
from stackferry_inside.server_folder import ServerFolder

Ask = Callable[..., Any]
"""Puts commands to the guest's QEMU."""

AGAIN = 10.0
"""Seconds after which a guest that keeps a disk is asked anew; it may not have been awake."""
PATIENCE = 60.0
"""Seconds in which a guest has to let a disk go."""
BY_ID = "virtio-"
ROOT = "root"
"""The serial of the disk that was made from an image."""


def listing(folder: ServerFolder) -> list[Disk]:
    """The disks that the links in a server's folder name, in the order of their names there."""
    serials = {link.readlink(): link.name.removeprefix(BY_ID) for link in folder.by_id.iterdir()}
    links = sorted(folder.devices.glob("vd*"), key=lambda link: (len(link.name), link.name))
    return [Disk(str(link.readlink()), serials.get(link.readlink(), ROOT)) for link in links]


def plug(ask: Ask, disk: Disk) -> None:
    """Give a running guest a disk."""
    ask(("blockdev-add", disk.blockdev))
    try:
        ask(("device_add", disk.virtio))
    except GuestError:
        ask(("blockdev-del", {"node-name": disk.node}))
        raise


def unplug(ask: Ask, disk: Disk) -> None:
    """Take a disk from a running guest, which has to let it go."""
    end = time.monotonic() + PATIENCE
    asked = 0.0
    while has(ask, disk):
        now = time.monotonic()
        if now > end:
            raise GuestError(f"the guest has not let {disk.serial} go for {PATIENCE:.0f} s")
        if now - asked > AGAIN:
            asked = now
            refusal(ask, ("device_del", {"id": disk.device}))  # refused while an earlier one is under way
        time.sleep(0.1)
    # The content is free only a little after the device has gone.
    while said := refusal(ask, ("blockdev-del", {"node-name": disk.node})):
        if "in use" not in said:
            return  # an earlier try got as far as this
        if time.monotonic() > end:
            raise GuestError(said)
        time.sleep(0.1)


def has(ask: Ask, disk: Disk) -> bool:
    """Whether the guest has the disk's device."""
    found = ask(("qom-list", {"path": "/machine/peripheral"}))
    return any(each["name"] == disk.device for each in found)


def refusal(ask: Ask, command: Command) -> str:
    """What QEMU has against a command; empty if nothing."""
    try:
        ask(command)
    except Refused as error:
        return str(error)
    return ""
