"""The NBD engine: nbdkit and nbdcopy under our agents, from command to report, on real block devices."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from stackferry_runtime.certificates import identity
from stackferry_transfer import segments
from stackferry_transfer.children import Child
from stackferry_transfer.disk.blocks import BLOCK
from stackferry_transfer.errors import PeerLost, ProgramMissing
from stackferry_transfer.nbd import client, programs, server

from .pair import Pair, pair
from .rig import change, content

pytestmark = pytest.mark.skipif(
    not (shutil.which("nbdkit") and shutil.which("nbdcopy")), reason="nbdkit and nbdcopy (libnbd-bin) are not installed"
)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Pair]:
    with pair(tmp_path) as both:
        yield both
    assert children() == []


@pytest.fixture
def devices(agents: Pair, tmp_path: Path, loop: Callable[[Path], Path]) -> tuple[Path, Path]:
    """Files that are the block devices of both sides: a volume of 41 blocks, and a larger destination."""
    source, target = tmp_path / "volume", tmp_path / "target"
    source.write_bytes(content(40 * BLOCK + 512, block=BLOCK))
    target.write_bytes(b"")
    os.truncate(target, 44 * BLOCK)
    agents.attach("source", loop(source))
    agents.attach("destination", loop(target))
    return source, target


def descendants(of: int) -> dict[int, list[str]]:
    """What a process has started, and what that has: by pid, the words of the command."""
    commands, parents = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_text().split("\0")

    def is_its(pid: int) -> bool:
        return parents.get(pid) == of or (pid in parents and is_its(parents[pid]))

    return {pid: words for pid, words in commands.items() if is_its(pid)}


def children(of: int | None = None) -> list[str]:
    """The NBD programs that a process has started, and they in turn."""
    return sorted(words[0] for words in descendants(of or os.getpid()).values() if words[0].startswith("nbd"))


def equal(files: tuple[Path, Path]) -> bool:
    source, target = (file.read_bytes() for file in files)
    return source == target[: len(source)] and not any(target[len(source) :])


def no_pump(offer: dict[str, Any]) -> dict[str, Any]:
    """What is offered, where the agents can't reach each other."""
    return {name: value for name, value in offer.items() if name != "pump"}


def test_a_volume_crosses_in_segments_and_is_verified_by_the_agents(agents: Pair, devices: tuple[Path, Path]) -> None:
    for first, length in ((0, 16 * BLOCK), (16 * BLOCK, 16 * BLOCK), (32 * BLOCK, 0)):
        ended = agents.cross("copy", engine="nbd", first=first, length=length)
        assert (ended["outcome"], ended.get("reason")) == ("done", None)
    assert equal(devices)
    zeros = ended["results"]["counts"]["zero"]
    assert devices[1].stat().st_blocks * 512 <= devices[0].stat().st_size - zeros * BLOCK  # thin stays thin
    verified = agents.cross("verify", engine="nbd")
    assert (verified["outcome"], verified["notes"]) == ("done", [])
    assert verified["results"]["counts"]["same"] == 41
    assert verified["results"]["counts"]["wire_received"] < BLOCK
    assert verified["results"]["digest"]


def test_zeros_are_not_written_to_an_empty_device(agents: Pair, devices: tuple[Path, Path]) -> None:
    with devices[0].open("r+b") as file:
        file.truncate(0)
        file.truncate(40 * BLOCK + 512)
        file.seek(3 * BLOCK)
        file.write(b"x" * BLOCK)
    assert agents.cross("copy", engine="nbd")["outcome"] == "done"
    assert equal(devices)
    assert devices[1].stat().st_blocks * 512 <= 2 * BLOCK


@pytest.mark.parametrize("mode", ["verify", "delta", "rehash"])
def test_where_agents_do_not_reach_each_other_the_source_is_read_once_more(
    agents: Pair, devices: tuple[Path, Path], mode: str
) -> None:
    assert agents.cross("copy", engine="nbd")["outcome"] == "done"
    change(devices[0] if mode == "delta" else devices[1], 7, block=BLOCK)
    about = agents.about(engine="nbd")
    offer = agents.offer(about)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        offer["pump"] = "{}:{}".format(*taken.getsockname())  # nobody is there any more
    ended = agents.fetch(about, offer, mode)
    assert (ended["outcome"], ended["results"]["counts"]["written"]) == ("done", BLOCK)
    assert ended["results"]["counts"]["wire_received"] == 40 * BLOCK + 512
    assert ended["notes"] == (["1 blocks were written anew"] if mode == "verify" else [])
    assert equal(devices)


