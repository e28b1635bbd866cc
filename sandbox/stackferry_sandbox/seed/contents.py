"""The bytes of disks: a small file system with files in it, or noise between holes."""

import hashlib
import os
import random
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any

from stackferry_sandbox.errors import SandboxError

MIB = 1 << 20
PROGRAM = "mke2fs"


def fill(disk: Path, name: str, content: dict[str, Any]) -> None:
    """Write the content of a disk, the same for the same name.

    Args:
        disk: the file; its size stays.
        name: what the noise depends on.
        content: ``files``, by their paths in an ext4 file system; ``noise``, in MiB, in that file system or instead.
    """
    noise = random.Random(hashlib.sha256(name.encode()).digest())  # noqa: S311
    if files := content.get("files"):
        make_file_system(disk, files, noise.randbytes(content.get("noise", 0) * MIB), noise.randbytes(16))
    else:
        scatter(disk, noise, content.get("noise", 0))


def make_file_system(disk: Path, files: dict[str, str], noise: bytes, identity: bytes) -> None:
    """Make an ext4 file system with files, and the noise as one more; nothing is mounted."""
    program = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise SandboxError(f"the disks of this tenant need {PROGRAM}; please install e2fsprogs")
    with tempfile.TemporaryDirectory() as folder:
        for path, text in {**files, "noise.bin": noise}.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text if isinstance(text, bytes) else text.encode())
        options = ["-U", str(uuid.UUID(bytes=identity)), "-E", "nodiscard,lazy_itable_init=1", "-J", "size=4"]
        subprocess.run([program, "-q", "-F", "-t", "ext4", *options, "-d", folder, disk], check=True)


def scatter(disk: Path, noise: random.Random, mib: int) -> None:
    """Write noise in pieces of a MiB, evenly over a disk, with holes between."""
    distance = disk.stat().st_size // max(mib, 1)
    with disk.open("r+b") as file:
        for number in range(mib):
            file.seek(number * distance + (distance - MIB) // 2)
            file.write(noise.randbytes(MIB))
