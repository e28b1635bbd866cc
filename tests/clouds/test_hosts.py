"""`stackferry hosts` with the real command: hosts are made, work, are emptied and deleted; nothing else is touched."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from amqp.exceptions import NotFound
from stackferry import __version__, topology
from stackferry.bus import connect
from stackferry_cli.local.processes import until

from .test_workloads import bad, server  # noqa: F401 - a fixture

pytestmark = pytest.mark.clouds
KINDS = ("networks", "subnets", "routers", "ports", "security_groups", "ips")


@pytest.fixture
def hosts(cli, stack, clouds_file, source, destination, monkeypatch):
    """The command, and what it made is deleted afterwards."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds_file.path))
    places = ("-s", source.entry, "-d", destination.entry)

    def run(word: str, *words: Any, **more: Any) -> str:
        return cli("hosts", word, *words, **more)

    run.both = places
    run.made = (*places, "--flavor", "m1.tiny", "--image", "cirros", "--timeout", 60)
    yield run
    run("delete", *places, "--yes", "--force")


@pytest.fixture
def image(source, destination):
    for tenant in (source, destination):
        images = tenant.connect().image
        images.create_image(name="cirros", disk_format="raw", container_format="bare", data=b"x" * 512)


def inventory(tenant: Any) -> dict[str, list[tuple[str, str]]]:
    """What a project has, but the ports of routers."""
    c = tenant.connect()
    found = {kind: getattr(c.network, kind)(project_id=c.current_project_id) for kind in KINDS}
    found["servers"] = c.compute.servers()
    return {
        kind: sorted((r.name or "", r.id) for r in resources if "router" not in (getattr(r, "device_owner", "") or ""))
        for kind, resources in found.items()
    }


def rules(tenant: Any, group: str = "os_migrate_conv") -> set[tuple[Any, ...]]:
    """What a group lets in."""
    network = tenant.connect().network
    (group,) = network.security_groups(name=group)
    return {
        (r.protocol, r.port_range_min, r.port_range_max, r.remote_ip_prefix)
        for r in network.security_group_rules(security_group_id=group.id, direction="ingress")
    }


def queue_exists(stack: Any, host: str) -> bool:
    with connect(stack.node.uri("admin"), "tests", heartbeat=0) as connection, connection.channel() as channel:
        try:
            channel.queue_declare(topology.host_queue(host).name, passive=True)
        except NotFound:
            return False
        return True


def users_of(stack: Any) -> set[str]:
    """The broker's users."""
    words, environ = stack.node.control()
    said = subprocess.run([*words, "--quiet", "list_users"], env=environ, capture_output=True, text=True, check=True)
    return {line.split("\t")[0] for line in said.stdout.splitlines()}


def floating(tenant: Any) -> set[str]:
    return {ip.floating_ip_address for ip in tenant.connect().network.ips()}


def listed(hosts: Any, *tenants: Any) -> list[dict[str, Any]]:
    clouds = [tenant.entry for tenant in tenants]
    return [row for row in json.loads(hosts("list", "-o", "json")) if row["cloud"] in clouds]


