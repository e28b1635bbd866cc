"""The stream of a payload: whole, or refused before its last block is let through."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stackferry_runtime.stream import LIMIT, Broken, Summing, read_object, receive_payload, send_payload


class Wire(io.BytesIO):
    sendall = io.BytesIO.write


def sent(blocks: list[bytes], expected: dict[str, Any] | None = None) -> bytes:
    wire = Wire()
    send_payload(wire, blocks, Summing("sha256"), expected or {})
    return wire.getvalue()


def received(data: bytes, expected: dict[str, Any] | None = None) -> list[bytes]:
    return list(receive_payload(io.BytesIO(data), Summing("sha256"), expected or {}))


def let_through(data: bytes, expected: dict[str, Any] | None = None) -> bytes:
    """What came through before it broke."""
    through = b""
    with pytest.raises(Broken):
        for block in receive_payload(io.BytesIO(data), Summing("sha256"), expected or {}):
            through += block
    return through


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_what_is_sent_arrives(blocks: list[bytes]) -> None:
    assert b"".join(received(sent(blocks))) == b"".join(blocks)


@given(st.lists(st.binary(min_size=1, max_size=16), min_size=1, max_size=4), st.data())
def test_a_stream_that_just_stops_is_never_whole(blocks: list[bytes], data: st.DataObject) -> None:
    wire = sent(blocks)
    cut = data.draw(st.integers(0, len(wire) - 1))
    assert len(let_through(wire[:cut])) < sum(map(len, blocks))


@given(st.lists(st.binary(min_size=1, max_size=16), min_size=1, max_size=4), st.data())
def test_a_changed_byte_is_noticed(blocks: list[bytes], data: st.DataObject) -> None:
    wire = bytearray(sent(blocks))
    wire[data.draw(st.integers(4, 3 + len(blocks[0])))] ^= 1
    assert len(let_through(bytes(wire))) < sum(map(len, blocks))


@pytest.mark.parametrize(
    "expected",
    [{"size": 5}, {"hash_algo": "sha256", "hash_value": "00"}, {"size": 6, "hash_algo": "sha256", "hash_value": "00"}],
)
def test_another_payload_than_announced_is_refused_at_both_ends(expected: dict[str, Any]) -> None:
    assert let_through(sent([b"abc", b"def"]), expected) == b"abc"
    with pytest.raises(Broken):
        sent([b"abc", b"def"], expected)


def test_what_was_announced_is_taken() -> None:
    value = hashlib.sha256(b"abcdef").hexdigest()
    for expected in ({"size": 6, "hash_algo": "sha256", "hash_value": value}, {"hash_algo": "md5", "hash_value": "00"}):
        assert received(sent([b"abc", b"def"], expected), expected) == [b"abc", b"def"]


def test_nobody_makes_us_allocate() -> None:
    with pytest.raises(Broken, match="none of ours"):
        received((LIMIT + 1).to_bytes(4, "big"))


@pytest.mark.parametrize("frame", [b"no json", b"[]"])
def test_an_object_is_an_object(frame: bytes) -> None:
    with pytest.raises(Broken):
        read_object(io.BytesIO(len(frame).to_bytes(4, "big") + frame))


def test_an_unknown_hash_is_said_to_be_unknown() -> None:
    with pytest.raises(Broken, match="sha512x"):
        Summing("sha512x")