def test_a_source_that_has_changed_since_its_copy_fails_the_verify(agents: Pair, devices: tuple[Path, Path]) -> None:
    agents.cross("copy", engine="nbd")
    change(devices[0], 7, block=BLOCK)
    about = agents.about(engine="nbd")
    ended = agents.fetch(about, no_pump(agents.offer(about)), "verify")
    assert ended["reason"] == "1 blocks of the source changed while they were copied"


def test_a_copy_onto_what_an_earlier_try_left_writes_the_rest(agents: Pair, devices: tuple[Path, Path]) -> None:
    source = devices[0].read_bytes()
    with devices[1].open("r+b") as file:
        file.write(source[: 20 * BLOCK])
        file.seek(30 * BLOCK)
        file.write(b"old" * BLOCK)
    ended = agents.cross("copy", engine="nbd")
    assert ended["outcome"] == "done"
    assert 0 < ended["results"]["counts"]["written"] <= 21 * BLOCK
    assert equal(devices)


def test_a_stranger_gets_nothing_nor_does_who_comes_for_another_try(agents: Pair, devices: tuple[Path, Path]) -> None:
    about = agents.about(engine="nbd")
    offer = agents.offer(about)
    stranger = identity(agents.folder / "stranger", "transfer", "127.0.0.1")
    mine, agents.destination.segments.mine = agents.destination.segments.mine, stranger
    ended = agents.fetch(about, offer)
    assert (ended["outcome"], ended["retryable"]) == ("interrupted", True)
    assert "nbdcopy failed" in ended["reason"]
    agents.destination.segments.mine = mine
    ended = agents.fetch({**about, "attempt": 99}, offer)
    assert "no export named" in ended["reason"]
    ended = agents.fetch(about, {**offer, "certificate": stranger.certificate})  # it isn't who was announced
    assert "certificate" in ended["reason"]
    assert not any(devices[1].read_bytes())
    assert agents.fetch(about, offer)["outcome"] == "done"


def start_tls(address: str) -> socket.socket:
    """Go through NBD's negotiation up to the point where TLS begins."""
    host, _, port = address.rpartition(":")
    raw = socket.create_connection((host, int(port)))
    assert raw.recv(18)[:16] == b"NBDMAGICIHAVEOPT"
    raw.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 5, 0))
    assert struct.unpack(">QIII", raw.recv(20))[2] == 1, "TLS was refused"
    return raw


