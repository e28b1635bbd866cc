"""A source that serves a file or device over loopback, and a destination that pulls it: two identities, real TLS."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackferry_runtime.certificates import Identity, identity
from stackferry_transfer.copying.tally import Pulled
from stackferry_transfer.disk.blocks import HASH, UNKNOWN, Copy, digest
from stackferry_transfer.disk.devices import open_destination
from stackferry_transfer.disk.journal import Journal
from stackferry_transfer.pump.connections import connect
from stackferry_transfer.pump.destination import pull
from stackferry_transfer.pump.server import Ended, Server
from stackferry_transfer.pump.source import Offer, Shared

SMALL = 4096  # bytes a block: what is to be shown doesn't depend on it


def content(size: int, seed: int = 0, block: int = SMALL) -> bytes:
    """A volume: blocks of zeros, of noise, and of what compresses, in no order."""
    chance, parts = random.Random(seed), []
    for at in range(0, size, block):
        length = min(block, size - at)
        kind = chance.randrange(3)
        parts.append(bytes(length) if kind == 0 else chance.randbytes(length))
        if kind == 2:
            parts[-1] = (parts[-1][:64] * (length // 64 + 1))[:length]
    return b"".join(parts)


def change(path: Path, *blocks: int, seed: int = 1, block: int = SMALL) -> None:
    """Write noise into blocks."""
    chance = random.Random(seed)
    with path.open("r+b") as file:
        for number in blocks:
            file.seek(number * block)
            file.write(chance.randbytes(block))


@dataclass
class Rig:
    folder: Path
    source: Path
    target: Path
    copy: Copy
    mine: Identity  # the source's
    theirs: Identity  # the destination's
    shared: Shared = field(default_factory=Shared)
    ended: list[Ended] = field(default_factory=list)
    address: tuple[str, int] = ("", 0)

    @classmethod
    def make(cls, folder: Path, size: int, block: int = SMALL, seed: int = 0) -> Rig:
        source, target = folder / "source", folder / "target"
        source.write_bytes(content(size, seed, block))
        target.write_bytes(b"")
        os.truncate(target, size)
        copy = Copy("copy-1", size, block)
        return cls(folder, source, target, copy, identity(folder, "source"), identity(folder, "destination"))

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    @contextmanager
    def serving(self, **offer: Any) -> Iterator[Server]:
        self.shared = offer.pop("shared", None) or Shared()
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        with Server(listener, self.mine, self.shared, self.ended.append) as server:
            server.offer(Offer(self.copy, self.source, (self.theirs.certificate,), **offer))
            yield server

    def connect(self) -> Any:
        return connect(self.address, self.theirs, self.mine.certificate)

    def pull(self, connect: Callable[[], Any] | None = None, **options: Any) -> Pulled:
        with open_destination(self.target, self.copy.size) as device, Journal(self.journal, self.copy) as journal:
            return pull(device, journal, connect or self.connect, **options)

    def equal(self) -> bool:
        """Byte by byte, the volume's part of both."""
        return _read(self.source, self.copy.size) == _read(self.target, self.copy.size)

    def holds(self, block: int) -> bool:
        """Whether a block of the source is more than zeros."""
        offset = self.copy.offset(block)
        return any(_read(self.source, self.copy.size)[offset : offset + self.copy.length(block)])

    def known(self) -> list[int]:
        """The blocks that the journal knows; each must be what the destination holds."""
        with Journal(self.journal, self.copy) as journal:
            hashes = journal.known(0, self.copy.count)
        held = _read(self.target, self.copy.size)
        known = []
        for block in range(self.copy.count):
            told = hashes[block * HASH : (block + 1) * HASH]
            if told != UNKNOWN:
                offset = self.copy.offset(block)
                assert digest(held[offset : offset + self.copy.length(block)]) == told, f"the journal lies of {block}"
                known.append(block)
        return known


def _read(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


@contextmanager
def loop_device(file: Path) -> Iterator[Path]:
    """A real block device over a file."""
    done = subprocess.run(["losetup", "--find", "--show", file], check=True, capture_output=True, text=True)
    device = Path(done.stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
