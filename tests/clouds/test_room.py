"""Servers that don't fit into the destination together: said in the plan, and before anything is touched."""

from __future__ import annotations

import json

import pytest

from .servers import disk, ground, server

pytestmark = pytest.mark.clouds


@pytest.fixture
def three(source):
    """Three servers of an image, and what they need."""
    c = source.connect()
    net = c.network.create_network(name="net")
    c.network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr="10.5.0.0/24")
    image = c.image.create_image(name="base", disk_format="raw", container_format="bare", data=b"x" * 1024)
    flavor = c.compute.find_flavor("m1.tiny", ignore_missing=False)
    made = [
        c.compute.create_server(name=n, flavor_id=flavor.id, image_id=image.id, networks=[{"uuid": net.id}])
        for n in ("a", "b", "c")
    ]
    for one in made:
        c.compute.wait_for_server(one, interval=0.3)
    return flavor


def test_servers_that_do_not_fit_together_are_told_before_anything_is_touched(
    three, source, destination, sandbox, cli
):  # fmt: skip
    admin, project = sandbox.connect("dst-admin"), destination.connect().current_project_id
    admin.compute.update_quota_set(project, instances=2, ram=2 * three.ram, cores=100)
    sides = ["-s", source.entry, "-d", destination.entry, "-k", "network", "-k", "subnet", "-k", "image",
             "-k", "server", "-f", "network=net", "-f", "subnet=v4", "-f", "image=base",
             "-f", "server=a", "-f", "server=b", "-f", "server=c"]  # fmt: skip
    why = (
        "together they don't fit: 3 instances are needed, 0 of 2 are used; "
        f"{3 * three.ram} ram are needed, 0 of {2 * three.ram} are used. Raise the quotas there, or select less"
    )
    planned = cli("plan", *sides, code=1)
    assert f"quota     for 3 servers and 2 other resources together: {why}" in planned
    assert "0 to create, 0 to update, 0 unchanged, 6 not possible" in planned
    assert "create    network net" in planned
    said = cli("migrate", "--yes", *sides, code=1)
    assert why in said
    there = destination.connect()
    assert list(there.network.networks(project_id=project)) == list(there.image.images(owner=project)) == []
    assert {s.status for s in source.connect().compute.servers()} == {"ACTIVE"}
    state = json.loads(cli("show", "-o", "json"))
    assert {s["state"] for s in state["steps"] if s["action"] not in ("room", "export")} == {"skipped"}

    assert "for 3 servers" not in cli("plan", *sides[:-2])  # two fit
    admin.compute.update_quota_set(project, instances=3, ram=-1)
    assert "quota" not in cli("plan", *sides)


def test_networks_and_ports_that_do_not_fit_are_told_though_there_is_no_server(source, destination, sandbox, cli):
    network, project = source.connect().network, destination.connect().current_project_id
    for name in "abc":
        net = network.create_network(name=name)
        network.create_port(network_id=net.id, name=name)
    sandbox.connect("dst-admin").network.update_quota(project, networks=2, ports=1)
    sides = ["-s", source.entry, "-d", destination.entry, "-k", "network", "-k", "free_port"]
    why = "together they don't fit: 3 networks are needed, 0 of 2 are used; 3 ports are needed, 0 of 1 are used"
    assert f"quota     for 6 resources together: {why}" in cli("plan", *sides, code=1)
    assert why in cli("migrate", "--yes", *sides, code=1)
    assert list(destination.connect().network.networks(project_id=project)) == []


def test_a_server_that_its_source_has_no_room_to_read_is_not_stopped(source, destination, sandbox, cli):
    net = ground(source)
    pet = server(source, "pet", net, [disk(source, "root", [1], bootable=True)])
    quotas = sandbox.connect("src-admin").block_storage
    quotas.update_quota_set(source.connect().current_project_id, snapshots=0)
    other = server(source, "other", net, [disk(source, "other-root", [1], bootable=True)])
    sides = ["-s", source.entry, "-d", destination.entry]
    planned = cli("plan", *sides, code=1)
    for name in ("pet", "other"):
        why = f"server '{name}' is read from snapshots: the quota has 0 snapshots left, and 1 are needed"
        assert f"conflict  server {name}: {why}. Raise the quotas of the source" in planned
    hosts = [f"no conversion host answers in cloud {side.entry!r}" for side in (source, destination)]
    assert hosts[0] not in planned, "none is needed for what can't be read"
    quotas.update_quota_set(source.connect().current_project_id, snapshots=1)
    planned = cli("plan", *sides)
    assert f"note: {hosts[0]}; {hosts[1]}: no disk is copied, and no server stopped, before one does" in planned
    quotas.update_quota_set(source.connect().current_project_id, snapshots=0)
    said = cli("migrate", "--yes", *sides, code=1)
    assert "is read from snapshots: the quota has 0 snapshots left, and 1 are needed" in said
    compute = source.connect().compute
    for one in (pet, other):
        assert compute.get_server(one.id).status == "ACTIVE"
        assert [action.action for action in compute.server_actions(one.id)] == ["create"]


def test_a_volume_type_that_promises_something_else_is_told_in_the_plan(source, destination, sandbox, cli):
    zones = {"RESKEY:availability_zones": "nova"}
    for cloud, specs in (("src", {**zones, "vendor:speed": "a"}), ("dst", {"vendor:speed": "b"})):
        storage = sandbox.connect(f"{cloud}-admin").block_storage
        type_ = storage.find_type("promising") or storage.create_type(name="promising")
        storage.update_type_extra_specs(type_, **specs)
    c = source.connect()
    net = ground(source)
    made = c.block_storage.create_volume(name="root", size=1, volume_type="promising")
    c.block_storage.wait_for_status(made, "available", interval=0.2)
    c.block_storage.set_volume_bootable_status(made, True)
    server(source, "pet", net, [made])
    loose = c.block_storage.create_volume(name="loose", size=1, volume_type="promising")
    c.block_storage.wait_for_status(loose, "available", interval=0.2)
    planned = cli("plan", "-s", source.entry, "-d", destination.entry)
    why = "volume type 'promising' here has RESKEY:availability_zones = None instead of 'nova'"
    assert planned.count(why) == 2, planned
    assert f"note: volume root: {why}" in planned
    assert "vendor" not in planned, "members aren't shown it"
