"""Blocks: what is zeros, in any buffer, and what their hash is."""

from __future__ import annotations

import pytest
from blake3 import blake3
from stackferry_transfer.disk.blocks import Bytes, aligned, digest, is_zero

LENGTH = 4096 + 5
BUFFERS = [bytes, bytearray, lambda data: memoryview(bytearray(data)), memoryview]


def direct(data: Bytes) -> memoryview:
    view = aligned(len(data))[: len(data)]
    view[:] = data
    return view


@pytest.mark.parametrize("buffer", [*BUFFERS, direct], ids=["bytes", "bytearray", "view", "read-only view", "aligned"])
def test_one_bit_anywhere_is_no_zero(buffer: type) -> None:
    assert is_zero(buffer(bytes(LENGTH)))
    assert is_zero(buffer(b"\0"))
    assert is_zero(buffer(b"\0\0")[1:])
    for at in (0, 1, LENGTH // 2, LENGTH - 2, LENGTH - 1):
        data = bytearray(LENGTH)
        data[at] = 0x80
        assert not is_zero(buffer(bytes(data)))
        assert digest(buffer(bytes(data))) == blake3(data).digest()
    assert not is_zero(buffer(b"\1"))
    assert digest(buffer(bytes(LENGTH))) == blake3(bytes(LENGTH)).digest()


@pytest.mark.parametrize("buffer", BUFFERS)
def test_only_what_the_view_shows_counts(buffer: type) -> None:
    data = memoryview(buffer(b"\1" + bytes(10) + b"\1"))
    assert is_zero(data[1:11])
    assert not is_zero(data[1:])
    assert is_zero(data[:0])
    assert digest(data[:0]) == blake3().digest()
