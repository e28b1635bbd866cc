"""The wire format between two agents: the destination asks for blocks, the source answers each.

All numbers are big endian. Both ends say hello first, the destination before the source: four bytes of length and
JSON ``{"version", "copy", "size", "block_size", "compression"}``, or from the source ``{"error"}``, and it hangs up.

A request is ``first block (8) count (2) flags (1) waited (1)``. Flag 1 says that *count* BLAKE3 of 32 bytes follow:
what the destination has there already, or 32 zeros. *waited* is the percentage of its time that the destination
has waited for bytes since its last request: whether the way is the bottleneck, or the destination itself.

A reply for each block, in order, is ``kind (1) length (4) BLAKE3 (32)`` and *length* bytes. ``SAME`` and ``ZERO``
have none, ``RAW`` has the block, ``ZSTD`` the block in one zstd frame, ``ERROR`` a sentence and no hash.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from ..disk.blocks import HASH, UNKNOWN, Copy
from ..errors import TEXT_LIMIT, PeerRefused, Violation, quotable

VERSION = 2  # 1 had SHA-256
HELLO_LIMIT = 4096  # bytes of JSON
COUNT_LIMIT = 64  # blocks of a request
HASHES_FOLLOW = 1

_LENGTH = struct.Struct(">I")
_REQUEST = struct.Struct(">QHBB")
_REPLY = struct.Struct(f">BI{HASH}s")
REPLY_HEAD = _REPLY.size

Read = Callable[[int], bytes]
"""Returns exactly so many bytes, or raises PeerLost."""


class Kind(IntEnum):
    """What a reply is."""

    SAME = 1
    ZERO = 2
    RAW = 3
    ZSTD = 4
    ERROR = 5


@dataclass(frozen=True)
class Hello:
    """What one end understands by a copy; ``compression`` is whether it allows it."""

    copy: str
    size: int
    block_size: int
    compression: bool
    version: int = VERSION

    @classmethod
    def of(cls, copy: Copy, compression: bool) -> Hello:
        """The hello of an end that is to do this copy."""
        return cls(copy.id, copy.size, copy.block_size, compression)

    def check(self, mine: Hello) -> bool:
        """Return whether replies may be compressed; raise PeerRefused when the ends don't mean the same."""
        for name in ("version", "copy", "size", "block_size"):
            if getattr(self, name) != getattr(mine, name):
                raise PeerRefused(
                    f"copy {mine.copy}: the other end has {name} {getattr(self, name)}, this one {getattr(mine, name)}"
                )
        return self.compression and mine.compression


@dataclass(frozen=True)
class Request:
    """Ask for *count* blocks; ``known`` is empty, or a hash for each of them. ``waited`` is a percentage."""

    first: int
    count: int
    known: bytes = b""
    waited: int = 0

    def hash_of(self, block: int) -> bytes:
        """What the destination has at a block: a hash, or UNKNOWN."""
        at = (block - self.first) * HASH
        return self.known[at : at + HASH] or UNKNOWN


@dataclass(frozen=True)
class Reply:
    """The head of a reply; ``length`` bytes follow."""

    kind: Kind
    length: int
    digest: bytes


def encode_hello(hello: Hello) -> bytes:
    """Return a hello for the wire."""
    return _frame(asdict(hello))


def encode_refusal(sentence: str) -> bytes:
    """Return what the source says in place of a hello."""
    return _frame({"error": sentence[:TEXT_LIMIT]})


def _frame(value: dict[str, Any]) -> bytes:
    body = json.dumps(value).encode()
    return _LENGTH.pack(len(body)) + body


def read_hello(read: Read) -> Hello:
    """Read the other end's hello; raise PeerRefused with its words when it refuses, Violation when it's none."""
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    if length > HELLO_LIMIT:
        raise Violation(f"a hello of {length} bytes is none of ours")
    try:
        value = json.loads(read(length))
    except (ValueError, RecursionError):
        raise Violation("a hello that isn't JSON") from None
    if not isinstance(value, dict):
        raise Violation("a hello that is no object")
    if isinstance(value.get("error"), str):
        raise PeerRefused(f"the source refuses: {quotable(value['error'])}")
    fields = {"copy": str, "size": int, "block_size": int, "compression": bool, "version": int}
    for name, type_ in fields.items():
        if type(value.get(name)) is not type_:  # a bool is an int otherwise
            raise Violation(f"a hello without {name}")
    return Hello(**{name: value[name] for name in fields})


def encode_request(request: Request) -> bytes:
    """Return a request for the wire."""
    flags = HASHES_FOLLOW if request.known else 0
    return _REQUEST.pack(request.first, request.count, flags, request.waited) + request.known


def read_request(read: Read, copy: Copy) -> Request:
    """Read a request; raise Violation when it asks for what the volume doesn't have, or for too much."""
    first, count, flags, waited = _REQUEST.unpack(read(_REQUEST.size))
    if not 0 < count <= COUNT_LIMIT or first + count > copy.count:
        raise Violation(f"copy {copy.id}: a request for {count} blocks from {first} on, of {copy.count}")
    if flags & ~HASHES_FOLLOW or waited > 100:
        raise Violation(f"copy {copy.id}: a request with unknown flags {flags} or {waited} % waited")
    return Request(first, count, read(count * HASH) if flags & HASHES_FOLLOW else b"", waited)


def encode_reply(kind: Kind, length: int = 0, digest: bytes = UNKNOWN) -> bytes:
    """Return the head of a reply for the wire."""
    return _REPLY.pack(kind, length, digest)


def encode_error(sentence: str) -> bytes:
    """Return a whole ERROR reply."""
    text = sentence.encode()[:TEXT_LIMIT]
    return encode_reply(Kind.ERROR, len(text)) + text


def read_reply(read: Read, length: int, *, compression: bool) -> Reply:
    """Read the head of the reply for a block of *length* bytes; raise Violation unless its own length fits the kind."""
    kind, size, digest = _REPLY.unpack(read(_REPLY.size))
    limits = {
        Kind.SAME: range(1),
        Kind.ZERO: range(1),
        Kind.RAW: range(length, length + 1),
        Kind.ZSTD: range(1, length) if compression else range(0),
        Kind.ERROR: range(TEXT_LIMIT + 1),
    }
    if size not in limits.get(kind, ()):
        raise Violation(f"a reply of kind {kind} with {size} bytes for a block of {length}")
    return Reply(Kind(kind), size, digest)