def test_hosts_are_made_once_and_deleted_alone(hosts, cli, stack, source, destination, image):
    mine = source.connect().network.create_network(name="os_migrate_conv")  # of the same name, and not ours
    group = source.connect().network.create_security_group(name="os_migrate_conv-too", description="theirs")
    before = inventory(source), inventory(destination)
    said = hosts(
        "deploy", *hosts.made, "--count", f"{destination.entry}=2", "--agents", 2, "--ssh-from", "192.0.2.0/24"
    )
    assert said.count("is ready") == 3

    rows = listed(hosts, source, destination)
    assert [(r["name"], r["state"], r["agents"], r["slots"], r["used"]) for r in rows] == [
        (name, "ready", 2, 8, 0) for name in sorted(r["name"] for r in rows)
    ]
    assert sorted(r["name"] for r in rows) == ["os_migrate_conv_dst", "os_migrate_conv_dst-2", "os_migrate_conv_src"]
    users = {topology.Enrolled(row["id"], row["cloud"]).user for row in rows}
    assert users <= users_of(stack)
    whole = json.loads(cli("status", "--deployment", "-o", "json"))
    assert {row["service"] for row in whole} == {"rabbitmq", "coordinator", "exporter", "importer", "transfer"}
    assert {row["name"] for row in whole if row["service"] == "transfer"} >= {row["name"] for row in rows}
    assert {row["version"] for row in whole if row["service"] != "rabbitmq"} == {__version__}
    assert all(row["version"] for row in whole)
    ssh = ("tcp", 22, 22, "192.0.2.0/24")
    assert rules(destination) == {ssh}
    assert rules(source) == {ssh, *(("tcp", 10900, 10901, f"{ip}/32") for ip in floating(destination))}
    assert len(floating(destination)) == 2

    after = inventory(source), inventory(destination)
    again = hosts(
        "deploy", *hosts.made, "--count", f"{destination.entry}=2", "--agents", 2, "--ssh-from", "192.0.2.0/24"
    )
    assert (inventory(source), inventory(destination)) == after
    assert (again.count("was there"), again.count("making")) == (3, 0)

    more = hosts("deploy", *hosts.made, "--count", 2, "--agents", 2)
    assert (more.count("making"), more.count("was there")) == (1, 3)
    assert ssh in rules(source)  # nothing was said about it

    hosts("delete", "-s", source.entry, "os_migrate_conv_src-2", "--yes")
    assert inventory(source) == after[0]
    hosts("delete", *hosts.both, "--yes")
    assert (inventory(source), inventory(destination)) == before
    assert listed(hosts, source, destination) == []
    assert until(lambda: not any(queue_exists(stack, row["id"]) for row in rows), 10)
    assert not users & users_of(stack)
    assert source.connect().network.get_network(mine.id)
    assert source.connect().network.get_security_group(group.id)
    assert "made nothing here" in hosts("delete", *hosts.both, "--yes")


def test_a_network_that_is_there_is_used_and_stays(hosts, source, image):
    network = source.connect().network
    wire = network.create_network(name="wire")
    network.create_subnet(network_id=wire.id, name="wire", ip_version=4, cidr="10.77.0.0/24")
    before = inventory(source)
    hosts("deploy", "-s", source.entry, "--flavor", "m1.tiny", "--image", "cirros", "--network", "wire",
          "--peer", "198.51.100.0/24", "--timeout", 60)  # fmt: skip
    (host,) = source.connect().compute.servers()
    assert list(host.addresses) == ["wire"]
    assert floating(source) == set()
    assert rules(source) == {("tcp", 10900, 10900, "198.51.100.0/24")}
    without = hosts("deploy", "-s", source.entry, "--flavor", "m1.tiny", "--image", "cirros", "--timeout", 60)
    assert "was there" in without  # another network changes nothing of it
    assert [list(host.addresses) for host in source.connect().compute.servers()] == [["wire"]]
    hosts("delete", "-s", source.entry, "--yes")
    assert inventory(source) == before


def test_a_host_boots_from_a_volume_and_has_the_given_floating_ip(hosts, source, image):
    network = source.connect().network
    (outside,) = network.networks(is_router_external=True)
    given = network.create_ip(floating_network_id=outside.id)
    hosts("deploy", "-s", source.entry, "--flavor", "m1.tiny", "--image", "cirros", "--volume-size", 1,
          "--floating-ip", given.floating_ip_address, "--timeout", 60)  # fmt: skip
    storage = source.connect().block_storage
    assert [v.size for v in storage.volumes()] == [1]
    assert floating(source) == {given.floating_ip_address}
    assert "Delete these" in hosts("delete", "-s", source.entry, code=1, input_="n\n")
    assert floating(source) == {given.floating_ip_address}
    hosts("delete", "-s", source.entry, "--yes")
    assert [ip.id for ip in network.ips()] == [given.id]
    assert list(storage.volumes()) == []


