"""Conversion hosts: servers of a running cloud whose user data asks for transfer agents."""

import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stackferry_sandbox import Sandbox, SandboxError, processes

pytestmark = [pytest.mark.clouds, pytest.mark.usefixtures("stand_in")]

Wait = Callable[..., bool]
needs_loop = pytest.mark.skipif(os.geteuid() != 0, reason="without root: no block devices")


def pids(sandbox: Sandbox, server: Any) -> dict[int, int]:
    """The pids of a server's agents by instance."""
    return {each.instance: each.pid for each in sandbox.agents("src") if each.server_id == server.id}


def alive(*agents: dict[int, int]) -> set[int]:
    """Those of some pids that still run."""
    return {pid for each in agents for pid in each.values() if processes.start_time(pid)}


def loops_of(file: Path) -> list[str]:
    listed = subprocess.run(["losetup", "-j", file, "-n", "-O", "NAME"], capture_output=True, text=True, check=True)
    return listed.stdout.split()


def links(folder: Path) -> list[str]:
    """The names of the disks in a server, without its root disk."""
    by_id = [path.name for path in (folder / "dev/disk/by-id").iterdir()]
    return sorted(by_id + [path.name for path in (folder / "dev").glob("vd[b-z]")])


def test_agents_run_as_the_user_data_says(kit: Any, sandbox: Sandbox, wait: Wait) -> None:
    env = {"A_URL": "amqps://u:p@h/x?y=z", "CERT": "/etc/stackferry/tls/cert.pem", "STACKFERRY_AGENTS": 2}
    host = kit.host(env=env, **{"tls/cert.pem": "PEM\n"})
    folder = kit.folder(host)
    assert set(pids(sandbox, host)) == {1, 2}
    assert wait(lambda: all((folder / f"run/agent-{number}.ready").exists() for number in (1, 2)))
    given = json.loads((folder / "var/lib/stackferry/given-2.json").read_text())
    assert {key: value for key, value in given["environ"].items() if key not in ("PATH", "HOME", "LANG")} == {
        "A_URL": "amqps://u:p@h/x?y=z",
        "CERT": f"{folder}/etc/stackferry/tls/cert.pem",
        "STACKFERRY_AGENTS": "2",
        "STACKFERRY_SERVER_ID": host.id,
        "STACKFERRY_DEVICES_DIR": f"{folder}/dev/disk/by-id",
        "STACKFERRY_STATE_DIR": f"{folder}/var/lib/stackferry",
        "STACKFERRY_LISTEN_ADDRESS": given["environ"]["STACKFERRY_LISTEN_ADDRESS"],
        "STACKFERRY_ADVERTISE_ADDRESS": "",
        "STACKFERRY_INSTANCE": "2",
        "STACKFERRY_READY_FILE": f"{folder}/run/agent-2.ready",
    }
    assert Path(given["environ"]["CERT"]).read_text() == "PEM\n"
    logs = {each.instance: each.log for each in sandbox.agents("src") if each.server_id == host.id}
    assert logs[2].read_text() == "hello from 2\n"
    plain = kit.server("plain")
    assert pids(sandbox, plain) == {}
    running = pids(sandbox, host)
    kit.delete(host)
    assert not alive(running)
    assert not folder.exists()


def test_agents_follow_the_power_of_their_server(kit: Any, sandbox: Sandbox, wait: Wait) -> None:
    host = kit.host()
    starts = kit.folder(host) / "var/lib/stackferry/starts-1"
    assert wait(lambda: starts.exists() and starts.read_text() == "x")
    first = pids(sandbox, host)
    kit.cloud.compute.reboot_server(host, "HARD")
    kit.become(host, "ACTIVE")
    assert wait(lambda: starts.read_text() == "xx")  # the state is kept
    second = pids(sandbox, host)
    assert len(second) == 1
    assert first != second
    kit.cloud.compute.stop_server(host)
    kit.become(host, "SHUTOFF")
    assert not alive(first, second)
    with pytest.raises(SandboxError, match="switched off"):
        sandbox.start_agents("src", host.id)
    kit.cloud.compute.start_server(host)
    kit.become(host, "ACTIVE")
    assert len(pids(sandbox, host)) == 1


def test_an_agent_is_killed_and_started_again(kit: Any, sandbox: Sandbox) -> None:
    host = kit.host(env={"STACKFERRY_AGENTS": "2"})
    before = pids(sandbox, host)
    sandbox.kill_agent("src", host.id, 1)
    assert pids(sandbox, host) == {2: before[2]}
    with pytest.raises(SandboxError, match="no agent 1 runs"):
        sandbox.kill_agent("src", host.id, 1)
    sandbox.start_agents("src", host.id)
    after = pids(sandbox, host)
    assert after[2] == before[2]
    assert after[1] != before[1]
    with pytest.raises(SandboxError, match="has no agents"):
        sandbox.start_agents("src", kit.server("plain").id)


