"""What is still to be asked for: batches of blocks, made one by one, that connections take and may give back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from ..disk.blocks import HASH, UNKNOWN
from ..disk.journal import Journal

BATCH = 32  # blocks that are asked for at once


def all_of(blocks: range) -> Iterator[range]:
    """Yield batches of all blocks."""
    for at in range(blocks.start, blocks.stop, BATCH):
        yield range(at, min(at + BATCH, blocks.stop))


def unknown_of(blocks: range, journal: Journal) -> Iterator[tuple[range, bool]]:
    """Yield all blocks in batches, each with whether the journal knows them: so that a copy goes on where it ended."""
    for batch in all_of(blocks):
        hashes = journal.known(batch.start, len(batch))
        known = [hashes[at : at + HASH] != UNKNOWN for at in range(0, len(hashes), HASH)]
        begin = 0
        for at in range(1, len(known) + 1):
            if at == len(known) or known[at] != known[begin]:
                yield range(batch.start + begin, batch.start + at), known[begin]
                begin = at


class Work:
    """Batches for several threads. It's over when all blocks that were taken are settled, and none is left."""

    def __init__(self, batches: Iterator[range], stop: threading.Event) -> None:
        self._batches, self._stop = batches, stop
        self._returned: deque[range] = deque()
        self._taken = 0  # blocks
        self._closed = self._exhausted = False
        self._changed = threading.Condition()

    @property
    def complete(self) -> bool:
        """Whether all is settled."""
        with self._changed:
            return self._exhausted and not self._returned and not self._taken

    @property
    def closed(self) -> bool:
        """Whether nobody shall go on."""
        return self._closed or self._stop.is_set()

    def take(self, wait: bool) -> range | None:
        """Take a batch. None: there's nothing now, or with *wait* never again, even if other connections break."""
        with self._changed:
            while not self.closed:
                if (batch := self._next()) is not None:
                    self._taken += len(batch)
                    return batch
                if not (wait and self._taken):
                    return None
                self._changed.wait()
            return None

    def settle(self, blocks: int = 1) -> None:
        """Blocks that were taken are done."""
        with self._changed:
            self._taken -= blocks
            if not self._taken:
                self._changed.notify_all()

    def give_back(self, batch: range) -> None:
        """Blocks that were taken won't be done by who took them."""
        with self._changed:
            self._taken -= len(batch)
            self._returned.append(batch)
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody shall go on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self) -> range | None:
        if self._returned:
            return self._returned.popleft()
        batch = None if self._exhausted else next(self._batches, None)
        self._exhausted = batch is None
        return batch
