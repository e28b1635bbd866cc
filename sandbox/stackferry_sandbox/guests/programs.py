"""The programs that guests need beyond those of the sandbox."""

import os
import platform
import shutil
from collections.abc import Mapping

from stackferry_sandbox.errors import SandboxError

PACKAGES: Mapping[str, str] = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "debootstrap": "debootstrap",
    "genisoimage": "genisoimage",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "sysctl": "procps",
}
"""The Debian package of each."""


def check() -> None:
    """Refuse to go on where there can't be guests; say what is missing."""
    if platform.machine() != "x86_64":
        raise SandboxError(f"real guests are made for x86_64 only; this machine is {platform.machine()}")
    if os.geteuid():
        raise SandboxError("real guests need root: for their network, and to make their image")
    if missing := sorted({package for program, package in PACKAGES.items() if not shutil.which(program)}):
        raise SandboxError(f"real guests need programs that are missing: apt-get install {' '.join(missing)}")
