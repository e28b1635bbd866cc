"""What goes wrong is told, and never written: flipped bits, broken connections, failing devices, strangers."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from stackferry_runtime.certificates import Stranger, identity
from stackferry_transfer.copying.task import Mode
from stackferry_transfer.disk.blocks import HASH, Copy
from stackferry_transfer.disk.devices import Device
from stackferry_transfer.disk.stored import StoredReader
from stackferry_transfer.errors import (
    BlockCorrupted,
    DeviceFailed,
    DeviceTooSmall,
    PeerLost,
    PeerRefused,
    RepairFailed,
    SourceFailed,
    Violation,
)
from stackferry_transfer.pump import protocol, source
from stackferry_transfer.pump.compression import Compression
from stackferry_transfer.pump.connections import connect, fill
from stackferry_transfer.pump.pace import Pace
from stackferry_transfer.pump.protocol import Hello, Kind, Request
from stackferry_transfer.pump.source import Offer, Shared

from .rig import SMALL, Rig, change

# Bits that flip between the source's hash and the destination's


def flipping(monkeypatch: pytest.MonkeyPatch, times: int, hit: Callable[[bytes], bool]) -> None:
    """Flip a bit in so many of what the source sends."""
    plain, left = source.send, [times]

    def send(connection: Any, data: Any) -> None:
        if left[0] and hit(bytes(data)):
            left[0] -= 1
            data = bytearray(data)
            data[len(data) // 2] ^= 4
        plain(connection, data)

    monkeypatch.setattr(source, "send", send)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_flipped_bit_is_asked_for_again_and_never_written(rig: Rig, monkeypatch: Any, mode: Mode) -> None:
    change(rig.source, 1, 2, 3, 50)
    flipping(monkeypatch, 3, lambda data: len(data) == SMALL)
    with rig.serving():
        pulled = rig.pull(mode=mode, connections=1)
    assert pulled.resent == 3
    assert rig.equal()
    assert rig.known() == list(range(400))


def test_a_flipped_bit_in_a_compressed_block_is_noticed(rig: Rig, monkeypatch: Any) -> None:
    flipping(monkeypatch, 2, lambda data: data.startswith(b"\x28\xb5\x2f\xfd"))
    with rig.serving(compression=Compression.ALWAYS):
        pulled = rig.pull(connections=1)
    assert pulled.resent == 2
    assert rig.equal()


def test_a_block_that_never_comes_right_is_an_error(rig: Rig, monkeypatch: Any) -> None:
    flipping(monkeypatch, 10**6, lambda data: len(data) == SMALL)
    with rig.serving(), pytest.raises(BlockCorrupted, match="came 4 times"):
        rig.pull()
    assert all(not any(rig.target.read_bytes()[block * SMALL :][:SMALL]) for block in rig.known())  # zeros came right


# Connections


class Proxy:
    """Passes bytes on between a destination and a source; harms one direction after so many bytes."""

    def __init__(self, address: tuple[str, int], after: int, harm: str) -> None:
        self._address, self._after, self._harm = address, after, harm
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        inner, _ = self._listener.accept()
        outer = socket.create_connection(self._address)
        passed = 0
        with inner, outer:
            while True:
                ready, _, _ = select.select([inner, outer], [], [], 30)
                for one in ready:
                    try:
                        data = bytearray(one.recv(65536))
                    except ConnectionError:
                        return
                    if not data:
                        return
                    if one is outer:
                        passed += len(data)
                    if one is outer and passed > self._after:
                        if self._harm == "cut":
                            return
                        data[-1] ^= 1
                        self._after = 1 << 60
                    try:
                        (inner if one is outer else outer).sendall(data)
                    except ConnectionError:
                        return

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


@contextmanager
def through(rig: Rig, after: int, harm: str) -> Iterator[Callable[[], Any]]:
    """The first connection leads through a proxy."""
    proxy, lock, first = Proxy(rig.address, after, harm), threading.Lock(), [True]

    def make() -> Any:
        with lock:
            is_first, first[0] = first[0], False
        return connect(proxy.address if is_first else rig.address, rig.theirs, rig.mine.certificate)

    try:
        yield make
    finally:
        proxy.close()


@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_the_rest_of_a_broken_connection_is_done_over_the_others(rig: Rig, harm: str) -> None:
    shared = Shared(pace=Pace(2e6))  # slow enough for both to have something to do
    with rig.serving(shared=shared), through(rig, 200_000, harm) as make:
        pulled = rig.pull(make, connections=2)
    assert pulled.complete
    assert rig.equal()
    assert rig.known() == list(range(400))
    assert pulled.same + pulled.zero + pulled.raw == 400


@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_when_the_last_connection_breaks_what_came_is_journaled(rig: Rig, harm: str) -> None:
    with rig.serving():
        with through(rig, 300_000, harm) as make, pytest.raises(PeerLost, match=r"copy copy-1: .*journaled"):
            rig.pull(make, connections=1)
        known = rig.known()
        assert 30 < len(known) < 400
        assert rig.pull().skipped == len(known)
    assert rig.equal()


def test_a_source_that_can_not_be_reached_is_told(rig: Rig) -> None:
    with rig.serving():
        pass
    with pytest.raises(PeerLost, match=f"{rig.address[1]} can't be reached"):
        rig.pull()


@pytest.mark.parametrize("mode", list(Mode))
def test_stop_ends_a_pull_and_leaves_it_journaled(rig: Rig, mode: Mode) -> None:
    stop = threading.Event()
    if mode is not Mode.FULL:
        with rig.serving():
            rig.pull()
        change(rig.source, *range(0, 399, 3))
    with rig.serving():
        pulled = rig.pull(
            mode=mode, stop=stop, every_blocks=10, progress=lambda blocks, _: stop.set() if blocks == 120 else None
        )
    done = pulled.same + pulled.zero + pulled.raw
    assert 120 <= done <= 121  # the other connection may have had one in its hands
    assert not pulled.complete
    assert len(rig.known()) >= done
    with rig.serving():
        assert rig.pull(mode=Mode.FULL if mode is Mode.FULL else Mode.DELTA).complete
    assert rig.equal()


def test_stop_ends_a_pull_from_a_silent_source(rig: Rig) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    with rig.serving(shared=Shared(pace=Pace(1))):  # a byte a second
        timer.start()
        pulled = rig.pull(stop=stop)
        timer.join()
    assert not pulled.complete
    assert pulled.blocks == 400


def test_stop_ends_the_reading_of_the_destinations_own_blocks(rig: Rig, monkeypatch: Any) -> None:
    stop, read = threading.Event(), []

    def stored(self: Any, offset: int, length: int) -> bytes:
        read.append(offset)
        stop.set()
        return bytes(length)

    monkeypatch.setattr(StoredReader, "read", stored)
    with rig.serving():
        assert not rig.pull(mode=Mode.VERIFY, stop=stop).complete
    assert len(read) <= 2  # one a connection


def test_stop_ends_a_pull_that_can_not_connect(rig: Rig) -> None:
    stop, over = threading.Event(), threading.Event()

    def hang() -> Any:
        over.wait(60)
        raise PeerLost("at last")

    threading.Timer(0.05, stop.set).start()
    assert not rig.pull(hang, stop=stop).complete
    over.set()


# Devices


def test_a_block_that_can_not_be_read_at_the_source_is_told(tmp_path: Path, loop: Callable[[Path], Path]) -> None:
    rig = Rig.make(tmp_path, 400 * SMALL)
    file, rig.source = rig.source, loop(rig.source)
    with rig.serving():
        os.truncate(file, 100 * SMALL)  # real I/O errors
        with pytest.raises(SourceFailed, match=r"block \d+: /dev/loop\d+: reading at offset \d+ failed: Input/output"):
            rig.pull(connections=1, every_blocks=1)
        assert 80 <= len(rig.known()) <= 100  # the kernel reads some blocks together, which fail together
    assert sum(end.counts["error"] for end in rig.ended) >= 1


def test_a_source_that_shrinks_is_told(rig: Rig) -> None:
    with rig.serving(), pytest.raises(SourceFailed, match="ends at"):
        rig.pull(connections=1, progress=lambda blocks, _: os.truncate(rig.source, 5 * SMALL))
    assert len(rig.known()) > 0


def test_a_source_that_is_smaller_than_the_volume_or_gone_is_refused(rig: Rig) -> None:
    with rig.serving():
        os.truncate(rig.source, SMALL)
        with pytest.raises(PeerRefused, match="has 4096 bytes"):
            rig.pull()
        rig.source.unlink()
        with pytest.raises(PeerRefused, match="is not there"):
            rig.pull()


class Broken(Device):
    """A destination that loses what it is given."""

    def write(self, data: Any, offset: int) -> None:
        super().write(bytes(len(data)), offset)


def test_a_repair_that_does_not_last_is_an_error(rig: Rig, monkeypatch: Any) -> None:
    monkeypatch.setattr(
        "tests.transfer.rig.open_destination", lambda path, size: Broken(os.open(path, os.O_RDWR), path)
    )
    change(rig.source, 7)
    with rig.serving(), pytest.raises(RepairFailed, match="block [0-9]+ at offset .*unlike"):
        rig.pull(mode=Mode.VERIFY, connections=1)
    assert 7 not in rig.known()


class Full(Device):
    """A destination that fails to store."""

    def flush(self) -> None:
        raise DeviceFailed("could not be stored")


def test_nothing_is_journaled_when_the_device_does_not_store(rig: Rig, monkeypatch: Any) -> None:
    monkeypatch.setattr("tests.transfer.rig.open_destination", lambda path, size: Full(os.open(path, os.O_RDWR), path))
    with rig.serving(), pytest.raises(DeviceFailed, match="stored"):
        rig.pull(every_blocks=10)
    assert rig.known() == []


def test_a_destination_that_is_too_small_is_refused(rig: Rig, monkeypatch: Any) -> None:
    os.truncate(rig.target, SMALL)
    with rig.serving(), pytest.raises(DeviceTooSmall):
        rig.pull()
    monkeypatch.setattr(
        "tests.transfer.rig.open_destination", lambda path, size: Device(os.open(path, os.O_RDWR), path)
    )
    with rig.serving(), pytest.raises(DeviceTooSmall):
        rig.pull()


def test_what_fails_in_the_callers_own_callback_ends_the_pull(rig: Rig) -> None:
    with rig.serving(), pytest.raises(ZeroDivisionError):
        rig.pull(progress=lambda blocks, _: 1 // 0)


# Peers


def test_a_source_refuses_a_stranger(rig: Rig, tmp_path: Path) -> None:
    stranger = identity(tmp_path / "other", "destination")
    with rig.serving(), pytest.raises((PeerRefused, PeerLost)):
        rig.pull(lambda: connect(rig.address, stranger, rig.mine.certificate))
    assert not any(rig.target.read_bytes())
    assert any(isinstance(end.error, Stranger) for end in rig.ended)
    assert all(end.error and end.copy is None for end in rig.ended)


def test_a_destination_refuses_another_source(rig: Rig, tmp_path: Path) -> None:
    other = identity(tmp_path / "other", "source")
    with rig.serving(), pytest.raises(Stranger):
        rig.pull(lambda: connect(rig.address, rig.theirs, other.certificate))


def test_what_is_offered_to_one_is_not_given_to_another(rig: Rig, tmp_path: Path) -> None:
    second = identity(tmp_path / "second", "destination")
    with rig.serving() as server:
        server.offer(Offer(Copy("copy-2", rig.copy.size, SMALL), rig.source, (second.certificate,)))
        with pytest.raises(PeerRefused, match="copy copy-1 is not offered"):
            rig.pull(lambda: connect(rig.address, second, rig.mine.certificate))


def test_ends_that_mean_different_volumes_do_not_begin(rig: Rig) -> None:
    with rig.serving():
        rig.copy = Copy(rig.copy.id, rig.copy.size - SMALL, SMALL)
        with pytest.raises(PeerRefused, match="size"):
            rig.pull()
    assert not any(rig.target.read_bytes())


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", protocol.encode_request(Request(0, 1)), b""]
)
@pytest.mark.parametrize("greets", [True, False])
def test_garbage_ends_its_connection_and_nothing_else(rig: Rig, garbage: bytes, greets: bool) -> None:
    with rig.serving():
        with rig.connect() as connection:
            if greets:
                connection.sendall(protocol.encode_hello(Hello.of(rig.copy, True)))
                fill(connection, bytearray(4))
                garbage = b"\xff" * 12 if garbage else b""
            connection.sendall(garbage)
            if not garbage:
                connection.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                while connection.recv(65536):
                    pass
        assert rig.pull(connections=1).complete
    failed = [end.error for end in rig.ended if end.error]
    assert len(failed) == (0 if greets and not garbage else 1)
    assert all(isinstance(error, Violation | PeerLost) for error in failed)


@pytest.mark.parametrize(
    ("reply", "error"),
    [(protocol.encode_reply(Kind.RAW, 1 << 30), Violation), (b"\x09" * 37, Violation),
     (protocol.encode_error("no\x1b[0m"), SourceFailed), (protocol.encode_reply(Kind.SAME, 0, b"s" * HASH), BlockCorrupted),
     (protocol.encode_reply(Kind.ZERO, 0, b"z" * HASH), BlockCorrupted)],
)  # fmt: skip
def test_a_source_that_lies_is_not_believed(rig: Rig, monkeypatch: Any, reply: bytes, error: type[Exception]) -> None:
    def lie(self: Any, block: int, known: bytes) -> None:
        self._out += reply

    monkeypatch.setattr(source.Session, "_answer", lie)
    with rig.serving(), pytest.raises(error):
        rig.pull(mode=Mode.DELTA)
    assert rig.known() == []
    assert not any(rig.target.read_bytes())
