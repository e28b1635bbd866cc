"""A payload on a connection: blocks with their length before them, and at the end what all of them must add up to.

A frame is four bytes of length (big endian) and so many bytes. An empty frame ends the payload; the frame after it
is JSON: ``{"size", "hash_algo", "hash_value"}``. A stream that just stops is never taken for a whole one.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Protocol

BLOCK = 1 << 20
LIMIT = 8 * BLOCK  # of a frame: nobody makes us allocate more
DEFAULT_HASH = "sha512"  # Glance's own default
_LENGTH = struct.Struct(">I")


class Broken(Exception):
    """The payload did not arrive whole, or isn't what it was announced to be."""


class Wrong(Broken):
    """All of it came, and it's another payload than was announced: to try again would not help."""


class Sink(Protocol):
    """What can be written to: a socket."""

    def sendall(self, data: bytes, /) -> None:
        """Write all of it."""


@dataclass(frozen=True)
class Sum:
    """What a payload adds up to."""

    size: int
    hash_algo: str
    hash_value: str

    def check(self, expected: dict[str, Any]) -> None:
        """Raise Wrong when *expected* says otherwise; what it doesn't say, or by another hash, can't be compared."""
        if expected.get("size") is not None and expected["size"] != self.size:
            raise Wrong(f"{self.size} bytes came, {expected['size']} were announced")
        value = expected.get("hash_value")
        if value and expected.get("hash_algo") == self.hash_algo and value != self.hash_value:
            raise Wrong(f"its {self.hash_algo} is {self.hash_value[:16]}…, {value[:16]}… was announced")


class Summing:
    """Adds blocks up."""

    def __init__(self, algorithm: str | None) -> None:
        self.algorithm = algorithm or DEFAULT_HASH
        try:
            self._hash = hashlib.new(self.algorithm, usedforsecurity=False)
        except ValueError:
            raise Broken(f"{self.algorithm} is no hash that can be computed here") from None
        self.size = 0

    def add(self, block: bytes) -> None:
        """Take one block in."""
        self._hash.update(block)
        self.size += len(block)

    def sum(self) -> Sum:
        """What came so far."""
        return Sum(self.size, self.algorithm, self._hash.hexdigest())


def send_frame(sink: Sink, data: bytes) -> None:
    """Write one frame."""
    sink.sendall(_LENGTH.pack(len(data)))
    if data:
        sink.sendall(data)


def read_frame(source: BinaryIO) -> bytes:
    """Read one frame; raise Broken when the stream ends before the frame does."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise Broken("the stream ended before its end")
    (length,) = _LENGTH.unpack(head)
    if length > LIMIT:
        raise Broken(f"a frame of {length} bytes is none of ours")
    data = source.read(length)
    if len(data) < length:
        raise Broken("the stream ended within a block")
    return data


def send_object(sink: Sink, value: dict[str, Any]) -> None:
    """Write a frame of JSON."""
    send_frame(sink, json.dumps(value).encode())


def read_object(source: BinaryIO) -> dict[str, Any]:
    """Read a frame of JSON."""
    try:
        value = json.loads(read_frame(source))
    except ValueError:
        raise Broken("a frame that should be JSON is not") from None
    if not isinstance(value, dict):
        raise Broken("a frame that should be an object is not")
    return value


def send_payload(sink: Sink, blocks: Iterable[bytes], summing: Summing, expected: dict[str, Any]) -> Sum:
    """Write a payload; its last words are only said when it is as *expected*, else raise Wrong."""
    for block in blocks:
        if block:
            summing.add(block)
            send_frame(sink, block)
    total = summing.sum()
    total.check(expected)
    send_frame(sink, b"")
    send_object(sink, asdict(total))
    return total


def receive_payload(
    source: BinaryIO, summing: Summing, expected: dict[str, Any], progress: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """Yield the blocks of a payload. The last one is held back until all is known to be right; else raise Broken."""

    def check(total: Sum) -> None:
        total.check(read_object(source))
        total.check(expected)

    return whole(iter(lambda: read_frame(source), b""), summing, check, progress)


def whole(
    blocks: Iterable[bytes], summing: Summing, check: Callable[[Sum], None], progress: Callable[[int], None]
) -> Iterator[bytes]:
    """Yield *blocks*; the last one is held back until *check* has found their sum to be right."""
    held = b""
    for block in blocks:
        if held:
            yield held
        summing.add(block)
        progress(summing.size)
        held = block
    check(summing.sum())
    if held:
        yield held
