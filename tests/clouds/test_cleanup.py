"""cleanup-source at real clouds: what was moved is deleted at the source, nothing else, whoever is killed meanwhile."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from stackferry.client import Client
from stackferry.messages import StepBegan
from stackferry_cli.local.processes import until

from .test_workloads import bad, server, sha256, volumes  # noqa: F401 - a fixture

pytestmark = pytest.mark.clouds
SELECTION = {"kinds": ["network", "subnet", "router", "router_interface", "server"],
             "filters": {"server": ["db"], "network": ["net"], "subnet": ["v4"]}}  # fmt: skip


@pytest.fixture
def moved(source, destination, server, hosts, ferry):  # noqa: F811
    """A server with a floating IP that has crossed; returns the migration."""
    c = source.connect()
    public = c.network.find_network("public", ignore_missing=False)
    router = c.network.create_router(name="edge", external_gateway_info={"network_id": public.id})
    c.network.add_interface_to_router(router, subnet=c.network.find_subnet("v4", ignore_missing=False).id)
    (port,) = c.network.ports(device_id=server.id)
    for behind in (port.id, port.trunk_details["sub_ports"][0]["port_id"]):
        c.network.create_ip(floating_network_id=public.id, port_id=behind)
    state = ferry.wait(ferry.migrate(source.entry, destination.entry, selection=SELECTION), timeout=120)
    assert (state["phase"], bad(state)) == ("done", [])
    return state["id"]


def there(tenant: Any) -> dict[str, list[str]]:
    """What a project has of what servers are made of, without the conversion host's."""
    c = tenant.connect()
    ours = {n.id for n in c.network.networks(project_id=c.current_project_id) if n.name == "net"}
    return {
        "servers": [s.name for s in c.compute.servers() if s.name != "conversion"],
        "volumes": sorted(v.name for v in c.block_storage.volumes()),
        "ports": [p.id for p in c.network.ports(project_id=c.current_project_id)
                  if p.network_id in ours and not p.device_owner.startswith("network:")],
        "floating_ips": [ip.id for ip in c.network.ips(project_id=c.current_project_id)],
    }  # fmt: skip


def kill_when_claimed(
    stack: Any, environ: dict[str, str], migration: str, listening: threading.Event, killed: threading.Event
) -> None:
    """Kill the exporter as soon as it may delete, and start it again."""
    with Client(stack.uri()) as listener:
        listener.show(migration)  # from now on it hears of it
        listening.set()
        while fact := listener.hear(migration, 60):
            if fact.type == StepBegan.type and fact.data["step"].endswith("/cleanup-clean-up"):
                os.kill(stack.process("exporter").pid(), 9)
                assert until(lambda: stack.process("exporter").pid() is None, 10)
                stack.up(environ=environ)
                killed.set()
                return


def test_what_was_moved_is_deleted_at_the_source_once_nothing_hangs_on_it_that_stayed_behind(
    source, destination, server, moved, cli, stack, clouds_file  # noqa: F811
):  # fmt: skip
    storage, before = source.connect().block_storage, there(source)
    digests = {name: sha256(destination, v.id) for name, v in volumes(destination).items()}
    snapshot = storage.create_snapshot(volume_id=volumes(source)["data"].id, name="monday", is_forced=True)
    storage.wait_for_status(snapshot, "available")
    network = source.connect().network
    (port,) = network.ports(device_id=server.id)
    (own,) = network.ips(port_id=port.id)
    network.delete_ip(own)  # Neutron forwards nothing to a port that has one
    outside = network.create_ip(floating_network_id=network.find_network("public", ignore_missing=False).id)
    inside = {"internal_port_id": port.id, "internal_ip_address": port.fixed_ips[0]["ip_address"]}
    forwarding = network.create_port_forwarding(
        floatingip_id=outside.id, protocol="tcp", external_port=80, internal_port=8080, **inside
    )
    before["floating_ips"] = there(source)["floating_ips"]

    listed = cli("cleanup-source", moved, "--dry-run")
    assert f"to be deleted at {source.entry}:" in listed
    assert "boot, data" in listed
    cli("cleanup-source", moved, "--server", "nobody", "--yes", code=2)
    assert "Aborted" in cli("cleanup-source", moved, input_="n\n", code=1)
    said = cli("cleanup-source", moved, "--server", "db", "--yes", code=1)
    assert "snapshot 'monday' of volume" in said
    assert "forwarding of tcp port 80 to its port 8080: not moved, and server 'db' is needed for it" in said
    assert there(source) == before
    storage.delete_snapshot(snapshot)
    storage.wait_for_delete(snapshot)
    network.delete_port_forwarding(forwarding.id, outside.id)
    network.delete_ip(outside)

    listening, killed, environ = threading.Event(), threading.Event(), {"OS_CLIENT_CONFIG_FILE": str(clouds_file.path)}
    killer = threading.Thread(target=kill_when_claimed, args=(stack, environ, moved, listening, killed))
    killer.start()
    assert listening.wait(20)
    said = cli("cleanup-source", moved, "--server", "db", "--yes")
    killer.join(30)
    assert killed.is_set()
    assert "deleted    server db" in said
    assert there(source) == {"servers": [], "volumes": [], "ports": [], "floating_ips": []}
    assert {name: sha256(destination, v.id) for name, v in volumes(destination).items()} == digests
    assert [s.status for s in destination.connect().compute.servers() if s.name == "db"] == ["SHUTOFF"]

    assert "deleted at the source by cleanup-source" in cli("undo", moved, "--yes", code=2)
    assert "nothing is to be deleted" in cli("cleanup-source", moved, "--yes")
    assert there(destination)["servers"] == ["db"]


def test_a_server_that_runs_or_ran_again_or_has_not_arrived_stays(source, destination, server, moved, cli):  # noqa: F811
    before, compute = there(source), source.connect().compute
    compute.start_server(server)
    compute.wait_for_server(server, "ACTIVE", interval=0.3)
    assert "is not stopped at the source (ACTIVE): nothing was deleted" in cli("cleanup-source", moved, "--yes", code=1)
    compute.stop_server(server)
    compute.wait_for_server(server, "SHUTOFF", interval=0.3)
    assert "ran again at the source (start at 2" in cli("cleanup-source", moved, "--yes", code=1)
    other = destination.connect().compute
    (copy,) = [s for s in other.servers() if s.name == "db"]
    other.start_server(copy)
    other.wait_for_server(copy, "ACTIVE", interval=0.3)
    other.pause_server(copy)
    other.wait_for_server(copy, "PAUSED", interval=0.3)
    said = cli("cleanup-source", moved, "--yes", code=1)
    assert "is PAUSED at the destination: nothing was deleted" in said
    assert there(source) == before
    assert "told to undo" in cli("undo", moved, "--yes")
    cli("watch", moved)
    assert there(destination) == {"servers": [], "volumes": [], "ports": [], "floating_ips": []}
    assert there(source) == before
