"""When blocks are compressed, and what is believed of a compressed one."""

from __future__ import annotations

import random
import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from stackferry_transfer.pump.compression import Compression, Compressor, Decompressor, Link, worthwhile

NOISE, TEXT = random.Random(5).randbytes(1 << 20), b"the same words again. " * 50_000


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def written(rate: float, clock: Clock, link: Link, seconds: float = 4.0) -> None:
    """Two connections write at once, together at this rate."""
    for _ in range(int(rate * seconds) >> 20):
        with link.writing(1 << 19), link.writing(1 << 19):
            clock.now += (1 << 20) / rate


@pytest.mark.parametrize("rate", [12e6, 125e6, 240e6, 260e6, 1e9])
def test_the_rate_of_the_link_is_that_of_all_connections(rate: float) -> None:
    clock = Clock()
    link = Link(clock)
    written(rate, clock, link)
    clock.now += 1000  # without anything to write
    written(rate, clock, link)
    assert link.rate == pytest.approx(rate, rel=0.05)


def test_writes_that_overlap_take_the_time_once() -> None:
    clock = Clock()
    link = Link(clock)
    one, other = link.writing(30 << 20), link.writing(30 << 20)
    for at, step in ((0, one.__enter__), (0.1, other.__enter__)):
        clock.now = at
        step()
    for at, end in ((0.2, one), (0.3, other)):
        clock.now = at
        end.__exit__(None, None, None)
    assert link.rate == pytest.approx((60 << 20) / 0.3)


def test_what_was_measured_long_ago_is_forgotten() -> None:
    clock = Clock()
    link = Link(clock)
    written(1e9, clock, link)
    written(50e6, clock, link, seconds=20)
    assert link.rate == pytest.approx(50e6, rel=0.1)


def test_little_says_nothing() -> None:
    clock = Clock()
    link = Link(clock)
    written(1e6, clock, link, seconds=5)
    assert link.rate is None


@pytest.mark.parametrize(
    ("compressing", "rate", "waited", "expected"),
    [(False, None, 100, False), (True, None, 0, True),
     (False, 100e6, 90, True), (False, 249e6, 90, True), (False, 251e6, 90, False),
     (False, 100e6, 20, False),  # the destination's disk is slow, not the way
     (True, 300e6, 50, True), (True, 501e6, 90, False), (True, 100e6, 20, False)],
)  # fmt: skip
def test_it_pays_on_slow_ways_only(compressing: bool, rate: float | None, waited: int, expected: bool) -> None:
    assert worthwhile(compressing, rate, waited) is expected


def test_it_begins_and_ends_by_what_is_measured() -> None:
    clock = Clock()
    link = Link(clock)
    compressor = Compressor(Compression.AUTO, link)
    assert compressor.smaller(TEXT) is None
    written(100e6, clock, link)
    compressor.consider(95)
    assert compressor.smaller(TEXT)
    written(2e9, clock, link, seconds=20)
    compressor.consider(95)
    assert compressor.smaller(TEXT) is None


@pytest.mark.parametrize(("mode", "compresses"), [(Compression.ALWAYS, True), (Compression.NEVER, False)])
def test_a_person_knows_better(mode: Compression, compresses: bool) -> None:
    clock = Clock()
    link = Link(clock)
    written(1e9 if compresses else 1e7, clock, link)
    compressor = Compressor(mode, link)
    compressor.consider(0 if compresses else 100)
    assert bool(compressor.smaller(TEXT)) is compresses


def test_what_does_not_get_smaller_is_sent_as_it_is() -> None:
    assert Compressor(Compression.ALWAYS, Link()).smaller(NOISE) is None


@given(st.binary(min_size=1, max_size=5000))
def test_a_compressed_block_comes_back(block: bytes) -> None:
    frame = zstandard.ZstdCompressor(level=1).compress(block)
    assert Decompressor().block(frame, len(block)) == block


def test_a_frame_that_claims_to_be_large_is_not_believed() -> None:
    claim = b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + struct.pack("<Q", 1 << 40)  # a header with that content size
    assert zstandard.frame_content_size(claim) == 1 << 40
    assert Decompressor().block(claim, 1 << 20) is None
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 26))
    assert Decompressor().block(bomb, 1 << 20) is None


@given(st.binary(max_size=100))
def test_noise_is_no_frame(noise: bytes) -> None:
    assert Decompressor().block(noise, 4096) is None


def test_a_frame_with_more_behind_it_is_refused() -> None:
    frame = zstandard.ZstdCompressor().compress(b"x" * 100)
    assert Decompressor().block(frame + frame, 100) is None
