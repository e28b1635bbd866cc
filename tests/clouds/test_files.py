"""Through a data directory with the real command: export, edit, plan, import; and what users type wrong."""

import json
import os
import subprocess
import sys

import pytest
import yaml

pytestmark = pytest.mark.clouds


@pytest.fixture
def small(source):
    """A network with two subnets, and a router with a leg."""
    network = source.connect().network
    blue = network.create_network(name="blue", description="the blue one")
    subnet = network.create_subnet(
        name="blue-v4", network_id=blue.id, ip_version=4, cidr="10.7.0.0/24", dns_nameservers=["9.9.9.9", "1.1.1.1"]
    )
    network.create_subnet(name="blue-v6", network_id=blue.id, ip_version=6, cidr="fd00:7::/64")
    router = network.create_router(name="edge")
    network.add_interface_to_router(router, subnet=subnet.id)
    return source


def edit(path, change):
    content = yaml.safe_load(path.read_text())
    for resource in content["resources"]:
        change(resource["params"])
    path.write_text(yaml.safe_dump(content))


def changes(plan):
    return {
        (step["kind"], step["name"], change["field"], json.dumps(change["from"]), json.dumps(change["to"]))
        for step in json.loads(plan)["steps"]
        for change in step["changes"]
    }


def test_export_edit_plan_import(cli, small, destination, tmp_path):
    data = tmp_path / "data"
    cli("export", data, "-s", small.entry)
    assert {f.name for f in data.iterdir()} >= {"networks.yml", "subnets.yml", "routers.yml", "router_interfaces.yml"}
    cli("validate", data)
    cli("import", data, "-d", destination.entry)

    edit(data / "networks.yml", lambda p: p.update(name="azure"))
    edit(data / "subnets.yml", lambda p: p.update(dns_nameservers=["8.8.8.8"]) if p["name"] == "blue-v4" else None)

    plan = cli("plan", data, "-d", destination.entry, "-o", "json")
    assert changes(plan) == {
        ("network", "azure", "name", '"blue"', '"azure"'),
        ("subnet", "blue-v4", "dns_nameservers", '["9.9.9.9", "1.1.1.1"]', '["8.8.8.8"]'),
    }
    shown = cli("plan", data, "-d", destination.entry)
    assert 'name: "blue" → "azure"' in shown
    assert "0 to create, 2 to update" in shown

    cli("import", data, "-d", destination.entry)
    network = destination.connect().network
    mine = destination.connect().current_project_id
    assert [n.name for n in network.networks(project_id=mine)] == ["azure"]
    assert {s.name: s.dns_nameservers for s in network.subnets(project_id=mine)} == {
        "blue-v4": ["8.8.8.8"],
        "blue-v6": [],
    }
    assert "0 to create, 0 to update" in cli("plan", data, "-d", destination.entry)


def test_a_rename_before_the_first_import_keeps_what_belongs_together(cli, small, destination, tmp_path):
    data = tmp_path / "data"
    cli("export", data, "-s", small.entry)
    edit(data / "networks.yml", lambda p: p.update(name="azure"))
    cli("import", data, "-d", destination.entry)
    network = destination.connect().network
    (azure,) = network.networks(project_id=destination.connect().current_project_id)
    assert azure.name == "azure"
    assert len(azure.subnet_ids) == 2


def test_exporting_again_gives_the_same_files(cli, small, tmp_path):
    cli("export", tmp_path / "one", "-s", small.entry)
    before = {f.name: f.read_text() for f in (tmp_path / "one").iterdir()}
    cli("export", tmp_path / "one", "-s", small.entry)
    assert {f.name: f.read_text() for f in (tmp_path / "one").iterdir()} == before


def test_filters_keep_what_matches(cli, small, tmp_path):
    cli("export", tmp_path, "-s", small.entry, "-k", "subnet", "-f", "subnet~v6$")
    (document,) = yaml.safe_load((tmp_path / "subnets.yml").read_text())["resources"]
    assert document["params"]["name"] == "blue-v6"
    assert not (tmp_path / "networks.yml").exists()


