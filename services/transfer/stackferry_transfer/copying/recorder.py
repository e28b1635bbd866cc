"""Writes hashes to the journal, but only after the device was flushed: so the journal never knows more than the disk.

Where it's asked for, what was written is read back in between.

What is journaled and shall change is forgotten first, and that is stored before the device is touched. Whenever
the process or the machine dies, each hash in the journal is that of the device's block.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from ..disk.journal import Journal
from ..errors import DeviceFailed

EVERY_BLOCKS = 256
EVERY_SECONDS = 5.0


class Recorder:
    """Collects hashes of blocks that were written; all threads that write to a device in a process share it."""

    def __init__(
        self,
        journal: Journal,
        flush: Callable[[], None],
        every_blocks: int = EVERY_BLOCKS,
        every_seconds: float = EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        check: Callable[[Mapping[int, bytes]], None] | None = None,
    ) -> None:
        self._journal, self._flush, self._check, self._clock = journal, flush, check, clock
        self._every_blocks, self._every_seconds = every_blocks, every_seconds
        self._pending: dict[int, bytes] = {}
        self._written: set[int] = set()  # of the pending ones
        self._last = clock()
        self._lock = threading.Lock()  # of what is pending
        self._committing = threading.Lock()  # taken before the other one
        self._failure: BaseException | None = None

    def done(self, block: int, digest: bytes, written: bool = True) -> None:
        """A block was written, or is known to be there; when it's time, flush the device and journal all that was."""
        with self._lock:
            self._pending[block] = digest
            if written:
                self._written.add(block)
            due = len(self._pending) >= self._every_blocks or self._clock() - self._last >= self._every_seconds
        if due:
            self.commit()

    def forget(self, first: int, count: int) -> None:
        """Blocks will be overwritten: return when the journal knows nothing of them any more."""
        with self._committing:
            with self._lock:
                for block in range(first, first + count):
                    self._pending.pop(block, None)
                    self._written.discard(block)
            self._journal.forget(first, count)

    def commit(self) -> None:
        """Flush the device, check what was written, then journal it. After a failure nothing is journaled any more.

        The kernel reports a lost write to one flush only; the next one would succeed, without the data.
        """
        with self._committing:
            with self._lock:
                pending, self._pending, self._last = self._pending, {}, self._clock()
                written, self._written = self._written, set()
            if self._failure:
                raise DeviceFailed(str(self._failure)) from self._failure
            if not pending:
                return
            try:
                self._flush()
                if self._check:
                    self._check({block: pending[block] for block in written})
            except BaseException as error:
                self._failure = error
                raise
            for first, hashes in runs(pending):
                self._journal.write(first, hashes)


def runs(hashes: dict[int, bytes]) -> list[tuple[int, bytes]]:
    """Return hashes by block as runs of neighbours: (first block, their hashes in a row)."""
    found: list[tuple[int, bytearray]] = []
    following = -1
    for block in sorted(hashes):
        if block != following:
            found.append((block, bytearray()))
        found[-1][1].extend(hashes[block])
        following = block + 1
    return [(first, bytes(row)) for first, row in found]
