"""Volumes to copy: a file system with text, binaries and noise, or noise alone; as loop devices where we're root."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20
FULL = 0.44  # of the file system
KINDS = ("text", "binary", "noise")


def mixed(path: Path, size: int, seed: int = 1) -> None:
    """Make *path* an ext4 of *size* bytes that is 44 % full, a third each of text, binaries and noise."""
    chance, folder = random.Random(seed), path.with_suffix(".tree")
    pools = {"text": _text(chance), "binary": _binary(chance)}
    left, number = int(size * FULL), 0
    while left > 0:
        kind, length = KINDS[number % 3], min(left, int(chance.lognormvariate(12.5, 1.6)) % (64 * MIB) + 512)
        where = folder / kind / f"{number % 64:02}"
        where.mkdir(parents=True, exist_ok=True)
        with (where / f"{number}").open("wb") as file:
            for at in range(0, length, MIB):
                part = min(MIB, length - at)
                file.write(chance.randbytes(part) if kind == "noise" else _slice(chance, pools[kind], part))
        left, number = left - length, number + 1
    path.write_bytes(b"")
    os.truncate(path, size)
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-t", "ext4", "-d", folder, "-E", "lazy_itable_init=1", path], check=True)
    shutil.rmtree(folder)


def noise(path: Path, size: int, seed: int = 2) -> None:
    """Make *path* random."""
    chance = random.Random(seed)
    with path.open("wb") as file:
        for at in range(0, size, MIB):
            file.write(chance.randbytes(min(MIB, size - at)))


def change(device: Path, share: float, seed: int = 3) -> int:
    """Write 64 KiB of noise into a share of a device's MiB, as its file system would; return into how many."""
    chance = random.Random(seed)
    with device.open("r+b", buffering=0) as file:
        blocks = file.seek(0, os.SEEK_END) // MIB
        chosen = chance.sample(range(blocks), max(1, round(blocks * share)))
        for block in chosen:
            os.pwrite(file.fileno(), chance.randbytes(64 << 10), block * MIB + 4096 * chance.randrange(240))
        os.fsync(file.fileno())
    return len(chosen)


def forget(device: Path) -> None:
    """Have the next reader find nothing in the cache."""
    if device.is_block_device():
        subprocess.run(["blockdev", "--flushbufs", device], check=True)


@contextmanager
def attached(file: Path) -> Iterator[Path]:
    """The file as a block device, which tells nobody where its holes are; the file itself when we aren't root."""
    if os.geteuid() or not Path("/dev/loop-control").exists():
        yield file
        return
    made = subprocess.run(["losetup", "--find", "--show", file], check=True, capture_output=True, text=True)
    device = Path(made.stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextmanager
def empty(folder: Path, size: int) -> Iterator[Path]:
    """A new volume: zeros that take no space."""
    file = folder / "target"
    file.write_bytes(b"")
    os.truncate(file, size)
    try:
        with attached(file) as device:
            yield device
    finally:
        file.unlink()


def _text(chance: random.Random) -> bytes:
    words = ["".join(chance.choices("etaoinshrdlucmfw", k=chance.randint(2, 10))) for _ in range(4000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    return " ".join(chance.choices(words, weights, k=1_500_000)).encode()


def _binary(chance: random.Random) -> bytes:
    """Records with small numbers, some addresses and padding."""
    rows = (
        chance.randbytes(6) + chance.randrange(400).to_bytes(4, "little") + bytes(chance.choice((6, 14, 22)))
        for _ in range(300_000)
    )
    return b"".join(rows)


def _slice(chance: random.Random, pool: bytes, length: int) -> bytes:
    at = chance.randrange(len(pool) - length)
    return pool[at : at + length]
