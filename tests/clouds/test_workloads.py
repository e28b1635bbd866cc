"""Servers with their disks cross between two real clouds, by conversion hosts that the clouds run."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from blake3 import blake3
from stackferry_cli.local.processes import until

pytestmark = pytest.mark.clouds
MIB = 1 << 20


def disk(tenant: Any, name: str, seed: str, bootable: bool = False) -> Any:
    """A volume of 1 GiB with a few MiB of noise in it."""
    storage = tenant.connect().block_storage
    made = storage.wait_for_status(storage.create_volume(name=name, size=1), "available", interval=0.2)
    if bootable:
        storage.set_volume_bootable_status(made, True)
    with tenant.box.volume_file(tenant.cloud, made.id).open("r+b") as content:
        for at in (0, 5, 700, 1023):
            content.seek(at * MIB)
            content.write(hashlib.sha256(f"{seed} {at}".encode()).digest() * (MIB // 32))
    return made


def sha256(tenant: Any, volume_id: str) -> str:
    with tenant.box.volume_file(tenant.cloud, volume_id).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def make_read_only(connection: Any, volume: Any) -> None:
    action = {"os-update_readonly_flag": {"readonly": True}}
    connection.block_storage.post(f"/volumes/{volume.id}/action", json=action).raise_for_status()


def device_tags(tenant: Any, server: Any) -> list[str]:
    """What a guest calls its network and its disk."""
    compute = tenant.connect().compute
    found = [port.tag for port in compute.server_interfaces(server)]
    found += [attachment.tag for attachment in compute.volume_attachments(server)]
    return sorted(tag for tag in found if tag)


@pytest.fixture
def server(source):
    """A stopped server that boots from a volume and has another one; its port carries another one in a trunk."""
    c = source.connect()
    net = c.network.create_network(name="net")
    v4 = c.network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr="10.5.0.0/24")
    port = c.network.create_port(network_id=net.id, fixed_ips=[{"subnet_id": v4.id, "ip_address": "10.5.0.50"}])
    inside = c.network.create_port(network_id=net.id, fixed_ips=[{"subnet_id": v4.id, "ip_address": "10.5.0.60"}])
    place = {"port_id": inside.id, "segmentation_type": "vlan", "segmentation_id": 7}
    c.network.create_trunk(name="bundle", port_id=port.id, sub_ports=[place])
    boot, data = disk(source, "boot", "boot", bootable=True), disk(source, "data", "data")
    make_read_only(c, data)
    flavor = c.compute.find_flavor("m1.tiny", ignore_missing=False)
    mapping = [
        {"boot_index": 0, "uuid": boot.id, "source_type": "volume", "destination_type": "volume"},
        {"boot_index": -1, "uuid": data.id, "source_type": "volume", "destination_type": "volume", "tag": "store"},
    ]
    made = c.compute.create_server(
        name="db", flavor_id=flavor.id, networks=[{"port": port.id, "tag": "front"}], block_device_mapping=mapping
    )
    made = c.compute.wait_for_server(made, interval=0.3)
    c.compute.stop_server(made)
    return c.compute.wait_for_server(made, "SHUTOFF", interval=0.3)


def bad(state: Any) -> list[Any]:
    return [(s["key"], s["outcome"], s["reason"]) for s in state["steps"] if s["state"] in ("failed", "skipped")]


def volumes(tenant: Any) -> dict[str, Any]:
    return {v.name: v for v in tenant.connect().block_storage.volumes()}


def left_over(tenant: Any) -> list[str]:
    """What a migration must not leave: our snapshots, clones, marks, and disks on a conversion host."""
    storage = tenant.connect().block_storage
    found = [f"snapshot {s.name}" for s in storage.snapshots()]
    found += [f"volume {v.name}" for v in storage.volumes() if (v.name or "").startswith("stackferry-")]
    found += [f"mark on {v.name}" for v in storage.volumes() if "stackferry" in (v.metadata or {})]
    for host in tenant.connect().compute.servers(name="conversion"):
        found += [f"{v['id']} on a host" for v in host.attached_volumes]
    return found


def test_a_server_crosses_with_its_disks_a_second_time_nothing_and_undo_takes_all_back(
    source, destination, server, hosts, ferry
):
    names = {"server": ["db"], "network": ["net"], "subnet": ["v4"]}
    selection = {"kinds": ["network", "subnet", "server"], "filters": names}
    state = ferry.wait(ferry.migrate(source.entry, destination.entry, selection=selection), timeout=60)
    assert (state["phase"], bad(state)) == ("done", [])
    (moved,) = [s for s in destination.connect().compute.servers() if s.name == "db"]
    assert moved.status == "SHUTOFF"  # as it was
    assert {ip["addr"] for ips in moved.addresses.values() for ip in ips} == {"10.5.0.50"}
    there, here = volumes(destination), volumes(source)
    assert there.keys() == here.keys() == {"boot", "data"}
    assert {n: sha256(destination, v.id) for n, v in there.items()} == {
        n: sha256(source, v.id) for n, v in here.items()
    }
    network = destination.connect().network
    (trunk,) = network.trunks()
    places = [(sub["segmentation_id"], network.get_port(sub["port_id"])) for sub in trunk.sub_ports]
    assert [(place, port.fixed_ips[0]["ip_address"]) for place, port in places] == [(7, "10.5.0.60")]
    assert (trunk.name, network.get_port(trunk.port_id).device_id) == ("bundle", moved.id)
    devices = {n: v.attachments[0]["device"] for n, v in there.items()}
    assert devices == {"boot": "/dev/vda", "data": "/dev/vdb"}
    assert left_over(source) == left_over(destination) == []
    assert source.connect().compute.get_server(server).status == "SHUTOFF"
    assert device_tags(destination, moved) == device_tags(source, server) == ["front", "store"]
    read_only = {n: v.metadata.get("readonly") for n, v in there.items()}
    assert read_only == {n: v.metadata.get("readonly") for n, v in here.items()}
    assert read_only["data"] == "True"

    again = ferry.wait(ferry.migrate(source.entry, destination.entry, selection=selection), timeout=60)
    assert bad(again) == []
    assert {s["outcome"] for s in again["steps"] if s["key"] == s["group"]} == {"unchanged"}
    assert volumes(destination).keys() == there.keys()

    ferry.control(state["id"], "undo")
    undone = ferry.wait_for(state["id"], "undone", timeout=120)
    assert [s["key"] for s in undone["steps"] if "/undo/" in s["key"] and s["state"] == "failed"] == []
    assert [s.name for s in destination.connect().compute.servers()] == ["conversion"]
    assert volumes(destination) == {}
    assert [*destination.connect().network.trunks()] == []
    assert left_over(source) == []
    assert {v.status for v in volumes(source).values()} == {"in-use"}


def attached(tenant: Any, server: Any) -> dict[str, tuple[str, bool]]:
    """Volume → its device, and whether it's deleted with the server."""
    found = tenant.connect().compute.volume_attachments(server)
    return {each.volume_id: (each.device, each.delete_on_termination) for each in found}


