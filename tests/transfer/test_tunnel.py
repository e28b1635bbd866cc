"""Through ssh, with a real sshd on loopback, where nothing but its port is to be used."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stackferry_transfer.disk.blocks import BLOCK
from stackferry_transfer.pump import tunnel
from stackferry_transfer.settings import Settings

from ..sshd import Ssh, needs_sshd, sshd
from .pair import Pair, pair
from .rig import content


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Ssh]:
    with sshd(tmp_path / "ssh") as running:
        yield running


@pytest.fixture
def volume(tmp_path: Path, loop: Callable[[Path], Path]) -> tuple[Path, Path]:
    source, target = tmp_path / "volume", tmp_path / "target"
    source.write_bytes(content(20 * BLOCK, block=BLOCK))
    target.write_bytes(bytes(20 * BLOCK))
    return source, target


def attach(agents: Pair, volume: tuple[Path, Path], loop: Callable[[Path], Path]) -> None:
    for side, file in zip(("source", "destination"), volume, strict=True):
        agents.attach(side, loop(file))


@needs_sshd
def test_a_volume_crosses_through_ssh_and_no_ssh_is_left(
    tmp_path: Path, ssh: Ssh, volume: tuple[Path, Path], loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "direct", lambda address: pytest.fail("it went another way"))
    made: list[tunnel.Child] = []
    plain = tunnel.Child
    monkeypatch.setattr(tunnel, "Child", lambda *a, **k: made.append(plain(*a, **k)) or made[-1])
    with pair(tmp_path, **ssh.settings) as agents:
        attach(agents, volume, loop)
        for mode in ("copy", "verify"):
            ended = agents.cross(mode)
            assert (ended["outcome"], ended.get("reason")) == ("done", None)
    assert volume[0].read_bytes() == volume[1].read_bytes()
    assert ssh.log.read_text().count("Accepted publickey") == len(made) == 4  # one for each connection
    assert all(child.ended() is not None for child in made)


@needs_sshd
def test_a_host_with_another_key_is_told_and_not_trusted(
    tmp_path: Path, ssh: Ssh, volume: tuple[Path, Path], loop: Any
) -> None:
    known = ssh.folder / "known"
    known.write_text(f"[127.0.0.1]:{ssh.port} {(ssh.folder / 'other.pub').read_text()}")
    with pair(tmp_path, **ssh.settings) as agents:
        attach(agents, volume, loop)
        ended = agents.cross()
    assert (ended["outcome"], ended["retryable"]) == ("interrupted", True)
    assert "Host key verification failed" in ended["reason"]
    assert "Accepted" not in ssh.log.read_text()
    assert not any(volume[1].read_bytes())


@needs_sshd
def test_a_key_that_the_host_does_not_take_is_told(
    tmp_path: Path, ssh: Ssh, volume: tuple[Path, Path], loop: Any
) -> None:
    with pair(tmp_path, **{**ssh.settings, "tunnel_key": str(ssh.folder / "other")}) as agents:
        attach(agents, volume, loop)
        ended = agents.cross()
    assert "Permission denied (publickey" in ended["reason"]


def test_the_standard_programs_do_not_go_through_it(tmp_path: Path, volume: tuple[Path, Path], loop: Any) -> None:
    with pair(tmp_path, tunnel="user@host") as agents:
        attach(agents, volume, loop)
        about = agents.about(engine="nbd")
        ended = agents.fetch(about, {"address": "127.0.0.1:1", "certificate": "x", "size": 20 * BLOCK})
    assert (ended["outcome"], ended["retryable"]) == ("failed", False)
    assert "engine: nbd doesn't go through STACKFERRY_TUNNEL" in ended["reason"]


@pytest.mark.parametrize(
    ("setting", "address", "end"),
    [
        ("me@{host}", ("10.0.0.5", 4433), ["-W", "10.0.0.5:4433", "-p", "22", "--", "me@10.0.0.5"]),
        ("me@jump 2222", ("10.0.0.5", 4433), ["-W", "10.0.0.5:4433", "-p", "2222", "--", "me@jump"]),
        ("me@{host}", ("fd00::5", 4433), ["-W", "[fd00::5]:4433", "-p", "22", "--", "me@fd00::5"]),
    ],
)
def test_where_ssh_goes(setting: str, address: tuple[str, int], end: list[str]) -> None:
    words = tunnel.command(Settings(tunnel=setting, tunnel_key="/k", tunnel_known_hosts="/h"), address)
    assert words[-6:] == end
    assert {"-oStrictHostKeyChecking=yes", "-oUserKnownHostsFile=/h", "-oServerAliveInterval=15"} < set(words)


def test_without_a_tunnel_the_network_is_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, tunnel.Tunnel(Settings()) as way:
        connection = way.reach(there.getsockname()[:2])
        assert connection.getpeername() == there.getsockname()
        connection.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
