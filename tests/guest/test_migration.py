"""A server crosses between two clouds through conversion hosts, and all of them are real guests.

``hosts deploy`` makes the hosts. They install the agent from wheels that are in the image, by their user data alone;
they reach the broker, and each other, over the guests' network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from stackferry_cli.local.processes import until
from stackferry_sandbox.guests import FLAVOR, IMAGE, Guests

from .machine import Machine, network, setup_script

pytestmark = [pytest.mark.guest, pytest.mark.timeout(2400)]
HOSTS = 1200  # seconds for both hosts to install their agents and answer; 150 where nothing else runs
MOVED = 1500  # seconds for a server with its disks
DATA = 100  # MiB
FILL = f"""
mkfs.ext4 -q -L data -O ^metadata_csum $DISK && mkdir -p /data && mount $DISK /data &&
head -c {DATA}M /dev/urandom > /data/noise && sha256sum /data/noise > /data/sum && sync
"""
COUNT = """
systemd-run --unit=count bash -c 'while sleep 0.2; do echo $((n += 1)) >> /data/count; done'
"""


@pytest.fixture
def command(stack: Any, clouds_file: Any) -> Callable[..., str]:
    """The real command, as a user runs it."""

    def run(*words: object, **environ: str) -> str:
        known = {**os.environ, "STACKFERRY_HOME": str(stack.folder), "OS_CLIENT_CONFIG_FILE": str(clouds_file.path)}
        known.pop("AMQP_URI", None)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "stackferry_cli.app", *map(str, words)],
            env=known | {"COLUMNS": "200", "NO_COLOR": "1"} | environ,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def broker(guests: Guests, stack: Any) -> Iterator[str]:
    """The broker as guests reach it."""
    own = urlsplit(stack.node.address())
    with guests.network.relay((str(own.hostname), int(own.port or 5672))) as (host, port):
        yield own._replace(netloc=f"{host}:{port}").geturl()


@pytest.fixture
def hosts(command: Any, broker: str, guests: Guests, source: Any, destination: Any, tmp_path: Path) -> Iterator[Any]:
    """Both conversion hosts, as machines: a hook gives them the tests' shell."""
    hook = tmp_path / "hook"
    hook.write_text(setup_script())
    places = ("-s", source.entry, "-d", destination.entry)
    apart = ("--cidr", f"{source.entry}=192.168.71.0/24", "--cidr", f"{destination.entry}=192.168.72.0/24")
    install = ("--pip-arguments", "--no-index --find-links /opt/wheels", "--post-hook", hook)
    servers = ("--flavor", FLAVOR, "--image", IMAGE, "--floating-ip", "none", "--timeout", HOSTS)
    try:
        command("hosts", "deploy", *places, *servers, *apart, *install, STACKFERRY_AGENT_AMQP_URI=broker)
        found = []
        for tenant in (source, destination):
            (server,) = tenant.connect().compute.servers()
            found.append(Machine(guests, tenant.connect(), server).wait())
        yield found
    finally:
        command("hosts", "delete", *places, "--yes", "--force")


@pytest.fixture
def server(source: Any, boot: Any) -> Callable[[str, str], Machine]:
    """Makes servers that boot from a volume and have a data disk with a file system."""

    def make(name: str, cidr: str) -> Machine:
        cloud, storage = source.connect(), source.connect().block_storage
        image = cloud.image.find_image(IMAGE, ignore_missing=False)
        boot_disk = storage.create_volume(name=f"{name}-boot", size=2, image_id=image.id)
        data = storage.create_volume(name=f"{name}-data", size=1)
        for each in (boot_disk, data):
            storage.wait_for_status(each, "available", interval=0.3, wait=300)
        mapping = [
            {"boot_index": number, "uuid": each.id, "source_type": "volume", "destination_type": "volume"}
            for number, each in ((0, boot_disk), (-1, data))
        ]
        made = boot(cloud, name, network(cloud, name, cidr), block_device_mapping=mapping).wait()
        assert until(lambda: data.id[:20] in made.disks(), 30)
        made.run(f"DISK={made.disks()[data.id[:20]]}; {FILL}", 300)
        return made

    return make