def test_a_disk_that_is_read_off_its_server_is_put_back_as_it_was(source, destination, server, hosts, ferry):
    compute, data = source.connect().compute, volumes(source)["data"]
    compute.update_volume_attachment(server, data.id, delete_on_termination=True)
    before = attached(source, server)
    assert before[data.id] == ("/dev/vdb", True)
    names = {"server": ["db"], "network": ["net"], "subnet": ["v4"]}
    selection = {"kinds": ["network", "subnet", "server"], "filters": names}
    how = {"source_access": "detach"}
    migration = ferry.migrate(source.entry, destination.entry, selection=selection, migration_params=how)
    state = ferry.wait(migration, timeout=90)
    assert (state["phase"], bad(state)) == ("done", [])
    ways = {s["name"]: s["results"]["access"] for s in state["steps"] if s["action"] == "expose"}
    assert ways == {"boot": "snapshot", "data": "detach"}  # nova detaches no root disk
    assert attached(source, server) == before
    for name, volume in volumes(destination).items():
        assert sha256(destination, volume.id) == sha256(source, volumes(source)[name].id)
    assert left_over(source) == left_over(destination) == []


def test_a_running_server_of_an_image_crosses_with_its_root_disk(source, destination, hosts, ferry):
    c, payload = source.connect(), hashlib.sha512(b"root").digest() * (MIB // 64)
    image = c.image.create_image(name="base", disk_format="raw", container_format="bare", data=payload,
                                 hw_firmware_type="uefi", hw_machine_type="q35", team="web")  # fmt: skip
    net = c.network.create_network(name="net")
    c.network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr="10.5.0.0/24")
    flavor = c.compute.find_flavor("m1.tiny", ignore_missing=False)
    made = c.compute.create_server(name="web", flavor_id=flavor.id, image_id=image.id, networks=[{"uuid": net.id}])
    made = c.compute.wait_for_server(made, interval=0.3)
    names = {"server": ["web"], "network": ["net"], "subnet": ["v4"], "image": ["base"]}
    kinds = {"kinds": ["network", "subnet", "image", "server"], "filters": names}
    found = ferry.wait(ferry.migrate(source.entry, None, mode="export", selection=kinds), timeout=60)
    documents = [s["document"] for s in ferry.show(found["id"], documents=True)["steps"] if s["action"] == "keep"]
    (web,) = [d for d in documents if d["params"].get("name") == "web"]
    web["_migration_params"]["boot_disk_copy"] = True

    state = ferry.wait(ferry.migrate(source.entry, destination.entry, documents=documents), timeout=90)
    assert (state["phase"], bad(state)) == ("done", [])
    (moved,) = [s for s in destination.connect().compute.servers() if s.name == "web"]
    (disk_there,) = [v["id"] for v in moved.attached_volumes]
    with destination.box.volume_file("dst", disk_there).open("rb") as content:
        assert content.read(MIB) == payload
    needs = destination.connect().block_storage.get_volume(disk_there).volume_image_metadata
    assert {n: v for n, v in needs.items() if not n.startswith("min_")} == {
        "hw_firmware_type": "uefi",
        "hw_machine_type": "q35",
        "team": "web",
    }
    assert c.compute.get_server(made).status == "SHUTOFF"
    assert left_over(source) == left_over(destination) == []
    assert {i.name for i in c.image.images(owner=c.current_project_id)} == {"base", "conversion"}