@pytest.mark.parametrize(("version", "taken"), [(ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, False)])
def test_the_connection_is_tls_1_3_with_aes(
    agents: Pair, devices: tuple[Path, Path], version: ssl.TLSVersion, taken: bool
) -> None:
    if programs.SYSTEM_RULES.exists():
        pytest.skip("optional: GnuTLS has rules of this system's own")
    offer = agents.offer(agents.about(engine="nbd"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=offer["certificate"])
    context.load_cert_chain(agents.destination.segments.mine.path)
    context.maximum_version = version
    with start_tls(offer["address"]) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as secured:
                assert taken
                assert secured.cipher()[0] == "TLS_AES_256_GCM_SHA384"  # type: ignore[index]
        except ssl.SSLError:
            assert not taken


def test_nobody_is_served_without_tls(agents: Pair, devices: tuple[Path, Path]) -> None:
    about = agents.about(engine="nbd")
    address, name = agents.offer(about)["address"], programs.export_name(segments._ticket(about))
    asked = subprocess.run(["nbdcopy", f"nbd://{address}/{name}", "null:"], capture_output=True, text=True)
    assert asked.returncode
    assert "Operation not supported" in asked.stderr


def slow(monkeypatch: pytest.MonkeyPatch, agents: Pair) -> None:
    plain = programs.serve
    monkeypatch.setattr(programs, "serve", lambda *given: plain(*given[:-1], 4e6))  # bytes a second


@pytest.mark.parametrize("mode", ["copy", "rehash"])
def test_stop_ends_the_programs_of_both_ends(
    agents: Pair, devices: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    slow(monkeypatch, agents)
    about = agents.about(engine="nbd")
    offer = no_pump(agents.offer(about))
    ended: list[dict[str, Any]] = []
    fetching = threading.Thread(target=lambda: ended.append(agents.fetch(about, offer, mode)))
    fetching.start()
    until(lambda: "nbdcopy" in children() and children().count("nbdkit") == (2 if mode == "copy" else 1))
    agents.destination.stop.set()
    fetching.join(60)
    assert not fetching.is_alive()
    assert (ended[0]["outcome"], ended[0]["reason"]) == ("interrupted", "its agent was stopped")
    assert "nbdcopy" not in children()
    agents.source.stop.set()
    until(lambda: not children())


def test_a_source_that_loses_nbdkit_says_so_and_the_next_try_works(
    agents: Pair, devices: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        slow(patched, agents)
        about = agents.about(engine="nbd")
        offer = agents.offer(about)
        killed = threading.Thread(target=lambda: (until(lambda: "nbdcopy" in children()), kill("nbdkit", "--readonly")))
        killed.start()
        ended = agents.fetch(about, offer)
        killed.join()
    assert (ended["outcome"], ended["retryable"]) == ("interrupted", True)
    assert "nbdkit has ended" in agents.source.told.last("step-ended")["reason"]
    assert agents.cross("copy", engine="nbd")["outcome"] == "done"
    assert equal(devices)


def test_who_is_killed_takes_its_programs_along(tmp_path: Path) -> None:
    (tmp_path / "volume").write_bytes(bytes(4 * BLOCK))
    program = (
        "import subprocess,sys\n"
        "from pathlib import Path\n"
        "from stackferry_transfer.nbd import client, programs\n"
        "from stackferry_transfer.children import Child\n"
        "folder = Path(sys.argv[1])\n"
        "with client.taken(folder, folder / 'volume', 0) as listener:\n"
        "    child = Child(programs.stream(f'nbd+unix:///?socket={listener}'), {}, stdout=subprocess.PIPE)\n"  # nobody reads
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE) as agent:
        until(lambda: children(agent.pid) == ["nbdcopy", "nbdkit"])
        pids = descendants(agent.pid)
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        until(lambda: not any(running(pid) for pid in pids))


def test_a_program_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProgramMissing, match="nbdkit is not installed on this conversion host"):
        Child(["nbdkit"], {})


def test_ports_are_taken_from_the_first_on() -> None:
    with server.listen("127.0.0.1", 0, 1) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PeerLost, match=f"no port from {port} on is free"):
            server.listen("127.0.0.1", port, 1)


def test_keys_are_not_copied(tmp_path: Path) -> None:
    mine = identity(tmp_path, "transfer", "127.0.0.1")
    with programs.secured(mine, ["PEM"], "server") as (folder, _):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "server-key.pem").is_symlink()
        assert (folder / "server-key.pem").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["transfer.pem"]


def test_what_killed_agents_left_is_deleted(tmp_path: Path) -> None:
    mine = identity(tmp_path, "transfer", "127.0.0.1")
    (tmp_path / "nbd-999999999-x").mkdir()
    with programs.secured(mine, ["PEM"], "server") as (folder, _):
        programs.sweep(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([folder.name, "transfer.pem"])


def test_a_thin_volume_is_never_filled() -> None:
    assert "--allocated" not in programs.copy("nbds://h:1/x", "/socket", 5)


def test_an_agent_that_is_reached_is_asked_in_each_mode_but_the_first() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        data = {"pump": "{}:{}".format(*there.getsockname())}
        reached = {mode.value: client.reachable(data, mode) for mode in client.Mode}
    assert reached == {"full": None, **dict.fromkeys(("delta", "rehash", "verify"), data["pump"])}
    assert client.reachable({}, client.Mode.VERIFY) is None


def until(true: Callable[[], Any], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"it did not come true; running: {children()}"
        time.sleep(0.02)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill(name: str, word: str) -> None:
    """Kill our own program of that name and with that word in its command."""
    for pid, words in descendants(os.getpid()).items():
        if words[0] == name and word in words:
            os.kill(pid, signal.SIGKILL)
