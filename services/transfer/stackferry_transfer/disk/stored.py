"""Reads what a device has stored, and not what the page cache remembers of it.

Direct reads (O_DIRECT) go past the cache by construction, so they are taken wherever they work: block devices and
most file systems. Dropping the pages first (POSIX_FADV_DONTNEED) is only advice, which the kernel doesn't follow for
pages that are dirty or in use. It's the way for what refuses direct reads, and there the best there is.
"""

from __future__ import annotations

import os

from .blocks import SMALLEST, aligned
from .devices import Device


class StoredReader:
    """Reads blocks of up to *largest* bytes from a device; one thread at a time."""

    def __init__(self, device: Device, largest: int) -> None:
        self._device = device
        self._buffer = aligned(largest)
        self._direct = device.open_direct(os.O_RDONLY)

    def close(self) -> None:
        """Let go of it; harmless twice."""
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def read(self, offset: int, length: int) -> memoryview:
        """Return *length* bytes, as a view that's valid until the next call; DeviceFailed. Flush before."""
        view = self._buffer[:length]
        if not self._read_direct(offset, length):
            self._device.drop_cached(offset, length)
            self._device.read_into(view, offset)
        return view

    def _read_direct(self, offset: int, length: int) -> bool:
        """False when it can't be read directly: an odd length at the end, or a system that won't."""
        if self._direct is None:
            return False
        whole = self._buffer[: -(-length // SMALLEST) * SMALLEST]
        try:
            return os.preadv(self._direct, [whole], offset) >= length
        except OSError:  # if it is the device that fails, the other way fails too, and says so
            return False