@pytest.fixture
def known_as_src(source, clouds_file):
    """The services call the source's project as OS Migrate does, for as long as a test lasts."""
    clouds_file.add("src", source.auth)
    yield
    del clouds_file.entries["src"]
    clouds_file.add(source.entry, source.auth)


@pytest.mark.usefixtures("known_as_src")
def test_a_variables_file_of_os_migrate_is_enough(hosts, source, image, tmp_path, monkeypatch):
    file = tmp_path / "vars.yml"
    said = {
        "os_migrate_src_auth": source.auth["auth"],
        "os_migrate_src_conversion_flavor_name": "m1.tiny",
        "os_migrate_src_conversion_image_name": "cirros",
        "os_migrate_src_conversion_net_name": "conv-net",
        "os_migrate_src_conversion_external_network_name": "public",
        "os_migrate_src_conversion_subnet_dns_nameservers": ["192.0.2.53"],
        "os_migrate_conversion_subnet_cidr": "10.78.0.0/24",
        "os_migrate_conversion_subnet_alloc_start": "10.78.0.20",
        "os_migrate_conversion_subnet_alloc_end": "10.78.0.29",
        "os_migrate_conversion_router_ip": "10.78.0.2",
        "os_migrate_conversion_host_ssh_user": "cloud-user",
    }
    file.write_text(yaml.safe_dump(said))
    before = inventory(source)
    with monkeypatch.context() as without:
        without.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "none.yaml"))
        out = hosts("deploy", "-s", "src", "--vars", file, "--timeout", 60)
        assert "os_migrate_conversion_host_ssh_user: nobody logs in" in out
        (subnet,) = source.connect().network.subnets(project_id=source.connect().current_project_id)
        assert (subnet.cidr, subnet.gateway_ip, subnet.dns_nameservers) == ("10.78.0.0/24", "10.78.0.2", ["192.0.2.53"])
        (host,) = source.connect().compute.servers()
        assert ipaddress.ip_address("10.78.0.20") <= ipaddress.ip_address(host.addresses["conv-net"][0]["addr"])
        hosts("delete", "-s", "src", "--vars", file, "--yes")
        assert inventory(source) == before


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--image", "cirros"], 2, "--flavor is missing"),
        (["--flavor", "huge", "--image", "cirros"], 2, "--flavor huge.*it has m1.medium, m1.small"),
        (["--flavor", "m1.tiny"], 2, "--image os_migrate_conv.*it has cirros"),
        (
            ["--flavor", "m1.tiny", "--image", "cirros", "--external-network", "wan"],
            2,
            "--external-network wan.*public",
        ),
        (["--flavor", "m1.tiny", "--image", "cirros", "--network", "lan"], 2, "--network lan: there's none"),
        (["--flavor", "m1.tiny", "--image", "cirros", "--floating-ip", "192.0.2.1"], 2, "no such floating IP"),
        (["--flavor", "m1.tiny", "--image", "cirros", "--availability-zone", "moon"], 2, "availability zone"),
    ],
)
def test_what_is_not_there_is_named(hosts, source, image, words, code, says):
    import re

    said = hosts("deploy", "-s", source.entry, *words, code=code)
    assert re.search(says, said.replace("\n", " ")), said


def test_clouds_and_brokers_that_cannot_be_used(hosts, source, image, monkeypatch):
    fine = ("--flavor", "m1.tiny", "--image", "cirros")
    assert "does not answer" in hosts("deploy", "-s", "nobody", *fine, code=3)
    assert "can't be used" in hosts("deploy", "-s", "no-such-cloud", *fine, code=2)
    assert "say -s SOURCE" in hosts("deploy", *fine, code=2)
    monkeypatch.setenv("STACKFERRY_AGENT_AMQP_URI", "broker.example")
    assert "STACKFERRY_AGENT_AMQP_URI" in hosts("deploy", "-s", source.entry, *fine, code=2)
    assert inventory(source)["servers"] == []


