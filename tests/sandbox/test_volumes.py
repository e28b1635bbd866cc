"""What cinder does with our volumes, on a running cloud."""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.exceptions import BadRequestException, HttpException
from stackferry_sandbox import Sandbox, SandboxError

pytestmark = pytest.mark.clouds

MIB = 1 << 20


def scribble(path: Path, *places: int) -> bytes:
    """Write some MiB into a volume; returns what its first 64 MiB then are."""
    with path.open("r+b") as file:
        for place in places:
            file.seek(place * MIB)
            file.write(os.urandom(MIB))
    return beginning(path)


def beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64 * MIB)


@pytest.fixture
def admin_types(sandbox: Sandbox) -> Iterator[Any]:
    """Makes volume types, which only an administrator can. Name it before the kit: its volumes have to go first."""
    with sandbox.connect("src-admin") as admin:
        made = []

        def make(**specs: str) -> Any:
            made.append(admin.block_storage.create_type(name=f"type-{uuid.uuid4().hex[:8]}", extra_specs=specs))
            return made[-1]

        yield make
        for each in made:
            admin.block_storage.delete_type(each)


def test_a_volume_has_a_file(kit: Any, sandbox: Sandbox) -> None:
    volume = kit.volume(metadata={"a": "ü"}, description="d", availability_zone="nova")
    assert volume.availability_zone == "nova"
    assert kit.file(volume).stat().st_size == 1 << 30
    assert kit.file(volume).stat().st_blocks == 0
    with pytest.raises(SandboxError, match="no volume"):
        sandbox.volume_file("src", "00000000-0000-0000-0000-000000000000")


def test_an_availability_zone_that_is_not_there_is_not_taken_amiss(kit: Any) -> None:
    assert kit.volume(availability_zone="elsewhere").availability_zone == "nova"


def test_a_snapshot_keeps_what_was_and_becomes_a_larger_volume(kit: Any) -> None:
    volume, storage = kit.volume(), kit.cloud.block_storage
    was = scribble(kit.file(volume), 0, 5, 40)
    snapshot = kit.settled(storage.create_snapshot(volume_id=volume.id, name="s"), "available")
    scribble(kit.file(volume), 5)
    copy = kit.volume(size=2, snapshot_id=snapshot.id)
    assert beginning(kit.file(copy)) == was
    assert kit.file(copy).stat().st_size == 2 << 30
    assert kit.file(copy).stat().st_blocks * 512 < 4 * MIB


def test_a_volume_in_use_is_copied_with_force(kit: Any) -> None:
    volume, storage = kit.volume(), kit.cloud.block_storage
    kit.attach(kit.server(), volume)
    was = scribble(kit.file(volume), 1, 60)
    with pytest.raises(BadRequestException):
        storage.create_snapshot(volume_id=volume.id)
    snapshot = kit.settled(storage.create_snapshot(volume_id=volume.id, force=True), "available")
    began = time.monotonic()
    copy = kit.volume(snapshot_id=snapshot.id)
    assert time.monotonic() - began < 10
    assert beginning(kit.file(copy)) == was
    storage.delete_volume(copy)
    storage.wait_for_delete(copy, interval=0.1)
    storage.delete_snapshot(snapshot)
    storage.wait_for_delete(snapshot, interval=0.1)
    kit.settled(volume, "in-use")


def test_a_volume_is_cloned(kit: Any) -> None:
    volume = kit.volume()
    was = scribble(kit.file(volume), 3)
    assert beginning(kit.file(kit.volume(source_volume_id=volume.id))) == was


def test_a_volume_of_an_image_has_its_metadata_and_its_holes(kit: Any) -> None:
    data = os.urandom(MIB) + bytes(20 * MIB) + os.urandom(MIB)
    properties = {"hw_firmware_type": "uefi", "min_disk": 1}
    image = kit.cloud.create_image("i2", data=data, disk_format="raw", container_format="bare", meta=properties)
    volume = kit.volume(image_id=image.id)
    assert beginning(kit.file(volume))[: len(data)] == data
    assert kit.file(volume).stat().st_blocks * 512 < 4 * MIB
    assert volume.is_bootable
    assert volume.volume_image_metadata["hw_firmware_type"] == "uefi"