def test_a_missing_prerequisite_is_named(cli, small, destination, tmp_path):
    cli("export", tmp_path, "-s", small.entry, "-k", "subnet")
    shown = cli("plan", tmp_path, "-d", destination.entry, code=1)
    assert "there is no network named 'blue' here" in shown


def test_several_commands_see_the_same_migration(cli, small, destination, stack):
    called = ["--name", "wave 3", "--label", "team=web", "--label", "n=3"]
    cli("migrate", "--yes", "-s", small.entry, "-d", destination.entry, *called)
    listed = json.loads(cli("list", "-o", "json"))
    id_ = listed[-1]["id"]
    assert (listed[-1]["name"], listed[-1]["labels"]) == ("wave 3", {"team": "web", "n": "3"})
    assert [row["id"] for row in json.loads(cli("list", "--label", "team=web", "-o", "json"))] == [id_]
    assert json.loads(cli("list", "--label", "team=web", "--label", "n=4", "-o", "json")) == []
    assert f"{id_} wave 3: done" in cli("show", id_)
    logged = [line for line in stack.process("importer").log.read_text().splitlines() if f"migration={id_}" in line]
    (line,) = [line for line in logged if "created" in line and "kind=network" in line]
    blue = destination.connect().network.find_network("blue", ignore_missing=False)
    assert {f"cloud={destination.entry}", f"resource={blue.id}", "name=blue", "attempt=1"} <= set(line.split())
    assert "expected KEY=VALUE" in cli("migrate", "-s", small.entry, "-d", destination.entry, "--label", "web", code=2)
    assert "a label's key has" in cli("plan", "-s", small.entry, "-d", destination.entry, "--label", "-x=1", code=2)
    assert id_ in cli("show", id_[:8])
    assert "blue-v4" in cli("show", id_[:8], "--steps")
    cli("watch", id_)
    assert "can't be told to resume" in cli("resume", id_, code=2)
    cli("undo", id_, "--yes")


def test_what_a_forgotten_migration_has_made_is_still_known(cli, small, destination):
    cli("migrate", "--yes", "-s", small.entry, "-d", destination.entry)
    first = json.loads(cli("list", "-o", "json"))[-1]["id"]
    network = destination.connect().network
    blue = network.find_network("blue", ignore_missing=False)
    network.update_network(blue, name="renamed")
    assert "1 migrations forgotten" in cli("forget", first, "--yes")
    assert first not in cli("list")
    assert "no migrations have the name" in cli("show", first, code=2)
    cli("migrate", "--yes", "-s", small.entry, "-d", destination.entry)
    assert [n.id for n in network.networks(name="blue")] == [blue.id]
    assert list(network.networks(name="renamed")) == []

    assert "name migrations, or a date" in cli("forget", code=2)
    answer = json.loads(cli("forget", "--before", "2020-01-01", "-o", "json"))
    assert answer == {"forgotten": [], "kept": {}}
    cli("forget", "--before", "2999-01-01T00:00:00", "--yes")
    assert json.loads(cli("list", "-o", "json")) == []


