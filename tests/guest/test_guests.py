"""Servers that are real guests: they boot, have their disks as devices, and outlive nova."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from stackferry_cli.local.processes import until
from stackferry_sandbox.guests import IMAGE
from stackferry_sandbox.processes import Process

from .machine import encoded, network, user_data

pytestmark = [pytest.mark.guest, pytest.mark.timeout(900)]
MIB = 1 << 20


@pytest.fixture
def greeter() -> Iterator[int]:
    """A server on this machine's loopback."""

    class Greet(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"hello from the host\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def volume(connection: Any, name: str) -> Any:
    storage = connection.block_storage
    return storage.wait_for_status(storage.create_volume(name=name, size=1), "available", interval=0.2)


def process_of(box: Any, cloud: str, server: Any) -> Process:
    """A server's QEMU."""
    return Process(*json.loads((box.server_folder(cloud, server.id) / "run/qemu.json").read_text()))


def test_a_server_boots_with_its_user_data_and_reaches_whom_it_may(source, destination, guests, boot, greeter):
    here, there = source.connect(), destination.connect()
    one = boot(here, "one", network(here, "n", "192.168.71.0/24"),
               user_data=encoded(user_data("echo made > /root/by-user-data")))  # fmt: skip
    asked = {"stackferry:guest": "qemu"}  # by its metadata; the flavor says nothing
    two = boot(there, "two", network(there, "n", "192.168.72.0/24"), flavor="m1.tiny", metadata=asked)
    one.wait(), two.wait()
    assert one.run("cat /root/by-user-data") == "made"
    assert one.run("hostname") == "one"
    assert one.run("cat /sys/class/dmi/id/product_uuid") == one.server.id
    assert "Debian" in one.run("cat /etc/os-release")
    with guests.network.relay(("127.0.0.1", greeter)) as (host, port):
        assert one.run(f"cat < /dev/tcp/{host}/{port}") == "hello from the host"
    assert one.run(f"echo '\"hostname\"' > /dev/tcp/{two.address}/7000 && echo reached") == "reached"
    assert one.run("(: < /dev/tcp/198.51.100.2/80) 2>&1 || true").endswith("Network is unreachable")
    assert "cloud-init final" in one.console()


def test_volumes_come_and_go_as_block_devices(source, boot):
    cloud, box = source.connect(), source.box
    guest = boot(cloud, "disks", network(cloud, "n", "192.168.71.0/24")).wait()
    made = volume(cloud, "data")
    file = box.volume_file("src", made.id)
    with file.open("r+b") as content:
        content.write(made.id.encode())
    cloud.compute.create_volume_attachment(guest.server, volume_id=made.id)
    assert until(lambda: made.id[:20] in guest.disks(), 30)
    device = guest.disks()[made.id[:20]]
    assert guest.run(f"blockdev --getsize64 {device}") == str(1 << 30)
    assert guest.run(f"stat -L -c %F /dev/disk/by-id/virtio-{made.id[:20]}") == "block special file"
    assert guest.run(f"dd if={device} iflag=direct bs=4096 count=1 status=none | head -c 36") == made.id
    guest.run(f"echo by-the-guest | dd of={device} bs=4096 seek=1 conv=fsync,notrunc status=none")
    with file.open("rb") as content:
        content.seek(4096)
        assert content.read(12) == b"by-the-guest"
    before = file.stat().st_blocks
    guest.run(f"dd if=/dev/urandom of={device} bs=1M seek=8 count=8 conv=fsync status=none")
    assert file.stat().st_blocks - before >= 8 * MIB // 512
    guest.run(f"blkdiscard -o $((8 << 20)) -l $((8 << 20)) {device}")
    assert file.stat().st_blocks - before < MIB // 512

    cloud.block_storage.extend_volume(made, 2)
    assert until(lambda: guest.run(f"blockdev --getsize64 {device}") == str(2 << 30), 30)
    cloud.compute.delete_volume_attachment(guest.server, made)
    cloud.block_storage.wait_for_status(made.fetch(cloud.block_storage), "available", interval=0.2)
    assert made.id[:20] not in guest.disks()
    assert guest.run(f"test -e {device} || echo gone") == "gone"


def test_a_guest_outlives_nova_and_follows_its_servers_power(source, boot):
    cloud, box = source.connect(), source.box
    guest = boot(cloud, "power", network(cloud, "n", "192.168.71.0/24")).wait()
    made, process = volume(cloud, "data"), process_of(box, "src", guest.server)
    began = guest.run("cat /proc/sys/kernel/random/boot_id")
    box.kill("src", "nova")
    assert guest.run("cat /proc/sys/kernel/random/boot_id") == began
    box.up("src")
    cloud.compute.create_volume_attachment(guest.server, volume_id=made.id)
    assert until(lambda: made.id[:20] in guest.disks(), 60)
    assert process_of(box, "src", guest.server) == process

    cloud.compute.reboot_server(guest.server, "SOFT")
    guest.become("ACTIVE")
    guest.wait()
    assert guest.run("cat /proc/sys/kernel/random/boot_id") != began
    assert made.id[:20] in guest.disks()  # by its id: its name may be another now

    guest.run("systemctl poweroff")
    assert until(lambda: not process_of(box, "src", guest.server).alive, 60)
    guest.become("SHUTOFF")
    cloud.compute.start_server(guest.server)
    guest.become("ACTIVE")
    process, folder = process_of(box, "src", guest.server), box.server_folder("src", guest.server.id)
    guest.wait()

    cloud.compute.delete_server(guest.server)
    cloud.compute.wait_for_delete(guest.server, interval=0.3)
    assert not process.alive
    assert not folder.exists()
    cloud.block_storage.wait_for_status(made.fetch(cloud.block_storage), "available", interval=0.2)


def test_a_server_boots_from_a_volume_and_a_stop_of_the_cloud_ends_it(source, boot, sandbox, guests):
    cloud = source.connect()
    image = cloud.image.find_image(IMAGE)
    root = cloud.block_storage.create_volume(name="root", size=2, image_id=image.id)
    cloud.block_storage.wait_for_status(root, "available", interval=0.3, wait=120)
    mapping = [{"boot_index": 0, "uuid": root.id, "source_type": "volume", "destination_type": "volume"}]
    guest = boot(cloud, "from-volume", network(cloud, "n", "192.168.71.0/24"), block_device_mapping=mapping).wait()
    assert guest.disks()[root.id[:20]] == "/dev/vda"
    assert guest.run("findmnt -n -o SOURCE /") == "/dev/vda"
    process = process_of(sandbox, "src", guest.server)
    guest.run("sync")  # it is as if the power failed
    sandbox.down("src")
    assert not process.alive
    sandbox.up("src")
    guest.wait()
    guest.become("ACTIVE")