def test_a_host_whose_agent_never_answers_is_said(hosts, source, image, monkeypatch):
    monkeypatch.setenv("STACKFERRY_AGENT_AMQP_URI", "amqp://transfer:wrong@127.0.0.1:1//")
    fine = ("--flavor", "m1.tiny", "--image", "cirros")
    said = hosts("deploy", "-s", source.entry, *fine, "--timeout", 25, code=3)
    assert "no agent on os_migrate_conv_src" in said
    assert "wrong" not in said


@pytest.mark.usefixtures("image", "server")
def test_a_server_crosses_through_them_and_waits_while_they_are_drained(hosts, source, destination, ferry):
    hosts("deploy", *hosts.made)
    clouds = {row["cloud"]: row["id"] for row in listed(hosts, source, destination)}
    hosts("drain", clouds[destination.entry])
    kinds = ["network", "subnet", "router", "router_interface", "security_group", "security_group_rule", "server"]
    migration = ferry.migrate(source.entry, destination.entry, selection={"kinds": kinds})
    assert until(lambda: ferry.show(migration)["totals"].get("wanting"), 60), ferry.show(migration)["totals"]
    ferry.wait_for(migration, "running")
    assert [v.name for v in destination.connect().block_storage.volumes()] == []
    (own,) = [agent for agent in source.box.agents(source.cloud) if agent.server_id == clouds[source.entry]]
    assert listening(own.pid) == {10900}

    os.kill(own.pid, signal.SIGSTOP)  # so that the copy takes as long as we look
    hosts("resume", clouds[destination.entry])
    assert until(lambda: all(row["used"] for row in ferry.hosts() if row["id"] in clouds.values()), 20)
    assert "hosts drain" in hosts("delete", "-s", source.entry, "--yes", code=2)
    assert not any(row["draining"] for row in listed(hosts, source))  # it's as it was
    assert ": draining, " in hosts("drain", clouds[source.entry])
    hosts("resume", clouds[source.entry])
    os.kill(own.pid, signal.SIGCONT)
    state = ferry.wait(migration, timeout=90)
    assert (state["phase"], bad(state)) == ("done", [])
    made = {(s["kind"], s["name"]) for s in state["steps"] if s["outcome"] == "created" and s["kind"] in kinds}
    assert made == {("network", "net"), ("server", "db"), ("subnet", "v4")}  # nothing of what the hosts are made of
    assert {s["kind"] for s in state["steps"] if s["outcome"] == "unchanged"} <= {
        "security_group",
        "security_group_rule",
    }


def listening(pid: int) -> set[int]:
    """The TCP ports that a process listens at."""
    inodes = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


def test_a_drained_host_gets_no_more_volumes(hosts, source, image):
    hosts("deploy", "-s", source.entry, "--flavor", "m1.tiny", "--image", "cirros", "--timeout", 60)
    (row,) = listed(hosts, source)
    assert "drained, 0 volumes" in hosts("drain", row["id"][:12])
    (drained,) = listed(hosts, source)
    assert (drained["state"], drained["draining"], drained["why"]) == ("drained", True, "it was told to")
    assert "ready" in hosts("resume", row["id"])
    assert "no hosts are called" in hosts("drain", "nobody-of-that-name", code=2)


def test_without_openstacksdk_it_says_what_to_install(hosts, source, tmp_path, monkeypatch):
    (tmp_path / "openstack").mkdir()
    (tmp_path / "openstack/__init__.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert "stackferry-cli[hosts]" in hosts("deploy", "-s", source.entry, "--flavor", "m1.tiny", code=2)
    monkeypatch.delenv("PYTHONPATH")