@pytest.fixture
def locked_out(sandbox, clouds_file):
    """A cloud that doesn't take our password."""
    auth = yaml.safe_load(sandbox.clouds_yaml())["clouds"]["src-admin"]
    clouds_file.add("locked-out", {**auth, "auth": {**auth["auth"], "password": "wrong"}})


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["migrate", "--yes", "-s", "nowhere", "-d", "nobody"], 2, "no exporter has credentials for a cloud 'nowhere'"),
        (["migrate", "--yes", "-s", "nobody", "-d", "nobody"], 4, "does not answer"),
        (
            ["plan", "-s", "nobody", "-d", "nobody"],
            4,
            "stuck: the source can't be read: cloud 'nobody' does not answer",
        ),
        (["clouds", "check", "nobody"], 1, "does not answer"),
        (["plan", "-s", "locked-out", "-d", "nobody"], 4, "401"),
        (["clouds", "check", "locked-out"], 1, "401"),
        (["export", "{tmp}/x", "-s", "locked-out"], 2, "401"),
        (["export", "{tmp}/x", "-s", "nobody"], 2, "does not answer"),
        (["export", "{tmp}/x", "-s", "nobody", "-f", "network~("], 2, "can't be used"),
        (["export", "{tmp}/x", "-s", "nobody", "-f", "netwrk=a"], 2, "no kind"),
        (["export", "{tmp}/x", "-s", "nobody", "-k", "netwrk"], 2, "no kind"),
        (["validate", "{tmp}/nothing"], 2, "no data files here"),
        (["plan"], 2, "name a data directory"),
        (["show", "ffff"], 2, "migrations have the name"),
        (["dead-letters", "drop"], 2, "name ids"),
    ],
)
def test_what_makes_no_sense_is_said_plainly(cli, locked_out, tmp_path, words, code, message):
    shown = cli(*(word.replace("{tmp}", str(tmp_path)) for word in words), code=code)
    assert message in shown.replace("\n", " ")


def test_broken_files_are_named_before_anything_is_sent(cli, tmp_path):
    (tmp_path / "networks.yml").write_text(
        "os_migrate_version: 1.0.5\nresources:\n- type: openstack.network.Network\n  params: {name: a, mtu: big}\n"
    )
    (tmp_path / "subnets.yml").write_text("resources: [")
    shown = cli("import", tmp_path, "-d", "nobody", code=2)
    assert "networks.yml: network 'a': params.mtu: Not a valid integer." in shown
    assert "subnets.yml, line" in shown


def test_without_a_broker_the_command_says_what_to_start(cli, stack, tmp_path):
    env = {**os.environ, "STACKFERRY_HOME": str(tmp_path), "AMQP_URI": "amqp://u:secret@127.0.0.1:1//"}
    done = subprocess.run(
        [sys.executable, "-m", "stackferry_cli.app", "list"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert "stackferry up" in done.stderr
    assert "secret" not in done.stderr


def test_what_stays_behind_is_said(cli, source, destination, tmp_path):
    c = source.connect()
    c.image.create_image(name="half", disk_format="raw", container_format="bare")
    volume = c.block_storage.wait_for_status(c.block_storage.create_volume(name="v", size=1), "available", interval=0.1)
    c.block_storage.create_snapshot(volume_id=volume.id, name="before")
    net = c.network.create_network(name="n")
    c.network.create_port(network_id=net.id, name="vip", device_owner="Octavia", device_id="lb-1")
    c.network.create_rbac_policy(
        object_type="network", object_id=net.id, action="access_as_shared", target_project_id=c.current_project_id
    )
    sides = "-s", source.entry, "-d", destination.entry
    for said in (
        cli("export", tmp_path, "-s", source.entry),
        cli("plan", *sides),
        cli("migrate", "--yes", *sides, "-f", "volume=none"),  # no conversion hosts are there
        cli("show"),
    ):
        _, _, section = said.partition("stays behind\n")
        assert "1 image: half: it's queued" in section
        assert "1 volume snapshot: before: a volume crosses as it is now" in section
        assert f"1 RBAC policy: network {net.id} access_as_shared" in section
        assert "1 free port: vip: Octavia uses it" in section
        assert "could not be listed" not in section
    assert "stays behind" not in cli("plan", *sides, "-k", "keypair")


def test_a_plan_of_files_has_what_an_import_with_the_same_options_does(cli, source, destination, tmp_path):
    cinder = source.connect().block_storage
    cinder.wait_for_status(cinder.create_volume(name="lonely", size=1), "available", interval=0.1)
    cli("export", tmp_path, "-s", source.entry)
    left_out = "left out: volume 'lonely': its disks are read at the source (--source)"
    assert left_out in cli("plan", tmp_path, "-d", destination.entry)
    with_source = cli("plan", tmp_path, "-s", source.entry, "-d", destination.entry)
    assert "create    volume lonely" in with_source
    assert left_out not in with_source
