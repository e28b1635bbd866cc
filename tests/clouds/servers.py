"""Servers with disks for tests of many of them; and all that a project has, to be compared with what it had."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stackferry.resources.conversion import METADATA

MIB = 1 << 20


def ground(tenant: Any) -> Any:
    """A network of servers, with a way out for floating IPs; return it."""
    network = tenant.connect().network
    net = network.create_network(name="net")
    v4 = network.create_subnet(network_id=net.id, name="v4", ip_version=4, cidr="10.5.0.0/22")
    outside = next(iter(network.networks(is_router_external=True)))
    router = network.create_router(name="edge", external_gateway_info={"network_id": outside.id})
    network.add_interface_to_router(router, subnet=v4.id)
    return net


def disk(tenant: Any, name: str, blocks: Iterable[int], bootable: bool = False) -> Any:
    """A volume of 1 GiB with noise in these blocks of 1 MiB."""
    storage = tenant.connect().block_storage
    made = storage.wait_for_status(storage.create_volume(name=name, size=1), "available", interval=0.2)
    if bootable:
        storage.set_volume_bootable_status(made, True)
    with tenant.box.volume_file(tenant.cloud, made.id).open("r+b") as content:
        for block in blocks:
            content.seek(block * MIB)
            content.write(random.Random(f"{name} {block}").randbytes(MIB))
    return made


def server(tenant: Any, name: str, net: Any, disks: list[Any], floating: bool = False, trunk: bool = False) -> Any:
    """A server that runs and starts from the first of its disks; its port may carry another one in a *trunk*."""
    compute, network = tenant.connect().compute, tenant.connect().network
    mapping = [
        {"boot_index": 0 if disk is disks[0] else -1, "uuid": disk.id, "source_type": "volume",
         "destination_type": "volume"} for disk in disks
    ]  # fmt: skip
    port = network.create_port(network_id=net.id)
    if trunk:
        inside = network.create_port(network_id=net.id, mac_address=port.mac_address.replace("fa:16", "fa:17"))
        place = {"port_id": inside.id, "segmentation_type": "vlan", "segmentation_id": 7}
        network.create_trunk(name=f"{name}-trunk", port_id=port.id, sub_ports=[place])
    flavor = compute.find_flavor("m1.tiny", ignore_missing=False)
    made = compute.create_server(
        name=name, flavor_id=flavor.id, networks=[{"port": port.id}], block_device_mapping=mapping
    )
    if floating:
        outside = next(iter(network.networks(is_router_external=True)))
        network.create_ip(floating_network_id=outside.id, port_id=port.id)
    return compute.wait_for_server(made, interval=0.3)


def content(tenant: Any, volume_id: str) -> str:
    """A digest of a volume's blocks that hold anything, and of where they are."""
    with tenant.box.volume_file(tenant.cloud, volume_id).open("rb") as file:
        return digest(file.fileno())


def digest(descriptor: int) -> str:
    """Holes aren't read, and are the same as zeros."""
    total, at = hashlib.sha256(), 0
    size = os.lseek(descriptor, 0, os.SEEK_END)
    while (at := _data(descriptor, at, size) // MIB * MIB) < size:
        block = os.pread(descriptor, MIB, at)
        if block.strip(b"\0"):
            total.update(f"{at} ".encode() + block)
        at += MIB
    return total.hexdigest()


def _data(descriptor: int, at: int, size: int) -> int:
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError:  # nothing but a hole from here on
        return size


def state_of(tenant: Any) -> dict[str, Any]:
    """All that servers are made of, with ids; what is on the conversion hosts; and what the disks hold."""
    c = tenant.connect()
    servers = list(c.compute.servers())
    volumes = list(c.block_storage.volumes())
    found = {
        "servers": {s.id: (s.name, s.status, s.task_state) for s in servers},
        "volumes": {
            v.id: (v.name, v.status, v.metadata, [(a["server_id"], a["device"]) for a in v.attachments])
            for v in volumes
        },
        "snapshots": {s.id: s.name for s in c.block_storage.snapshots()},
        "images": {i.id: i.name for i in c.image.images(owner=c.current_project_id)},
        "ports": {
            p.id: (p.device_id, p.device_owner) for p in c.network.ports(project_id=c.current_project_id)
            if p.device_owner != "network:dhcp"
        },
        "trunks": {t.id: (t.port_id, t.sub_ports) for t in c.network.trunks(project_id=c.current_project_id)},
        "floating_ips": {i.id: (i.floating_ip_address, i.port_id) for i in c.network.ips()},
        "contents": {v.id: content(tenant, v.id) for v in volumes},
        "devices": [d for s in servers if s.metadata == METADATA for d in devices(tenant, s.id)],
    }  # fmt: skip
    return found


def devices(tenant: Any, server_id: str) -> list[Path]:
    """The volumes that a server sees."""
    return sorted((tenant.box.server_folder(tenant.cloud, server_id) / "dev/disk/by-id").glob("virtio-*"))


def device(tenant: Any, server_id: str, volume_id: str) -> Path:
    """How a server sees a volume."""
    return tenant.box.server_folder(tenant.cloud, server_id) / "dev/disk/by-id" / f"virtio-{volume_id[:20]}"


def powered(tenant: Any, server_id: str) -> bool:
    """Whether a server's guest runs right now."""
    description = tenant.box.server_folder(tenant.cloud, server_id) / "server.json"
    return bool(json.loads(description.read_text()).get("power_state") == 1)
