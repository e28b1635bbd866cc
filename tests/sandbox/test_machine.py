"""Machines with agents and disks, without a cloud around them."""

import importlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stackferry_sandbox import Sandbox, agents, clouds, processes
from stackferry_sandbox.hosts import user_data
from stackferry_sandbox.layout import INSIDE

needs_loop = pytest.mark.skipif(os.geteuid() != 0, reason="without root: no block devices")
VOLUME = "0ef0a845-7286-4de5-b111-222233334444"


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(INSIDE)
    return importlib.import_module


@pytest.fixture
def box(tmp_path: Path, stand_in_command: tuple[str, str]) -> Iterator[Sandbox]:
    """A sandbox with a cloud that has never run."""
    box = Sandbox(tmp_path)
    cloud = clouds.draft(box.state, "src", 20500, "digest")
    clouds.record(cloud)
    agents.write_command(cloud, stand_in_command)
    yield box
    box.destroy()


@pytest.fixture
def make(box: Sandbox, inside: Any) -> Any:
    """Makes machines that run."""

    def one(name: str, **env: object) -> Any:
        machine = inside("stackferry_inside.machine").Machine(box.server_folder("src", name))
        machine.make(user_data(env).encode())
        machine.folder.update({"power_state": 1})
        return machine

    return one


@pytest.fixture
def volume(box: Sandbox) -> Path:
    path = box.state.cloud("src").volume(VOLUME)
    path.touch()
    os.truncate(path, 1 << 20)
    return path


def devices(file: Path) -> list[str]:
    listed = subprocess.run(["losetup", "-j", file, "-n", "-O", "NAME"], capture_output=True, text=True, check=True)
    return listed.stdout.split()


def give(device: str, file: Path) -> None:
    """Give a device to another file, as a restart of the machine may."""
    file.write_bytes(bytes(1 << 20))
    subprocess.run(["losetup", "--detach", device], check=True)
    assert processes.wait_until(lambda: subprocess.run(["losetup", device, file]).returncode == 0, 10)


def test_destroying_a_cloud_ends_its_agents(box: Sandbox, make: Any) -> None:
    make("one").power_on()
    make("two", STACKFERRY_AGENTS=2).power_on()
    found = box.agents("src")
    assert [(each.server_id, each.instance) for each in found] == [("one", 1), ("two", 1), ("two", 2)]
    box.destroy("src")
    assert not any(processes.start_time(each.pid) for each in found)


def test_starting_twice_starts_once(box: Sandbox, make: Any) -> None:
    machine = make("one")
    machine.power_on()
    before = box.agents("src")
    machine.power_on()
    assert box.agents("src") == before


def test_an_agent_belongs_to_nobody(box: Sandbox, make: Any) -> None:
    machine = make("one")
    machine.power_on()
    assert processes.wait_until(machine.folder.ready_file(1).exists, 30)
    (agent,) = box.agents("src")
    assert os.getsid(agent.pid) == agent.pid
    descriptors = [os.readlink(path) for path in Path(f"/proc/{agent.pid}/fd").iterdir()]
    assert sorted(set(descriptors)) == sorted(["/dev/null", str(agent.log)])  # above all not the lock


def test_a_record_of_another_process_is_no_agent(box: Sandbox, make: Any) -> None:
    machine = make("one")
    machine.power_on()
    box.kill_agent("src", "one")
    machine.folder.agent_record(1).write_text(json.dumps([os.getpid(), "12345"]))
    assert box.agents("src") == []
    machine.power_off()  # and this test lives on
    assert not machine.folder.agent_records()


def test_a_command_that_is_not_there_is_said_in_the_agents_log(box: Sandbox, make: Any) -> None:
    agents.write_command(clouds.get(box.state, "src"), ["/no/such/program"])
    machine = make("one")
    machine.power_on()
    assert box.agents("src") == []
    assert machine.folder.agent_log(1).read_text() == "/no/such/program: No such file or directory\n"


def test_who_is_switched_off_stays_off(box: Sandbox, make: Any, inside: Any) -> None:
    make("on")
    make("off").folder.update({"power_state": 4})
    inside("stackferry_inside.hosts").boot(box.state.cloud("src").root)
    assert [each.server_id for each in box.agents("src")] == ["on"]


def test_without_loop_devices_a_disk_is_the_file(
    make: Any, volume: Path, inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside("stackferry_inside.loops"), "possible", lambda: False)
    machine = make("one")
    machine.plug(volume, VOLUME, "/dev/vdb")
    assert (machine.folder.devices / "vdb").readlink() == volume
    machine.unplug(volume)
    assert not (machine.folder.devices / "vdb").is_symlink()
    assert list(machine.folder.by_id.iterdir()) == []


@needs_loop
def test_a_volume_of_two_servers_has_one_device_until_the_last_lets_go(make: Any, volume: Path) -> None:
    one, two = make("one"), make("two")
    for machine in (one, two):
        machine.plug(volume, VOLUME, "/dev/vdb")
    (device,) = devices(volume)
    one.remove(with_disks=True)
    assert devices(volume) == [device]
    assert str((two.folder.devices / "vdb").resolve()) == device
    two.unplug(volume)
    assert devices(volume) == []


@needs_loop
def test_a_device_that_was_lost_is_made_again(
    box: Sandbox, make: Any, volume: Path, inside: Any, tmp_path: Path
) -> None:
    machine, other = make("one"), tmp_path / "other"
    machine.plug(volume, VOLUME, "/dev/vdb")
    (device,) = devices(volume)
    give(device, other)
    try:
        inside("stackferry_inside.hosts").boot(box.state.cloud("src").root)
        assert devices(volume)
        assert devices(volume) != [device]
        machine.unplug(volume)
        assert devices(volume) == []
        assert devices(other) == [device]
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@needs_loop
def test_a_lost_device_that_is_somebody_elses_now_is_left_alone(make: Any, volume: Path, tmp_path: Path) -> None:
    machine, other = make("one"), tmp_path / "other"
    machine.plug(volume, VOLUME, "/dev/vdb")
    (device,) = devices(volume)
    give(device, other)
    try:
        machine.unplug(volume)
        assert devices(other) == [device]
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@needs_loop
def test_a_volume_whose_file_is_gone_is_unplugged_all_the_same(make: Any, volume: Path, inside: Any) -> None:
    machine = make("one")
    machine.plug(volume, VOLUME, "/dev/vdb")
    volume.unlink()
    machine.unplug(volume)
    assert str(volume.name) not in str(inside("stackferry_inside.loops").listing())


@needs_loop
def test_destroying_a_cloud_releases_devices_even_of_volumes_whose_file_is_gone(
    box: Sandbox, make: Any, volume: Path
) -> None:
    make("one").plug(volume, VOLUME, "/dev/vdb")
    volume.unlink()
    box.destroy("src")
    listed = subprocess.run(["losetup", "--list", "-n", "-O", "BACK-FILE"], capture_output=True, text=True, check=True)
    assert str(volume) not in listed.stdout
