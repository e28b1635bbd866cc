"""The wire format: what is sent arrives, and no bytes of a hostile peer do more than end its connection."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stackferry_transfer.disk.blocks import HASH, UNKNOWN, Copy
from stackferry_transfer.errors import TEXT_LIMIT, PeerLost, PeerRefused, Violation
from stackferry_transfer.pump import protocol
from stackferry_transfer.pump.protocol import Hello, Kind, Reply, Request

COPY = Copy("c", 1000 * 4096 + 5, 4096)
MOST = 64 * HASH  # bytes that a reader may want at once


def reading(data: bytes) -> Callable[[int], bytes]:
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        assert size <= max(MOST, protocol.HELLO_LIMIT), "a peer made us allocate this"
        found = stream.read(size)
        if len(found) < size:
            raise PeerLost("ended")
        return found

    return read


@given(st.text(max_size=128), st.integers(0, 1 << 62), st.integers(1, 1 << 22), st.booleans(), st.integers(0, 9))
def test_a_hello_arrives(copy: str, size: int, block_size: int, compression: bool, version: int) -> None:
    hello = Hello(copy, size, block_size, compression, version)
    assert protocol.read_hello(reading(protocol.encode_hello(hello))) == hello


@given(st.integers(1, 64), st.integers(0, 100), st.booleans(), st.data())
def test_a_request_arrives(count: int, waited: int, hashes: bool, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, COPY.count - count))
    request = Request(first, count, data.draw(st.randoms()).randbytes(count * HASH) if hashes else b"", waited)
    found = protocol.read_request(reading(protocol.encode_request(request)), COPY)
    assert found == request
    assert found.hash_of(first + count - 1) == (request.known[-HASH:] or UNKNOWN)


@pytest.mark.parametrize(
    ("kind", "length"), [(Kind.SAME, 0), (Kind.ZERO, 0), (Kind.RAW, 4096), (Kind.ZSTD, 4095), (Kind.ERROR, 1024)]
)
def test_a_reply_arrives(kind: Kind, length: int) -> None:
    head = protocol.encode_reply(kind, length, b"h" * HASH)
    assert len(head) == protocol.REPLY_HEAD
    assert protocol.read_reply(reading(head), 4096, compression=True) == Reply(kind, length, b"h" * HASH)


@pytest.mark.parametrize(
    ("kind", "length"),
    [(Kind.SAME, 1), (Kind.ZERO, 4096), (Kind.RAW, 4095), (Kind.RAW, 4097), (Kind.RAW, 1 << 31), (Kind.ZSTD, 0),
     (Kind.ZSTD, 4096), (Kind.ERROR, 1025), (0, 0), (6, 0), (255, 0)],
)  # fmt: skip
def test_a_reply_with_a_length_of_another_kind_is_refused(kind: int, length: int) -> None:
    with pytest.raises(Violation):
        protocol.read_reply(reading(struct.pack(">BI32s", kind, length, b"")), 4096, compression=True)


def test_a_compressed_reply_is_refused_where_none_was_allowed() -> None:
    with pytest.raises(Violation):
        protocol.read_reply(reading(protocol.encode_reply(Kind.ZSTD, 9)), 4096, compression=False)


@pytest.mark.parametrize(
    "head",
    [(0, 0, 0, 0), (0, 65, 0, 0), (1001, 1, 0, 0), (990, 12, 0, 0), (1 << 63, 1, 0, 0), (0, 1, 2, 0), (0, 1, 0, 101)],
)
def test_a_request_for_what_is_not_there_is_refused(head: tuple[int, ...]) -> None:
    with pytest.raises(Violation):
        protocol.read_request(reading(struct.pack(">QHBB", *head) + bytes(MOST)), COPY)


def as_hello(value: Any) -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack(">I", len(body)) + body


GOOD = {"version": 1, "copy": "c", "size": 1, "block_size": 1, "compression": True}


@pytest.mark.parametrize(
    "value",
    [b"", b"\xff", b"[" * 4000, b'{"size": ' + b"9" * 4000, [], "text", {}, {**GOOD, "size": "1"},
     {**GOOD, "size": True}, {**GOOD, "size": 1.0}, {**GOOD, "compression": 1}, {**GOOD, "copy": None},
     {"error": 5}, b"x" * 4097],
)  # fmt: skip
def test_a_hello_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(Violation):
        protocol.read_hello(reading(as_hello(value)))


def test_a_refusal_is_told_in_its_words_without_control_characters() -> None:
    with pytest.raises(PeerRefused, match=r"no such copy\?\[31m"):
        protocol.read_hello(reading(protocol.encode_refusal("no such copy\x1b[31m")))


@given(st.binary(max_size=200), st.sampled_from(["hello", "request", "reply"]), st.booleans())
def test_noise_only_ends_a_connection(noise: bytes, what: str, framed: bool) -> None:
    readers: dict[str, Callable[[Callable[[int], bytes]], Any]] = {
        "hello": protocol.read_hello,
        "request": lambda read: protocol.read_request(read, COPY),
        "reply": lambda read: protocol.read_reply(read, 4096, compression=True),
    }
    try:
        readers[what](reading(as_hello(noise) if framed else noise))
    except (Violation, PeerLost, PeerRefused):
        return


@pytest.mark.parametrize("field", ["version", "copy", "size", "block_size"])
def test_ends_that_mean_something_else_part(field: str) -> None:
    mine = Hello.of(COPY, True)
    theirs = Hello(**{**mine.__dict__, field: "other" if field == "copy" else 7})
    with pytest.raises(PeerRefused, match=field):
        theirs.check(mine)


@pytest.mark.parametrize(("one", "other"), [(True, True), (True, False), (False, True), (False, False)])
def test_both_ends_must_allow_compression(one: bool, other: bool) -> None:
    assert Hello.of(COPY, one).check(Hello.of(COPY, other)) is (one and other)


def test_an_errors_sentence_is_cut_to_its_limit() -> None:
    assert len(protocol.encode_error("ü" * 5000)) == protocol.REPLY_HEAD + TEXT_LIMIT


@given(st.integers(0, 10 * 4096))
def test_blocks_cover_a_volume_without_gaps(size: int) -> None:
    copy = Copy("c", size, 4096)
    assert sum(map(copy.length, range(copy.count))) == size == copy.span(0, copy.count)
    assert all(copy.length(block) > 0 for block in range(copy.count))
    assert [copy.offset(block) for block in range(copy.count)] == list(range(0, size, 4096))


@pytest.mark.parametrize(
    "wrong", [("", 1), ("x" * 129, 1), ("a\nb", 1), ("é", 1), ("a", -1), ("a", 1, 512), ("a", 1, 5000)]
)
def test_a_copy_that_makes_no_sense_is_refused(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError):
        Copy(*wrong)


@pytest.mark.parametrize("wrong", [range(0, 1002), range(-1, 4), range(0, 8, 2)])
def test_only_blocks_of_the_volume_can_be_meant(wrong: range) -> None:
    with pytest.raises(ValueError):
        COPY.part(wrong)
