"""The listening side: many volumes on one port, offers that come and go, guests that say nothing."""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from stackferry_runtime.certificates import Stranger, connecting, identity, readable
from stackferry_transfer.disk.blocks import Copy
from stackferry_transfer.errors import PeerLost, PeerRefused, SourceFailed
from stackferry_transfer.pump import connections, protocol, source
from stackferry_transfer.pump.connections import connect
from stackferry_transfer.pump.pace import Pace
from stackferry_transfer.pump.protocol import Hello
from stackferry_transfer.pump.server import LIMIT, SILENT, Server
from stackferry_transfer.pump.source import Offer, Shared

from .rig import SMALL, Rig


def pumps() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pump")]


def test_one_port_serves_several_volumes_to_several_destinations(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Rig.make(tmp_path / "other", 100 * SMALL, seed=8)
    other.copy, other.mine = Copy("copy-2", other.copy.size, SMALL), rig.mine
    with rig.serving() as server:
        server.offer(Offer(other.copy, other.source, (other.theirs.certificate,)))
        other.address = rig.address
        thread = threading.Thread(target=rig.pull)
        thread.start()
        assert other.pull().complete
        thread.join()
    assert rig.equal()
    assert other.equal()
    assert pumps() == []


def test_an_offer_that_is_withdrawn_is_read_no_more(rig: Rig) -> None:
    reached, withdrawn = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def pull() -> None:
        try:
            rig.pull(progress=lambda blocks, _: reached.set() if blocks > 50 else None)
        except (PeerLost, PeerRefused) as error:  # refused: a connection that came when it was withdrawn already
            errors.append(error)

    with rig.serving(shared=Shared(pace=Pace(500_000))) as server:
        thread = threading.Thread(target=pull)
        thread.start()
        assert reached.wait(30)
        server.withdraw("copy-1")
        withdrawn.set()
        assert not [link for link in links() if link == str(rig.source)], "its device is still open"
        thread.join()
        assert len(errors) == 1
        with pytest.raises((PeerRefused, PeerLost)):
            rig.pull()
        rig.shared.pace.rate = None
        server.offer(Offer(rig.copy, rig.source, (rig.theirs.certificate,)))
        assert rig.pull().complete
    assert rig.equal()


def links() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


def test_guests_that_say_nothing_disturb_nobody_and_end_with_the_server(rig: Rig) -> None:
    with rig.serving():
        silent = [socket.create_connection(rig.address) for _ in range(5)]
        greeted = rig.connect()
        assert rig.pull().complete
    assert pumps() == []  # and long before any of their timeouts
    for guest in [*silent, greeted]:
        guest.close()


def test_there_is_a_limit_of_connections(rig: Rig) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    rig.address = listener.getsockname()
    with Server(listener, rig.mine, limit=1) as server:
        server.offer(Offer(rig.copy, rig.source, (rig.theirs.certificate,)))
        with rig.connect() as first:
            connections.send(first, protocol.encode_hello(Hello.of(rig.copy, True)))
            assert select.select([first], [], [], 30)[0]  # it's known, and answered
            with pytest.raises(PeerLost):
                rig.pull(connections=1)
    assert pumps() == []


def test_silent_guests_do_not_shut_the_door(rig: Rig) -> None:
    with rig.serving():
        one = [socket.create_connection(rig.address) for _ in range(300)]  # from the guest's own address
        assert rig.pull(connections=2).complete  # it was accepted after all of those
        assert pumps().count("pump-source") <= 2 * SILENT  # some are just about to end
        places = [(f"127.0.1.{1 + n % 9}", 0) for n in range(300)]
        many = [socket.create_connection(rig.address, source_address=place) for place in places]
        rig.journal.unlink()
        assert rig.pull(connections=2).complete
        assert pumps().count("pump-source") <= LIMIT + 2
    assert pumps() == []
    for guest in [*one, *many]:
        guest.close()


def test_a_certificate_that_cannot_be_read_keeps_nobody_else_out(rig: Rig) -> None:
    broken = rig.mine.certificate[:-200] + "x" * 100 + "\n-----END CERTIFICATE-----\n"
    texts = (broken, "", "PEM", "\ud800", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
    mine, theirs = rig.mine.certificate, rig.theirs.certificate
    assert readable([*texts, theirs]) == (theirs,)
    for odd in (
        f"hello\n{theirs}",
        f"{theirs}hello\n",
        f"\n{theirs}",
        theirs + mine,
    ):  # OpenSSL is picky, or takes both
        assert readable([odd]) == (theirs,)
    for text in texts:
        with pytest.raises(Stranger):
            connecting(rig.mine, text)


@pytest.mark.timeout(20)  # and not after the longer time to connect
def test_a_stuck_source_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(source.Session, "_answer", lambda *_: over.wait(30))
    with rig.serving(), pytest.raises(PeerLost, match="said nothing for too long"):
        try:
            rig.pull(lambda: connect(rig.address, rig.theirs, rig.mine.certificate, stalled=0.2))
        finally:
            over.set()


def test_a_destination_that_says_nothing_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackferry_transfer.pump.server.IDLE", 0.1)
    monkeypatch.setattr(connections, "GREETING", 0.1)
    with rig.serving(), rig.connect() as connection:
        connection.settimeout(30)
        assert connection.recv(1) == b""
    assert isinstance(rig.ended[0].error, PeerLost)


def test_an_interrupted_connection_never_returns_encrypted_bytes(rig: Rig) -> None:
    with rig.serving(), rig.connect() as connection:
        connections.send(connection, protocol.encode_hello(Hello.of(rig.copy, True)))
        assert select.select([connection], [], [], 30)[0]  # the answer is here
        connections.interrupt(connection)
        head = bytearray(4)
        with suppress(PeerLost):
            connections.fill(connection, head)
        assert int.from_bytes(head) < protocol.HELLO_LIMIT, head
        with pytest.raises(PeerLost):
            connections.fill(connection, bytearray(1000))
    connections.interrupt(connection)  # closed


def test_a_wrong_offer_is_refused_at_once(rig: Rig) -> None:
    with pytest.raises(ValueError):
        Offer(rig.copy, rig.source, (identity(rig.folder, "x").certificate,), range(0, 401))


def test_parts_of_a_volume_are_offered_by_ids_of_their_own_to_any_of_several_agents(rig: Rig) -> None:
    listener, half = socket.create_server(("127.0.0.1", 0)), rig.copy.count // 2
    peers = (identity(rig.folder, "x").certificate, rig.theirs.certificate)
    with Server(listener, rig.mine) as server:
        rig.address = server.address
        for name, blocks in (("part 1", range(half)), ("part 2", range(half, rig.copy.count))):
            server.offer(Offer(replace(rig.copy, id=name), rig.source, peers, blocks))
        assert rig.pull(offer="part 1", blocks=range(half)).complete
        with pytest.raises(SourceFailed, match="are offered"):
            rig.pull(offer="part 1", blocks=range(half, rig.copy.count))
        assert not server.serves("part 2")
        assert rig.pull(offer="part 2", blocks=range(half, rig.copy.count)).complete
    assert rig.equal()
    assert len(rig.known()) == rig.copy.count
