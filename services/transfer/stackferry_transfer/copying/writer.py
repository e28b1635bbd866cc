"""Puts blocks on the destination's device, in the order that keeps the journal true: forget, write, flush, note."""

from __future__ import annotations

from dataclasses import dataclass

from ..disk.blocks import HASH, UNKNOWN, Bytes, aligned, digest, is_zero
from ..disk.stored import StoredReader
from ..errors import PeerLost
from .tally import Repair
from .task import Mode, Task


@dataclass
class Asked:
    """Blocks that were asked for: ``at`` is the next one to come, ``known`` are the hashes of what the destination
    says to have, ``journaled`` the journal's; 32 bytes a block, or none at all."""

    blocks: range
    at: int
    known: bytes = b""
    journaled: bytes = b""

    def rest(self) -> range:
        """What didn't come yet."""
        return range(self.at, self.blocks.stop)

    def known_at(self, block: int) -> bytes:
        """A block's hash, or UNKNOWN."""
        return _hash_at(self.known, block - self.blocks.start)

    def journaled_at(self, block: int) -> bytes:
        """A block's hash by the journal, or UNKNOWN."""
        return _hash_at(self.journaled, block - self.blocks.start)


def _hash_at(hashes: bytes, index: int) -> bytes:
    return hashes[index * HASH : (index + 1) * HASH] or UNKNOWN


class Writer:
    """Writes what one connection receives."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._stored = StoredReader(task.device, task.copy.block_size)
        self._scratch = aligned(task.copy.block_size)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stored.close()

    def look(self, asked: Asked) -> None:
        """Find out what is there, by the journal and as the mode wants it."""
        asked.journaled = self._task.journal.known(asked.blocks.start, len(asked.blocks))
        if self._task.mode.reads_device:
            asked.known = b"".join(map(self.stored_digest, asked.blocks))
        elif self._task.mode is Mode.DELTA:
            asked.known = asked.journaled

    def stored_digest(self, block: int) -> bytes:
        """The hash of what the device has at a block; PeerLost when the pull is to end."""
        if self._task.work.closed:
            raise PeerLost("the pull was ended")
        return digest(self._stored.read(self._task.copy.offset(block), self._task.copy.length(block)))

    def store(self, asked: Asked, block: int, content: Bytes | None, hash_: bytes) -> None:
        """Make a block what the source has: *content*, or zeros for None; *hash_* is its BLAKE3."""
        journaled, known = asked.journaled_at(block), asked.known_at(block)
        offset, length = self._task.copy.offset(block), self._task.copy.length(block)
        if journaled != UNKNOWN:
            self._forget(asked, block)
        if content is not None:
            self._task.device.write(self._aligned(content), offset)
            self._task.tally.add("written", length)
        elif not self._holds_zeros(offset, length):
            self._task.device.clear(offset, length)
            self._task.tally.add("written", length)
        if self._task.mode is Mode.VERIFY:
            told = journaled != UNKNOWN
            self._task.tally.repaired(Repair(block, told and known != journaled, told and hash_ != journaled))

    def record(self, asked: Asked, block: int, hash_: bytes, written: bool) -> None:
        """Note what a block is now, unless the journal says so."""
        if hash_ != asked.journaled_at(block):
            self._task.recorder.done(block, hash_, written)

    def _forget(self, asked: Asked, block: int) -> None:
        """Before a journaled block changes. Each time waits for a disk, so the rest of its batch goes along.

        Blocks of it that turn out to be the same are journaled again. In a verify few change, and who changed them
        is told by the journal: there, one by one.
        """
        stop = block + 1 if self._task.mode is Mode.VERIFY else asked.blocks.stop
        self._task.recorder.forget(block, stop - block)
        begin, end = (block - asked.blocks.start) * HASH, (stop - asked.blocks.start) * HASH
        asked.journaled = asked.journaled[:begin] + bytes(end - begin) + asked.journaled[end:]

    def _aligned(self, content: Bytes) -> Bytes:
        """What a connection has received begins at a page; what was decompressed doesn't."""
        if isinstance(content, memoryview):
            return content
        self._scratch[: len(content)] = content
        return self._scratch[: len(content)]

    def _holds_zeros(self, offset: int, length: int) -> bool:
        """Whether there's nothing to clear: clearing would take space on devices that can't punch holes."""
        if self._task.fresh:
            return True
        return is_zero(self._stored.read(offset, length))
