"""What nova does with our servers, on a running cloud."""

from typing import Any

import pytest
from openstack.exceptions import ConflictException

pytestmark = pytest.mark.clouds


def root_of(image: str, **more: Any) -> dict[str, Any]:
    return {"uuid": image, "source_type": "image", "boot_index": 0, "volume_size": 1} | more


def volume_of(volume: Any, **more: Any) -> dict[str, Any]:
    return {"uuid": volume.id, "source_type": "volume", "destination_type": "volume"} | more


def test_a_server_boots_from_volumes(kit: Any) -> None:
    root, data = kit.volume(image_id=kit.image()), kit.volume()
    mapping = [
        volume_of(root, boot_index=0, delete_on_termination=True),
        volume_of(data, boot_index=-1, delete_on_termination=False),
    ]
    server = kit.server(flavor="v1.small", block_device_mapping=mapping)
    folder = kit.folder(server)
    assert (folder / "dev/vda").readlink() == kit.file(root)
    assert (folder / "dev/vdb").readlink() == kit.file(data)
    assert not (folder / "root.raw").exists()
    found = {each.volume_id: each for each in kit.cloud.compute.volume_attachments(server)}
    assert found[root.id].delete_on_termination is True
    assert found[data.id].delete_on_termination is False
    assert found[data.id].device == "/dev/vdb"
    kit.delete(server)
    kit.cloud.block_storage.wait_for_delete(root, interval=0.1)
    kit.settled(data, "available")


def test_a_server_makes_its_own_boot_volume(kit: Any) -> None:
    mapping = [root_of(kit.image(), destination_type="volume", delete_on_termination=True)]
    server = kit.server(flavor="v1.small", block_device_mapping=mapping)
    (attached,) = kit.cloud.compute.volume_attachments(server)
    volume = kit.cloud.block_storage.get_volume(attached.volume_id)
    assert volume.volume_image_metadata["image_id"] == kit.image()
    kit.delete(server)
    kit.cloud.block_storage.wait_for_delete(volume, interval=0.1)


def test_a_volume_that_is_attached_later_may_go_with_the_server(kit: Any) -> None:
    server, doomed, kept = kit.server(), kit.volume(), kit.volume()
    for volume, ends in ((doomed, True), (kept, False)):
        kit.cloud.compute.create_volume_attachment(server, volume_id=volume.id, delete_on_termination=ends)
        kit.settled(volume, "in-use")
    kit.detach(server, kept)
    kit.attach(server, kept)
    kit.delete(server)
    kit.cloud.block_storage.wait_for_delete(doomed, interval=0.1)
    kit.settled(kept, "available")


def test_an_image_of_a_server_holds_its_root_disk(kit: Any) -> None:
    server = kit.server()
    with (kit.folder(server) / "root.raw").open("r+b") as disk:
        disk.seek(50 << 20)
        disk.write(b"written by the guest")
    kit.cloud.compute.stop_server(server)
    kit.become(server, "SHUTOFF")
    image = kit.cloud.create_image_snapshot("shot", server, wait=True)
    assert image.disk_format == "qcow2"
    assert image.size < 1 << 20
    copy = kit.server("copy", block_device_mapping=[root_of(image.id, destination_type="volume")], flavor="v1.small")
    (attached,) = kit.cloud.compute.volume_attachments(copy)
    with kit.box.volume_file("src", attached.volume_id).open("rb") as disk:
        disk.seek(50 << 20)
        assert disk.read(20) == b"written by the guest"
    assert sorted(path.name for path in kit.folder(server).iterdir()) == ["dev", "root.raw", "server.json"]


def test_groups_tags_metadata_and_keys(kit: Any) -> None:
    compute = kit.cloud.compute
    group = compute.create_server_group(name="g", policy="soft-anti-affinity")
    server = kit.server(
        scheduler_hints={"group": group.id}, tags=["a", "ü"], metadata={"k": "v"}, config_drive=True, description="d"
    )
    assert server.id in compute.get_server_group(group.id).member_ids
    found = compute.get_server(server.id)
    assert sorted(found.tags) == ["a", "ü"]
    assert found.metadata == {"k": "v"}
    assert found.has_config_drive in (True, "True")
    assert found.description == "d"


def test_a_locked_server_refuses(kit: Any) -> None:
    server, compute = kit.server(), kit.cloud.compute
    compute.lock_server(server, locked_reason="being moved")
    assert compute.get_server(server.id).is_locked
    with pytest.raises(ConflictException):
        compute.stop_server(server)
    compute.unlock_server(server)
    compute.stop_server(server)
    kit.become(server, "SHUTOFF")


def test_a_server_is_rescued_shelved_paused_and_comes_back(kit: Any) -> None:
    server, compute = kit.server(), kit.cloud.compute
    for there, away, back in (
        (compute.rescue_server, "RESCUE", compute.unrescue_server),
        (compute.shelve_server, "SHELVED_OFFLOADED", compute.unshelve_server),
        (compute.pause_server, "PAUSED", compute.unpause_server),
        (compute.suspend_server, "SUSPENDED", compute.resume_server),
    ):
        there(server)
        kit.become(server, away)
        back(server)
        kit.become(server, "ACTIVE")


def test_a_floating_ip_leads_to_a_port_of_a_server(kit: Any, wait: Any) -> None:
    network = kit.cloud.network
    public = network.find_network("public")
    router = network.create_router(name="r", external_gateway_info={"network_id": public.id})
    (subnet,) = network.subnets(network_id=kit.network())
    network.add_interface_to_router(router, subnet=subnet.id)
    port = network.create_port(
        network_id=kit.network(),
        fixed_ips=[{"subnet_id": subnet.id, "ip_address": "10.9.0.77"}],
        allowed_address_pairs=[{"ip_address": "10.9.0.99"}],
    )
    server = kit.server(networks=[{"port": port.id}])
    ip = network.create_ip(floating_network_id=public.id, port_id=port.id)
    assert ip.fixed_ip_address == "10.9.0.77"

    def addresses() -> dict[str, str]:
        found = kit.cloud.compute.get_server(server.id).addresses["n"]
        return {each["addr"]: each["OS-EXT-IPS:type"] for each in found}

    # neutron tells nova a little later
    assert wait(lambda: addresses() == {"10.9.0.77": "fixed", ip.floating_ip_address: "floating"})
    kit.delete(server)
    assert network.get_port(port.id).device_id == ""
    assert network.get_ip(ip.id).port_id == port.id


def test_a_port_is_attached_and_detached_even_after_nova_was_killed(kit: Any, wait: Any) -> None:
    server, compute = kit.server(), kit.cloud.compute
    port = kit.cloud.network.create_port(network_id=kit.network())
    compute.create_server_interface(server, port_id=port.id)
    kit.box.kill("src", "nova")
    kit.box.up("src")
    compute.delete_server_interface(port.id, server)
    assert wait(lambda: kit.cloud.network.get_port(port.id).device_id == "")
