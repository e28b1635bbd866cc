"""What a source has answered of one offer, over all its connections: its word on what has crossed."""

from __future__ import annotations

import threading
from typing import Any

from blake3 import blake3

from ..disk.blocks import HASH, UNKNOWN


class Served:
    """The hashes of the blocks of a range that were answered; threads share it."""

    def __init__(self, blocks: range) -> None:
        self.blocks = blocks
        self._hashes = bytearray(len(blocks) * HASH)
        self._many, self._lock = 0, threading.Lock()
        self.whole = threading.Event()
        if not blocks:
            self.whole.set()

    def note(self, block: int, digest: bytes) -> None:
        """A block was answered, with content of this hash; the last answer to a block counts."""
        at = (block - self.blocks.start) * HASH
        with self._lock:
            self._many += self._hashes[at : at + HASH] == UNKNOWN
            self._hashes[at : at + HASH] = digest
            whole = self._many == len(self.blocks)
        if whole:
            self.whole.set()

    def told(self) -> dict[str, Any]:
        """How many blocks were answered; and, when all were, the BLAKE3 over their hashes in order."""
        with self._lock:
            whole = self._many == len(self.blocks)
            return {"blocks": self._many, "digest": blake3(self._hashes).hexdigest() if whole else None}
