"""The bytes of images: small, the same every time, part noise and part holes."""

import hashlib
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

MIB = 1 << 20
BLOCK = 64 * 1024


def raw(name: str, size_mib: int) -> bytes:
    """A raw disk of random-looking blocks; every third is empty, as on a real disk."""
    noise = random.Random(hashlib.sha256(name.encode()).digest())  # noqa: S311
    blocks = size_mib * MIB // BLOCK
    return b"".join(bytes(BLOCK) if index % 3 == 2 else noise.randbytes(BLOCK) for index in range(blocks))


def qcow2(name: str, size_mib: int) -> bytes | None:
    """The same disk as qcow2; None if qemu-img isn't installed."""
    if not shutil.which("qemu-img"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "disk.raw"), Path(folder, "disk.qcow2")
        source.write_bytes(raw(name, size_mib))
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", source, target], check=True)
        return target.read_bytes()


def payload(name: str, disk_format: str, size_mib: int) -> bytes | None:
    """The bytes of an image; None if they can't be made here."""
    return qcow2(name, size_mib) if disk_format == "qcow2" else raw(name, size_mib)