def block_digest(tenant: Any, volume_id: str) -> str:
    """What docs/progress.md tells people to compute."""
    total = blake3()
    with tenant.box.volume_file(tenant.cloud, volume_id).open("rb") as content:
        while block := content.read(MIB):
            total.update(blake3(block).digest())
    return total.hexdigest()


def test_a_server_that_people_shut_down_themselves_is_waited_for(source, destination, server, hosts, ferry, cli):
    compute = source.connect().compute
    compute.start_server(server)
    compute.wait_for_server(compute.get_server(server), interval=0.3)
    names = {"server": ["db"], "network": ["net"], "subnet": ["v4"]}
    selection = {"kinds": ["network", "subnet", "server"], "filters": names}
    how = {"shutdown": "wait"}
    migration = ferry.migrate(source.entry, destination.entry, selection=selection, migration_params=how)

    def step(name: str) -> Any:
        return next((s for s in ferry.show(migration)["steps"] if s["key"] == f"server/{server.id}/{name}"), None)

    assert until(lambda: (step("wait") or {}).get("outcome") == "pending", 60)
    assert step("wait")["reason"] == "server 'db' is ACTIVE: shut it down when it may be moved"
    state = json.loads(cli("show", migration, "-o", "json"))
    assert {s["state"] for s in state["steps"] if s["action"] == "assign"} == {"waiting"}  # hosts are left to others
    assert state["workloads"][0]["phase"] == "waiting for its shutdown"
    compute.stop_server(server)
    state = ferry.wait(migration, timeout=120)
    assert (state["phase"], bad(state)) == ("done", [])
    assert json.loads(cli("show", migration, "-o", "json"))["workloads"][0]["downtime"] > 0
    assert compute.get_server(server).status == "SHUTOFF"


def test_people_see_where_a_server_is_and_what_it_took(source, destination, server, hosts, ferry, cli):
    words = [
        "migrate",
        "--yes",
        "-s",
        source.entry,
        "-d",
        destination.entry,
        "-k",
        "network",
        "-k",
        "subnet",
        "-k",
        "server",
        "-f",
        "server=db",
        "-f",
        "network=net",
        "-f",
        "subnet=v4",
        "--bandwidth",
        str(2 * MIB),
    ]  # fmt: skip - copying 8 MiB is seen then: one looks twice a second
    lines = cli(*words).splitlines()
    said = [line for line in lines if line.startswith("server db: ")]
    assert said[-1] == "server db: done", lines
    assert "server db: copying" in said
    state = json.loads(cli("show", "-o", "json"))
    (db,) = state["workloads"]
    assert (db["phase"], db["kind"], db["destination_id"] is not None) == ("done", "server", True)
    assert db["seconds"] > 1
    assert state["progress"]["phases"] == {"done": 1}
    for disk in db["disks"]:
        assert (disk["bytes"], disk["bytes_total"], disk["bytes_verified"]) == (1 << 30, 1 << 30, 1 << 30)
        assert disk["is_verified"]
        assert disk["digest"] == block_digest(source, disk["source_id"])
        assert disk["digest"] == block_digest(destination, disk["destination_id"])
        assert disk["counts"]["copy"]["zero"] == 1020
        assert 4 * MIB < disk["bytes_on_wire"] < 6 * MIB
    table = cli("show")
    assert disk["digest"][:12] in table


def test_without_copying_a_server_gets_the_volumes_that_are_there(source, destination, server, ferry):
    """`data_copy: false`: no host is needed, the server is stopped, and its disks are the destination's own."""
    boot, data = disk(destination, "given", "given", bootable=True), disk(destination, "more", "more")
    names = {"server": ["db"], "network": ["net"], "subnet": ["v4"]}
    kinds = {"kinds": ["network", "subnet", "server"], "filters": names}
    how = {"data_copy": False, "boot_volume": {"uuid": boot.id}, "additional_volumes": [{"uuid": data.id}]}
    migration = ferry.migrate(source.entry, destination.entry, selection=kinds, migration_params=how)
    state = ferry.wait(migration, timeout=60)
    assert (state["phase"], bad(state)) == ("done", [])
    (moved,) = destination.connect().compute.servers()
    assert moved.status == "SHUTOFF"  # as it was
    there = volumes(destination)
    assert {n: v.attachments[0]["device"] for n, v in there.items()} == {"given": "/dev/vda", "more": "/dev/vdb"}
    assert [v["delete_on_termination"] for v in moved.attached_volumes] == [False, False]
    ferry.control(migration, "undo")
    ferry.wait_for(migration, "undone", timeout=120)
    assert list(destination.connect().compute.servers()) == []
    assert {v.status for v in volumes(destination).values()} == {"available"}