def test_image_metadata_and_the_bootable_flag_can_be_given(kit: Any) -> None:
    volume, storage = kit.volume(), kit.cloud.block_storage
    assert not volume.is_bootable
    storage.set_volume_bootable_status(volume, True)
    given = {"hw_firmware_type": "uefi", "hw_disk_bus": "scsi", "hw_scsi_model": "virtio-scsi"}
    storage.set_volume_image_metadata(volume, **given)
    found = storage.get_volume(volume.id)
    assert found.is_bootable
    assert found.volume_image_metadata == given
    storage.delete_volume_image_metadata(volume, ["hw_disk_bus"])
    storage.set_volume_bootable_status(volume, False)
    found = storage.get_volume(volume.id)
    assert not found.is_bootable
    assert set(found.volume_image_metadata) == {"hw_firmware_type", "hw_scsi_model"}


def test_a_volume_grows_and_never_shrinks(kit: Any) -> None:
    volume, storage = kit.volume(), kit.cloud.block_storage
    storage.extend_volume(volume, 3)
    assert kit.settled(volume, "available").size == 3
    assert kit.file(volume).stat().st_size == 3 << 30
    with pytest.raises(BadRequestException):
        storage.extend_volume(volume, 2)


def test_a_volume_has_a_type(admin_types: Any, kit: Any) -> None:
    kind = admin_types(volume_backend_name="file")
    volume = kit.volume(volume_type=kind.name)
    assert volume.volume_type == kind.name


def test_a_volume_is_attached_to_two_servers(admin_types: Any, kit: Any, wait: Any) -> None:
    kind = admin_types(multiattach="<is> True")
    volume, servers = kit.volume(volume_type=kind.name), [kit.server("one"), kit.server("two")]
    assert volume.is_multiattach

    def attached() -> set[str]:
        return {each["server_id"] for each in kit.cloud.block_storage.get_volume(volume.id).attachments}

    for number, server in enumerate(servers, 1):
        kit.cloud.compute.create_volume_attachment(server, volume_id=volume.id)
        assert wait(lambda number=number: len(attached()) == number)
    assert attached() == {server.id for server in servers}
    assert all((kit.folder(server) / "dev/vdb").readlink() == kit.file(volume) for server in servers)
    kit.delete(servers[0])
    assert attached() == {servers[1].id}
    kit.delete(servers[1])
    kit.settled(volume, "available")


def test_quotas_are_kept(kit: Any, sandbox: Sandbox) -> None:
    kit.volume()
    with sandbox.connect("src-admin") as admin:
        project = kit.cloud.current_project_id
        assert admin.block_storage.get_quota_set(project, usage=True).usage["volumes"] == 1
        admin.block_storage.update_quota_set(project, volumes=2, gigabytes=3)
    with pytest.raises(HttpException, match=r"(?i)quota"):
        kit.volume(size=3)
    kit.volume()
    with pytest.raises(HttpException, match=r"(?i)quota"):
        kit.volume()


def test_a_volume_becomes_an_image(kit: Any) -> None:
    volume = kit.volume()
    was = scribble(kit.file(volume), 2)
    storage = kit.cloud.block_storage
    # qcow2, or glance would hash a whole GiB
    answer = storage.upload_volume_to_image(volume, "from-volume", disk_format="qcow2", container_format="bare")
    kit.settled(volume, "available")
    image = kit.cloud.image.get_image(answer["image_id"])
    assert (image.status, image.disk_format) == ("active", "qcow2")
    assert beginning(kit.file(kit.volume(image_id=image.id))) == was
