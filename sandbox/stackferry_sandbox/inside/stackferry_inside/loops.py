"""Loop devices: files as real block devices, where that is possible.

A device that is detached while somebody has it open vanishes when the last one has closed it (AUTOCLEAR); such a
device isn't used again.
"""

import json
import logging
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

LOG = logging.getLogger(__name__)
GONE = " (deleted)"
"""The kernel's mark of a file that was removed while its device lives."""


@dataclass(frozen=True)
class Loop:
    """One loop device of this machine."""

    device: Path
    file: Path
    leaving: bool
    """It was detached, and goes once it is closed."""


def possible() -> bool:
    """Whether this process may make block devices at all."""
    return os.geteuid() == 0 and shutil.which("losetup") is not None


def listing() -> list[Loop]:
    """All loop devices of the machine."""
    done = losetup("--list", "--json", "--output", "NAME,BACK-FILE,AUTOCLEAR")
    found = json.loads(done.stdout)["loopdevices"] if done.stdout.strip() else []
    return [
        Loop(Path(each["name"]), Path((each["back-file"] or "").removesuffix(GONE)), bool(each["autoclear"]))
        for each in found
    ]


def device_of(file: Path) -> Path | None:
    """The device that stands for a file."""
    real = file.resolve()
    return next((loop.device for loop in listing() if loop.file == real and not loop.leaving), None)


def attach(file: Path) -> Path | None:
    """A device for a file: the one that it has, else a new one; None where there can be none."""
    if found := device_of(file):
        return found
    for options in (("--direct-io=on",), ()):
        done = losetup("--find", "--show", *options, str(file.resolve()))
        if done.returncode == 0:
            return Path(done.stdout.strip())
        if found := device_of(file):  # made, and then refused the option
            return found
    LOG.warning("no loop device for %s: %s", file, done.stderr.strip())
    return None


def detach(device: Path, file: Path) -> None:
    """Detach a device, if it still stands for the file."""
    if device_of(file) == device:
        losetup("--detach", str(device))


def resize(device: Path) -> None:
    """Make a device as large as its file has become."""
    losetup("--set-capacity", str(device))


def losetup(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run losetup."""
    return subprocess.run(["losetup", *arguments], capture_output=True, text=True, check=False)
