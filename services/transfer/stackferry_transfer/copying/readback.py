"""Reads back what was written, from the device and not from the cache, before the journal may know of it."""

from __future__ import annotations

from collections.abc import Mapping

from ..disk.blocks import Copy, digest
from ..disk.devices import Device
from ..disk.stored import StoredReader
from ..errors import RepairFailed


class ReadBack:
    """Checks blocks of a copy on its destination's device; one thread at a time."""

    def __init__(self, device: Device, copy: Copy) -> None:
        self._device, self._copy = device, copy
        self._stored = StoredReader(device, copy.block_size)

    def close(self) -> None:
        """Let go of the device; harmless twice."""
        self._stored.close()

    def check(self, written: Mapping[int, bytes]) -> None:
        """Raise RepairFailed unless each block's BLAKE3 is as told. Flush before."""
        for block, hash_ in sorted(written.items()):
            offset = self._copy.offset(block)
            if digest(self._stored.read(offset, self._copy.length(block))) != hash_:
                raise RepairFailed(
                    f"{self._device.path}: block {block} at offset {offset} reads back unlike what was written"
                )
