"""Compresses blocks where the way is slower than compressing: zstd level 1, decided by what was measured lately.

zstd makes about half a gigabyte a second of a core, so it pays below some 250 MB/s (2 Gbit/s) and costs above.
Two measurements tell. The source sums up how long its writes took, which is long as well when the destination is
slow at storing. So the destination says with each request how much of its time it waited for bytes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

import zstandard

from ..disk.blocks import Bytes

LEVEL = 1
SLOW, FAST = 250e6, 500e6  # bytes a second: below SLOW it begins, above FAST it ends
WAITS, WORKS = 67, 33  # percent of the destination's time: it begins above WAITS, and ends below WORKS
WORTH = 0.9  # of a block's length: what doesn't get smaller than that is sent as it is
WINDOW = 1.0  # seconds of writing that the rate is measured over
ENOUGH = 16 << 20  # bytes before a measurement counts: the first ones only fill the system's buffers


class Compression(StrEnum):
    """Whether the source compresses: as measured, or what a person knows better."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Link:
    """How fast the network takes what the connections of a process write to it, together."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._writing, self._since = 0, 0.0
        self._seconds = self._bytes = 0.0

    @contextmanager
    def writing(self, size: int) -> Iterator[None]:
        """Measure the writing of *size* bytes."""
        with self._lock:
            if not self._writing:
                self._since = self._clock()
            self._writing += 1
        try:
            yield
        finally:
            with self._lock:
                self._writing -= 1
                self._add(size)

    def _add(self, size: int) -> None:
        """Writes at the same time count as one stretch of time. What is older weighs half with each window."""
        now = self._clock()
        self._seconds, self._since = self._seconds + now - self._since, now
        self._bytes += size
        if self._seconds > WINDOW and self._bytes > 2 * ENOUGH:
            self._seconds, self._bytes = self._seconds / 2, self._bytes / 2

    @property
    def rate(self) -> float | None:
        """Bytes a second; None before enough was written."""
        with self._lock:
            return self._bytes / max(self._seconds, 1e-9) if self._bytes >= ENOUGH else None


def worthwhile(compressing: bool, rate: float | None, waited: int) -> bool:
    """Whether to compress from now on: *rate* is the link's, *waited* the percentage of the destination's time."""
    if rate is None:
        return compressing
    if compressing:
        return rate < FAST and waited > WORKS
    return rate < SLOW and waited > WAITS


class Compressor:
    """Compresses the blocks of one connection, when it pays."""

    def __init__(self, mode: Compression, link: Link) -> None:
        self._mode, self._link = mode, link
        self._on = mode is Compression.ALWAYS
        self._zstd = zstandard.ZstdCompressor(level=LEVEL)

    def consider(self, waited: int) -> None:
        """Decide anew, at each request."""
        if self._mode is Compression.AUTO:
            self._on = worthwhile(self._on, self._link.rate, waited)

    def smaller(self, block: Bytes) -> bytes | None:
        """Return the block compressed, or None when it's to be sent as it is."""
        if not self._on:
            return None
        frame = self._zstd.compress(block)
        return frame if len(frame) < len(block) * WORTH else None


class Decompressor:
    """Decompresses the blocks of one connection."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor()

    def block(self, frame: bytes, length: int) -> bytes | None:
        """Return the block of *length* bytes in a frame, or None when that isn't what's in it.

        The length that the frame itself claims is looked at first: it is what would be allocated.
        """
        try:
            if zstandard.frame_content_size(frame) != length:
                return None
            return self._zstd.decompress(frame, max_output_size=length, allow_extra_data=False)
        except zstandard.ZstdError:
            return None
