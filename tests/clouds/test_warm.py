"""A server that runs and writes crosses warm: copied while it does, and stopped only for the last pass."""

from __future__ import annotations

import hashlib
import itertools
import threading
from contextlib import contextmanager
from typing import Any

import pytest
from stackferry_cli.local.processes import until
from stackferry_sandbox.connections import connect as log_in

from .test_workloads import MIB, bad, disk, left_over, sha256, volumes

pytestmark = pytest.mark.clouds
KINDS = {"kinds": ["network", "subnet", "server"], "filters": {"server": ["db"], "network": ["net"], "subnet": ["v4"]}}


@pytest.fixture
def server(source):
    """A server that runs, with two disks."""
    c = source.connect()
    net = c.network.create_network(name="net")
    c.network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr="10.5.0.0/24")
    boot, data = disk(source, "boot", "boot", bootable=True), disk(source, "data", "data")
    mapping = [
        {"boot_index": index, "uuid": volume.id, "source_type": "volume", "destination_type": "volume"}
        for index, volume in ((0, boot), (-1, data))
    ]
    flavor = c.compute.find_flavor("m1.tiny", ignore_missing=False)
    made = c.compute.create_server(
        name="db", flavor_id=flavor.id, networks=[{"uuid": net.id}], block_device_mapping=mapping
    )
    return c.compute.wait_for_server(made, interval=0.3)


@contextmanager
def writing(tenant: Any, server: Any):  # type: ignore[no-untyped-def]
    """What the server's guest would do: it writes to both disks as long as it runs. Yields how often it did."""
    over, count = threading.Event(), itertools.count(1)
    written: list[int] = []
    disks = [tenant.box.volume_file(tenant.cloud, v.id) for v in volumes(tenant).values()]
    compute = log_in(tenant.auth).compute

    def write() -> None:
        while not over.wait(0.4) and compute.get_server(server).status == "ACTIVE":
            number = next(count)
            for path in disks:
                with path.open("r+b") as content:
                    content.seek(number % 8 * 100 * MIB)
                    content.write(hashlib.sha256(f"{path} {number}".encode()).digest() * 2048)
            written.append(number)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        over.set()
        thread.join()


def check(source: Any, destination: Any, server: Any, state: Any) -> Any:
    """Everything is there as it was when the server was stopped; return the server's step."""
    assert (state["phase"], bad(state)) == ("done", [])
    here, there = ({n: v for n, v in volumes(t).items() if n in ("boot", "data")} for t in (source, destination))
    assert {n: sha256(destination, v.id) for n, v in there.items()} == {
        n: sha256(source, v.id) for n, v in here.items()
    }
    assert left_over(source) == left_over(destination) == []
    assert source.connect().compute.get_server(server).status == "SHUTOFF"
    (moved,) = [s for s in destination.connect().compute.servers() if s.name == "db"]
    assert moved.status == "ACTIVE"
    (step,) = [s for s in state["steps"] if s["key"] == f"server/{server.id}"]
    return step


def test_passes_follow_the_writer_until_little_changes(source, destination, server, hosts, ferry):
    how = {"mode": "warm", "cutover": "auto", "cutover_below": 17 * MIB}
    with writing(source, server) as written:
        migration = ferry.migrate(source.entry, destination.entry, selection=KINDS, migration_params=how)
        state = ferry.wait(migration, timeout=120)
    step = check(source, destination, server, state)
    assert written, "nothing was written meanwhile"
    assert step["results"]["passes"] >= 2
    assert 0 < step["results"]["downtime"] < 60


def test_the_operator_cuts_over_by_the_command(source, destination, server, hosts, ferry, cli):
    how = {"mode": "warm", "cutover": "manual", "pass_interval": 1}
    with writing(source, server) as written:
        migration = ferry.migrate(source.entry, destination.entry, selection=KINDS, migration_params=how)

        def passes() -> int:
            steps = {s["key"]: s for s in ferry.show(migration)["steps"]}
            return len((steps.get(f"server/{server.id}/cutover") or {"results": {}})["results"].get("written", ()))

        assert until(lambda: passes() >= 2, 90), ferry.show(migration)
        assert source.connect().compute.get_server(server).status == "ACTIVE"
        said = cli("cutover", migration, "--server", "nobody", code=2)
        assert "no server 'nobody' waits to cut over" in said
        assert "told to cut over" in cli("cutover", migration, "--server", "db")
        state = ferry.wait(migration, timeout=120)
    step = check(source, destination, server, state)
    assert written
    assert step["results"]["passes"] >= 3


def test_a_warm_migration_that_is_cancelled_never_stopped_the_server(source, destination, server, hosts, ferry):
    how = {"mode": "warm", "cutover": "manual"}
    migration = ferry.migrate(source.entry, destination.entry, selection=KINDS, migration_params=how)
    assert until(
        lambda: any("/warm-copy" in s["key"] and s["state"] == "done" for s in ferry.show(migration)["steps"]), 90
    )
    ferry.control(migration, "cancel")
    ferry.wait_for(migration, "cancelled", timeout=120)
    assert source.connect().compute.get_server(server).status == "ACTIVE"
    assert volumes(destination) == {}
    assert left_over(source) == left_over(destination) == []
