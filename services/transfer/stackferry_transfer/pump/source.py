"""Serves one connection at the source: reads the blocks that are asked for, once each, and answers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..disk import devices
from ..disk.blocks import UNKNOWN, Bytes, Copy, aligned, digest, is_zero, zero_digest
from ..disk.devices import Device
from ..errors import DeviceError, DeviceFailed, DeviceTooSmall, PeerLost, PeerRefused, quotable
from . import protocol
from .compression import Compression, Compressor, Link
from .connections import Connection, reader, send
from .pace import Pace
from .protocol import Hello, Kind
from .served import Served

_FULL = 32 << 10  # bytes of short replies that are worth a write of their own


@dataclass(frozen=True)
class Offer:
    """What holders of ``certificates`` (PEM) may read: some blocks of the device at ``path``, None for all.

    ``pace`` is for all connections that read it, besides that of the process.
    """

    copy: Copy
    path: Path
    certificates: tuple[str, ...]
    blocks: range | None = None
    compression: Compression = Compression.AUTO
    pace: Pace = field(default_factory=Pace)
    served: Served = field(init=False, compare=False)

    def __post_init__(self) -> None:
        # ValueError now rather than in the thread of a connection
        object.__setattr__(self, "served", Served(self.copy.part(self.blocks)))


@dataclass
class Shared:
    """What the connections of a process share: the limit, the measured link, and the end of all."""

    pace: Pace = field(default_factory=Pace)
    link: Link = field(default_factory=Link)
    stop: threading.Event = field(default_factory=threading.Event)


def greet(connection: Connection, offers: Mapping[str, Offer], shared: Shared) -> Session:
    """Read the destination's hello and answer it; return what serves it.

    Raise PeerRefused when nothing is offered under this id, or something else, and DeviceError when the device can't
    be opened: the other end is told why.
    """
    theirs = protocol.read_hello(reader(connection))
    try:
        offer = offers.get(theirs.copy)
        if offer is None:
            raise PeerRefused(f"copy {quotable(theirs.copy)} is not offered")
        mine = Hello.of(offer.copy, offer.compression is not Compression.NEVER)
        compression = theirs.check(mine)
        device = _opened(offer)
    except (PeerRefused, DeviceError) as error:
        send(connection, protocol.encode_refusal(str(error)))
        raise
    try:
        send(connection, protocol.encode_hello(mine))
    except PeerLost:
        device.close()
        raise
    return Session(connection, offer, device, compression, shared)


def _opened(offer: Offer) -> Device:
    device = devices.open_source(offer.path)
    if device.size < offer.copy.size:
        device.close()
        raise DeviceTooSmall(f"{offer.path}: has {device.size} bytes, and not the volume's {offer.copy.size}")
    return device


class Session:
    """One connection that is served; to be closed. ``counts`` are the blocks by answer, and ``wire_sent`` in bytes."""

    def __init__(self, connection: Connection, offer: Offer, device: Device, compression: bool, shared: Shared) -> None:
        self.offer = offer
        self.counts: Counter[str] = Counter()
        self._connection, self._device, self._shared = connection, device, shared
        self._copy, self._allowed = offer.copy, offer.copy.part(offer.blocks)
        mode = offer.compression if compression else Compression.NEVER
        self._compressor = Compressor(mode, shared.link)
        self._buffer = aligned(offer.copy.block_size)
        self._out = bytearray()  # replies that wait for company

    def close(self) -> None:
        """Let go of the device."""
        self._device.close()

    def serve(self) -> None:
        """Answer requests until the destination hangs up; raise PeerLost or Violation.

        A block that can't be read is answered with the reason.
        """
        self._device.drop_cached(0, 0)  # what another host wrote since is on the device only
        while not self._shared.stop.is_set() and self._answer_one():
            pass

    def _answer_one(self) -> bool:
        """Answer a request; False when there is none any more."""
        try:
            request = protocol.read_request(reader(self._connection), self._copy)
        except PeerLost:
            return False  # that the destination is gone is its own agent's to report
        self._compressor.consider(request.waited)
        for block in range(request.first, request.first + request.count):
            self._answer(block, request.hash_of(block))
        self._send()
        offset, length = self._copy.offset(request.first), self._copy.span(request.first, request.count)
        self._device.drop_cached(offset, length)  # nobody reads it twice, and the host's memory is for others
        return True

    def _answer(self, block: int, known: bytes) -> None:
        try:
            data = self._read(block)
        except DeviceFailed as error:
            self.counts["error"] += 1
            self._out += protocol.encode_error(f"copy {self._copy.id}, block {block}: {error}")
            return
        zero = is_zero(data)
        found = zero_digest(len(data)) if zero else digest(data)
        self.offer.served.note(block, found)
        if found == known != UNKNOWN:
            self._short(Kind.SAME, found)
        elif zero:
            self._short(Kind.ZERO, found)
        else:
            self._content(data, found)
        if len(self._out) > _FULL:
            self._send()

    def _read(self, block: int) -> memoryview:
        if block not in self._allowed:
            raise DeviceFailed(f"only blocks {self._allowed.start} to {self._allowed.stop} are offered")
        data = self._buffer[: self._copy.length(block)]
        self._device.read_into(data, self._copy.offset(block))
        return data

    def _short(self, kind: Kind, found: bytes) -> None:
        self.counts[kind.name.lower()] += 1
        self._out += protocol.encode_reply(kind, 0, found)

    def _content(self, data: memoryview, found: bytes) -> None:
        frame = self._compressor.smaller(data)
        kind, content = (Kind.ZSTD, frame) if frame else (Kind.RAW, data)
        self.counts[kind.name.lower()] += 1
        self._out += protocol.encode_reply(kind, len(content), found)
        self._send()
        self._send_measured(content)

    def _send(self) -> None:
        out, self._out = self._out, bytearray()
        if out:
            self._send_measured(out)

    def _send_measured(self, data: Bytes) -> None:
        with self._shared.link.writing(len(data)):  # a limit makes the way slow, too
            for pace in (self.offer.pace, self._shared.pace):
                pace.wait(len(data), self._shared.stop)
            send(self._connection, data)
        self.counts["wire_sent"] += len(data)
