"""Ports, floating IPs, forwarded ports and trunks of no server cross between two real clouds, once, and go again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .test_migration import bad, outcomes, writes

pytestmark = pytest.mark.clouds
KINDS = {"free_port": 5, "free_floating_ip": 4, "port_forwarding": 1, "free_trunk": 1}


@pytest.fixture
def seeded(source: Any) -> Any:
    """A network with a router, a VIP with a floating IP, a forwarded port, spare floating IPs, a trunk to be."""
    network = source.connect().network
    public = network.find_network("public", ignore_missing=False)
    net = network.create_network(name="net")
    subnet = network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr="10.9.0.0/24")
    router = network.create_router(name="edge", external_gateway_info={"network_id": public.id})
    network.add_interface_to_router(router, subnet=subnet.id)

    def port(number: int, **more: Any) -> Any:
        address = {"subnet_id": subnet.id, "ip_address": f"10.9.0.{number}"}
        return network.create_port(network_id=net.id, fixed_ips=[address], **more)

    vip = port(50, name="vip", description="of two servers", allowed_address_pairs=[{"ip_address": "10.9.0.99"}])
    network.set_tags(vip, ["ha"])
    port(51)
    behind, parent, inside = port(52), port(53), port(54)
    network.create_trunk(
        name="bundle", port_id=parent.id,
        sub_ports=[{"port_id": inside.id, "segmentation_type": "vlan", "segmentation_id": 7}],
    )  # fmt: skip
    network.create_ip(floating_network_id=public.id, port_id=vip.id, description="the door")
    forwarding = network.create_ip(floating_network_id=public.id)
    network.create_port_forwarding(
        floatingip_id=forwarding.id, internal_port_id=behind.id, internal_ip_address="10.9.0.52", internal_port=22,
        external_port=2222, protocol="tcp", description="log in",
    )  # fmt: skip
    for _ in range(2):
        network.create_ip(floating_network_id=public.id, description="spare")
    return source


def described(tenant: Any) -> dict[str, list[Any]]:
    """What there is, without ids, and without the addresses that a member can't choose."""
    network, project = tenant.connect().network, tenant.connect().current_project_id
    ports = {p.id: p for p in network.ports(project_id=project) if not p.device_owner.startswith("network:")}
    addresses = {id_: p.fixed_ips[0]["ip_address"] for id_, p in ports.items()}
    return {
        "ports": sorted(
            (p.name, p.description, p.mac_address, addresses[p.id], p.device_owner, p.tags,
             [pair["ip_address"] for pair in p.allowed_address_pairs])
            for p in ports.values()
        ),
        "floating IPs": sorted(
            (ip.description, addresses.get(ip.port_id, ""), ip.fixed_ip_address or "",
             [(f.protocol, f.external_port, f.internal_ip_address, f.internal_port, f.description,
               addresses[f.internal_port_id]) for f in network.port_forwardings(ip.id)])
            for ip in network.ips(project_id=project)
        ),
        "trunks": sorted(
            (t.name, addresses[t.port_id], [(addresses[s["port_id"]], s["segmentation_id"]) for s in t.sub_ports])
            for t in network.trunks(project_id=project)
        ),
    }  # fmt: skip


def test_they_cross_a_second_run_writes_nothing_and_undo_removes_them(
    seeded: Any, destination: Any, ferry: Any, sandbox: Any
) -> None:
    plan = ferry.wait(ferry.migrate(seeded.entry, destination.entry, mode="plan"), timeout=120)
    assert bad(plan) == []
    assert plan["stays_behind"] == []
    planned = [step for step in plan["steps"] if step["kind"] in KINDS]
    assert {kind: sum(s["kind"] == kind for s in planned) for kind in KINDS} == KINDS
    assert {s["outcome"] for s in planned} == {"created"}
    notes = [note for step in planned if step["kind"] == "free_floating_ip" for note in step["notes"]]
    assert len([n for n in notes if n.startswith("it gets another address than")]) == KINDS["free_floating_ip"]

    ferry.control(plan["id"], "start")
    state = ferry.wait_for(plan["id"], "done", timeout=120)
    assert bad(state) == []
    assert described(destination) == described(seeded)

    since = time.time()
    again = ferry.wait(ferry.migrate(seeded.entry, destination.entry), timeout=120)
    assert bad(again) == []
    assert set(outcomes(again)) == {"unchanged"}
    assert writes(sandbox, "dst", destination.connect().current_project_id, since) == []

    ferry.control(state["id"], "undo")
    undone = ferry.wait_for(state["id"], "undone", timeout=120)
    assert [s["key"] for s in undone["steps"] if "/undo/" in s["key"] and s["state"] in ("failed", "skipped")] == []
    assert described(destination) == {"ports": [], "floating IPs": [], "trunks": []}
