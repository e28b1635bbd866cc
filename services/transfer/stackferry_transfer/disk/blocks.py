"""A volume as blocks: counted from its start, all of one size, but for the last one, which may be shorter."""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import dataclass
from functools import lru_cache

from blake3 import blake3

BLOCK = 1 << 20  # bytes
SMALLEST, LARGEST = 4096, 4 * BLOCK  # of a block size: direct reads go by pages; buffers have a block's size
NAME = 128  # characters of a copy's id, at most
HASH = 32  # bytes of a block's BLAKE3
UNKNOWN = bytes(HASH)  # the hash of a block that nothing is known of

Bytes = bytes | bytearray | memoryview

_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


@dataclass(frozen=True)
class Copy:
    """One volume that is copied: both ends and the journal must mean the same by it.

    ``id`` is printable ASCII, ``size`` and ``block_size`` are bytes; ValueError when they make no sense.
    """

    id: str
    size: int
    block_size: int = BLOCK

    def __post_init__(self) -> None:
        if not (0 < len(self.id) <= NAME and self.id.isascii() and self.id.isprintable()):
            raise ValueError(f"the id of a copy is 1 to {NAME} printable ASCII characters, not {self.id[:NAME]!r}")
        if self.size < 0:
            raise ValueError(f"a volume of {self.size} bytes can't be")
        if not SMALLEST <= self.block_size <= LARGEST or self.block_size % SMALLEST:
            raise ValueError(f"a block is a multiple of {SMALLEST} and at most {LARGEST} bytes, not {self.block_size}")

    @property
    def count(self) -> int:
        """How many blocks the volume has."""
        return -(-self.size // self.block_size)

    def offset(self, block: int) -> int:
        """Where a block begins, in bytes."""
        return block * self.block_size

    def length(self, block: int) -> int:
        """How long a block is, in bytes."""
        return min(self.block_size, self.size - block * self.block_size)

    def span(self, first: int, count: int) -> int:
        """How many bytes *count* blocks from *first* on have."""
        return max(0, min(self.size, (first + count) * self.block_size) - first * self.block_size)

    def part(self, blocks: range | None) -> range:
        """Return *blocks*, or all for None; ValueError when the volume doesn't have them."""
        blocks = range(self.count) if blocks is None else blocks
        if blocks and not (blocks.step == 1 and blocks.start >= 0 and blocks.stop <= self.count):
            raise ValueError(f"{blocks} are not blocks of a volume that has {self.count}")
        return blocks


def digest(data: Bytes) -> bytes:
    """The BLAKE3 of a block. That of zeros is known: to look for them costs less than hashing them."""
    if is_zero(data):
        return zero_digest(len(data))
    return blake3(data).digest()


@lru_cache(maxsize=4)  # whole blocks and the last one's length
def zeros(length: int) -> bytes:
    """So many zero bytes."""
    return bytes(length)


@lru_cache(maxsize=4)
def zero_digest(length: int) -> bytes:
    """The BLAKE3 of so many zero bytes."""
    return blake3(zeros(length)).digest()


def aligned(length: int) -> memoryview:
    """Memory for so many bytes that begins at a page and has whole pages: direct reads and writes need that."""
    return memoryview(mmap.mmap(-1, -(-length // SMALLEST) * SMALLEST))


def is_zero(data: Bytes) -> bool:
    """Whether all bytes are zero: the first one is, and each other is as the one before it.

    That is a memcmp of the buffer with itself: it ends at the first difference, and other threads go on meanwhile.
    """
    if not len(data) or data[0]:
        return not len(data)
    if isinstance(data, bytes) or (isinstance(data, memoryview) and data.readonly):
        return data == zeros(len(data))  # ctypes takes the address of what can be written only
    begin = ctypes.addressof(ctypes.c_char.from_buffer(data))
    return not _memcmp(begin, begin + 1, len(data) - 1)