def migrate(ferry: Any, source: Any, destination: Any, name: str, **params: Any) -> dict[str, Any]:
    """Move one server and what it needs; the results of its steps."""
    selection = {
        "kinds": ["network", "subnet", "server"],
        "filters": {"server": [name], "network": [name], "subnet": [name]},
    }
    began = time.monotonic()
    migration = ferry.migrate(source.entry, destination.entry, selection=selection, migration_params=params or None)
    state = ferry.wait(migration, timeout=MOVED)
    bad = [(s["key"], s["outcome"], s["reason"]) for s in state["steps"] if s["state"] in ("failed", "skipped")]
    assert (state["phase"], bad) == ("done", [])
    found = {key: value for step in state["steps"] for key, value in (step["results"] or {}).items()}
    said = {key: found.get(key) for key in ("passes", "downtime", "written")}
    print(f"{name}: {time.monotonic() - began:.0f} s, {said}")
    return found


def arrived(guests: Guests, destination: Any, name: str) -> Machine:
    """The server at the destination, once it answers."""
    cloud = destination.connect()
    (found,) = [each for each in cloud.compute.servers() if each.name == name]
    assert found.status == "ACTIVE"
    return Machine(guests, cloud, found).wait()


def counted(tenant: Any, name: str) -> int:
    """How far a server that is off has counted, by the file system of its data disk."""
    (data,) = [each for each in tenant.connect().block_storage.volumes() if each.name == f"{name}-data"]
    file = tenant.box.volume_file(tenant.cloud, data.id)
    done = subprocess.run(["debugfs", "-R", "cat /count", file], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def delete(*machines: Machine) -> None:
    for machine in machines:
        machine.connection.compute.delete_server(machine.server)
        machine.connection.compute.wait_for_delete(machine.server, interval=0.3)


def agents(command: Any, tenant: Any) -> list[dict[str, Any]]:
    return [row for row in json.loads(command("hosts", "list", "-o", "json")) if row["cloud"] == tenant.entry]


def test_servers_cross_cold_and_warm_and_boot_at_the_destination(
    source, destination, guests, hosts, server, ferry, command
):
    here, there = hosts
    assert [[row["state"] for row in agents(command, tenant)] for tenant in (source, destination)] == [["ready"]] * 2
    assert here.run("stat -c %a /etc/stackferry/transfer.env") == "600"

    # A host that restarts registers again, by itself.
    there.connection.compute.reboot_server(there.server, "SOFT")
    there.become("ACTIVE")
    there.wait()
    assert until(lambda: "active" in there.run("systemctl is-active stackferry-transfer@1 || true").split(), 120)
    assert until(lambda: [row["state"] for row in agents(command, destination)] == ["ready"], 120)

    moving = server("cold", "10.5.0.0/24")
    boot_id = moving.run("cat /proc/sys/kernel/random/boot_id")
    migrate(ferry, source, destination, "cold")
    moved = arrived(guests, destination, "cold")
    assert moved.address == moving.address
    assert moved.run("cat /proc/sys/kernel/random/boot_id") != boot_id
    moved.run("mount LABEL=data /data")
    assert moved.run("sha256sum -c /data/sum", 300) == "/data/noise: OK"
    assert source.connect().compute.get_server(moving.server).status == "SHUTOFF"
    assert [set(host.disks()) for host in hosts] == [{"root", "config-2"}] * 2  # they have let every disk go

    # The second one writes all the time; what it has written before it was stopped is there.
    delete(moving, moved)
    moving = server("warm", "10.6.0.0/24")
    moving.run(COUNT)
    assert until(lambda: moving.run("tail -n 1 /data/count 2>/dev/null || true"), 60)
    before = int(moving.run("tail -n 1 /data/count"))
    results = migrate(ferry, source, destination, "warm", mode="warm", cutover="auto")
    assert results["passes"] >= 2
    assert counted(source, "warm") > before
    moved = arrived(guests, destination, "warm")
    moved.run("mount LABEL=data /data")
    assert moved.run("sha256sum -c /data/sum", 300) == "/data/noise: OK"
    assert int(moved.run("tail -n 1 /data/count")) == counted(source, "warm")
    assert [set(host.disks()) for host in hosts] == [{"root", "config-2"}] * 2