def test_an_agent_that_will_not_end_is_killed(kit: Any, sandbox: Sandbox, wait: Wait) -> None:
    host = kit.host(env={"STUBBORN": 1})
    assert wait(lambda: (kit.folder(host) / "run/agent-1.ready").exists())
    running = pids(sandbox, host)
    kit.delete(host)
    assert not alive(running)


@needs_loop
def test_a_volume_is_a_block_device_to_an_agent(kit: Any) -> None:
    host, plain, volume = kit.host(), kit.server("plain"), kit.volume()
    folder, file = kit.folder(host), kit.file(volume)
    kit.attach(host, volume)
    assert links(folder) == ["vdb", f"virtio-{volume.id[:20]}"]
    device = folder / f"dev/disk/by-id/virtio-{volume.id[:20]}"
    assert stat.S_ISBLK(device.stat().st_mode)
    assert [str(device.resolve())] == loops_of(file)
    descriptor = os.open(device, os.O_RDWR)
    assert os.lseek(descriptor, 0, os.SEEK_END) == 1 << 30
    os.pwrite(descriptor, b"written by the agent", 1 << 20)
    os.fsync(descriptor)
    os.close(descriptor)
    with file.open("rb") as opened:
        opened.seek(1 << 20)
        assert opened.read(20) == b"written by the agent"

    kit.detach(host, volume)
    assert links(folder) == []
    assert loops_of(file) == []
    kit.attach(plain, volume)
    assert (kit.folder(plain) / "dev/vdb").readlink() == file


@needs_loop
def test_a_volume_that_grows_while_it_is_attached_grows_for_the_agent(kit: Any, wait: Wait) -> None:
    host, volume = kit.host(), kit.volume()
    kit.attach(host, volume)
    kit.cloud.block_storage.extend_volume(volume, 2)
    kit.settled(volume, "in-use")

    def size() -> int:
        with (kit.folder(host) / "dev/vdb").open("rb") as device:
            return device.seek(0, os.SEEK_END)

    assert wait(lambda: size() == 2 << 30)


@needs_loop
def test_a_detached_device_goes_when_the_agent_closes_it(kit: Any, sandbox: Sandbox, wait: Wait) -> None:
    host, volume = kit.host(), kit.volume()
    folder, file = kit.folder(host), kit.file(volume)
    kit.attach(host, volume)
    state = folder / "var/lib/stackferry"
    (state / "hold").write_text(f"virtio-{volume.id[:20]}")
    assert wait((state / "held").exists)
    held = loops_of(file)
    kit.detach(host, volume)
    assert links(folder) == []
    assert loops_of(file) == held  # the agent still has it open
    kit.attach(host, volume)
    fresh = str((folder / "dev/vdb").resolve())
    assert fresh not in held
    sandbox.kill_agent("src", host.id)
    assert wait(lambda: loops_of(file) == [fresh])


@needs_loop
def test_what_a_deleted_server_had_attached_is_released(kit: Any) -> None:
    host, volume = kit.host(), kit.volume()
    kit.attach(host, volume)
    assert loops_of(kit.file(volume))
    kit.delete(host)
    assert loops_of(kit.file(volume)) == []


@needs_loop
def test_everything_outlives_a_kill_of_nova_and_nothing_is_doubled(kit: Any, sandbox: Sandbox) -> None:
    host, one, two, orphan = kit.host(env={"STACKFERRY_AGENTS": 2}), kit.volume(), kit.volume(), kit.volume()
    kit.attach(host, one)
    agents, devices = pids(sandbox, host), loops_of(kit.file(one))
    sandbox.kill("src", "nova")
    assert pids(sandbox, host) == agents
    # As if nova had been killed between making a device and writing it down:
    subprocess.run(["losetup", "--find", kit.file(orphan)], check=True)
    sandbox.up("src")
    assert pids(sandbox, host) == agents
    assert loops_of(kit.file(one)) == devices
    assert loops_of(kit.file(orphan)) == []
    kit.attach(host, two)
    assert len(loops_of(kit.file(two))) == 1
    kit.detach(host, one)
    assert loops_of(kit.file(one)) == []
    kit.delete(host)
    assert loops_of(kit.file(two)) == []
    assert not alive(agents)


@needs_loop
def test_a_cloud_that_goes_down_takes_its_agents_along_and_brings_them_back(kit: Any, sandbox: Sandbox) -> None:
    host, off, volume = kit.host(), kit.host("off"), kit.volume()
    kit.attach(host, volume)
    kit.cloud.compute.stop_server(off)
    kit.become(off, "SHUTOFF")
    file, folder, running = kit.file(volume), kit.folder(host), pids(sandbox, host)
    sandbox.down("src")
    try:
        assert not alive(running)
        assert loops_of(file) == []
        assert links(folder) == []
    finally:
        sandbox.up("src")
    assert len(pids(sandbox, host)) == 1
    assert pids(sandbox, off) == {}
    assert [str((folder / "dev/vdb").resolve())] == loops_of(file)
    kit.detach(host, volume)
    assert loops_of(file) == []
