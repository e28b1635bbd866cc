"""The journal of a copy: a file with one BLAKE3 a block, that says what the destination's device certainly holds.

The file is a header of 512 bytes, a line of JSON, and then 32 bytes for each block; zeros are "unknown". So no hash
crosses a disk's sector, and none is ever half written. A file that ends too early is one whose last blocks are
unknown. Several processes may write to the same file, each the hashes of its own blocks.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from blake3 import blake3

from ..errors import JournalFailed, JournalRefused
from .blocks import HASH, UNKNOWN, Copy

FORMAT = 2
OLDER = (1,)  # had SHA-256
KEPT = 30 * 86400.0  # seconds
HEADER = 512  # bytes
_CHUNK = 2048  # hashes read at once, of a volume of any size


class Journal:
    """An open journal; threads may use it at once."""

    def __init__(self, path: Path, copy: Copy) -> None:
        """Open the journal of *copy*, or begin it; raise JournalRefused when it's the journal of another one."""
        self.path, self.copy = path, copy
        self._descriptor = -1
        with self._failing("opened"):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with self._failing("begun"), _locked(self._descriptor):
                self._begin_or_check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; harmless twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def known(self, first: int, count: int) -> bytes:
        """Return 32 bytes for each block of a range: its BLAKE3, or zeros."""
        with self._failing("read"):
            found = os.pread(self._descriptor, count * HASH, HEADER + first * HASH)
        whole = found[: len(found) // HASH * HASH]
        return whole + bytes(count * HASH - len(whole))

    def write(self, first: int, hashes: bytes) -> None:
        """Note the hashes of blocks that the device holds: written, and flushed."""
        with self._failing("written"):
            os.pwrite(self._descriptor, hashes, HEADER + first * HASH)  # less than all of it leaves blocks unknown

    def forget(self, first: int, count: int) -> None:
        """Make blocks unknown, for good when this returns: to be done before something else is written there."""
        for at in range(first, first + count, _CHUNK):
            self.write(at, bytes(min(_CHUNK, first + count - at) * HASH))
        self.flush()

    def flush(self) -> None:
        """Return when what was noted is stored."""
        with self._failing("stored"):
            os.fdatasync(self._descriptor)

    def count(self, blocks: range | None = None) -> int:
        """How many blocks of a range (of the volume, for None) are known."""
        return sum(_known_of(hashes) for hashes in self._chunks(self.copy.part(blocks)))

    def digest(self, blocks: range | None = None) -> bytes | None:
        """The BLAKE3 over the hashes of a range (of the volume, for None) in order, by which two copies compare.

        None while one is unknown.
        """
        total = blake3()
        for hashes in self._chunks(self.copy.part(blocks)):
            if _known_of(hashes) < len(hashes) // HASH:
                return None
            total.update(hashes)
        return total.digest()

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JournalFailed(f"{self.path}: can't be {what}: {error.strerror}") from error

    def _chunks(self, blocks: range) -> Iterator[bytes]:
        for at in range(blocks.start, blocks.stop, _CHUNK):
            yield self.known(at, min(_CHUNK, blocks.stop - at))

    def _begin_or_check(self) -> None:
        header = os.pread(self._descriptor, HEADER, 0)
        # New, or its begin was cut off (then nothing followed); or with hashes of another sort, which say nothing here.
        if len(header) < HEADER or self._facts_of(header).get("format") in OLDER:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, _header(self.copy), 0)
            self.flush()  # before it grows: a file that is longer has a whole header
        else:
            self._check(header)
        whole = HEADER + self.copy.count * HASH
        if os.fstat(self._descriptor).st_size < whole:
            os.ftruncate(self._descriptor, whole)

    def _facts_of(self, header: bytes) -> dict[str, Any]:
        try:
            found: Any = json.loads(header)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or "copy" not in found:
            raise JournalRefused(f"{self.path}: is no journal")
        return found

    def _check(self, header: bytes) -> None:
        found = self._facts_of(header)
        for name, value in _facts(self.copy).items():
            if found.get(name) != value:
                raise JournalRefused(
                    f"{self.path}: is the journal of {name} {found.get(name)!r}, not {value!r} as copy {self.copy.id}"
                )


def sweep(folder: Path, seconds: float = KEPT) -> None:
    """Delete the journals that nobody has written to for so long; a copy that still needs one reads its device anew."""
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):  # another agent of this host does the same
            if path.stat().st_mtime < time.time() - seconds:
                path.unlink()


def _facts(copy: Copy) -> dict[str, Any]:
    return {"format": FORMAT, "copy": copy.id, "size": copy.size, "block_size": copy.block_size}


def _header(copy: Copy) -> bytes:
    return json.dumps(_facts(copy)).encode().ljust(HEADER - 1) + b"\n"


def _known_of(hashes: bytes) -> int:
    return sum(hashes[at : at + HASH] != UNKNOWN for at in range(0, len(hashes), HASH))


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Of processes that begin a journal at once, one does it."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
