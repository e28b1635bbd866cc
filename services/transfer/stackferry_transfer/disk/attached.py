"""Finds the device of an attached volume by the volume's id, which hypervisors give to the guest as a serial number.

virtio-blk shows its first 20 characters. virtio-scsi shows 36 or 20 of them, depending on QEMU's age, and udev makes
one or two links of that. A device that merely appeared is never taken for the volume: it may be another one.
"""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

from ..errors import DeviceAmbiguous, DeviceMissing

BY_ID = Path("/dev/disk/by-id")
POLL = 0.5  # seconds: udev tells nobody that we could ask without being root
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}")
_LONG = ("scsi-0QEMU_QEMU_HARDDISK_", "scsi-SQEMU_QEMU_HARDDISK_")
_SHORT = ("virtio-", "ata-QEMU_HARDDISK_", *_LONG)


def names(volume: str) -> list[str]:
    """The names that links to a volume's device may have; partitions' links have others. ValueError for no id."""
    if not _ID.fullmatch(volume):
        raise ValueError(f"{volume!r} is no volume's id")
    return sorted({prefix + volume[:20] for prefix in _SHORT} | {prefix + volume[:36] for prefix in _LONG})


def find(volume: str, folder: Path = BY_ID) -> Path:
    """Return the device of a volume: its real path, as links come and go.

    Raise DeviceMissing when there is none, DeviceAmbiguous when links lead to different devices.
    """
    links = [folder / name for name in names(volume)]
    found = sorted({link.resolve() for link in links if link.exists()})
    if len(found) > 1:
        raise DeviceAmbiguous(f"volume {volume}: {' and '.join(map(str, found))} both could be it, by {folder}")
    if not found:
        raise DeviceMissing(f"volume {volume}: no device of it in {folder}; is it attached to this host?")
    return found[0]


def wait_for(
    volume: str,
    folder: Path = BY_ID,
    seconds: float = 60.0,
    stop: threading.Event | None = None,
    poll: float = POLL,
) -> Path:
    """Return the device of a volume as soon as it's there; raise as ``find`` does after *seconds*, or on *stop*."""
    stop, deadline = stop or threading.Event(), time.monotonic() + seconds
    while True:
        try:
            return find(volume, folder)
        except DeviceMissing:
            left = deadline - time.monotonic()
            if left <= 0 or stop.wait(min(poll, left)):
                raise
