"""Find out whether this machine can run guests with hardware support. /dev/kvm alone says nothing: it may not work."""

import os
import subprocess
from pathlib import Path

DEVICE = Path("/dev/kvm")
SECONDS = 5.0
"""Until a kernel has said its first word; it takes well below one."""
FIRST_WORD = b"Linux version"


def accelerator(kernel: Path) -> str:
    """How QEMU is to run guests: ``kvm`` if a kernel gets anywhere with it, else ``tcg``, which is emulation."""
    return "kvm" if os.access(DEVICE, os.R_OK | os.W_OK) and speaks(kernel) else "tcg"


def speaks(kernel: Path) -> bool:
    """Whether a kernel says anything when it is run by KVM."""
    machine = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "kvm", "-cpu", "host"]
    words = ["-m", "256", "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1", "-serial", "stdio"]
    try:
        done = subprocess.run(
            ["qemu-system-x86_64", *machine, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS
        )
        said = done.stdout
    except subprocess.TimeoutExpired as expired:
        said = expired.stdout or b""
    return FIRST_WORD in said
