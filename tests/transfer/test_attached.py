"""A volume's device is found by its id, or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from stackferry_transfer.disk.attached import find, names, wait_for
from stackferry_transfer.errors import DeviceAmbiguous, DeviceMissing

VOLUME = "0c1d2e3f-4a5b-6c7d-8e9f-a0b1c2d3e4f5"
TWIN = "0c1d2e3f-4a5b-6c7d-8e9f-ffffffffffff"  # the same first 20 characters


def link(folder: Path, name: str, device: str = "vdb") -> Path:
    target = folder / device
    target.touch()
    (folder / "by-id").mkdir(exist_ok=True)
    (folder / "by-id" / name).symlink_to(f"../{device}")
    return target


@pytest.mark.parametrize(
    "name",
    ["virtio-0c1d2e3f-4a5b-6c7d-8", f"scsi-0QEMU_QEMU_HARDDISK_{VOLUME}", "scsi-0QEMU_QEMU_HARDDISK_0c1d2e3f-4a5b-6c7d-8",
     f"scsi-SQEMU_QEMU_HARDDISK_{VOLUME}", "scsi-SQEMU_QEMU_HARDDISK_0c1d2e3f-4a5b-6c7d-8", "ata-QEMU_HARDDISK_0c1d2e3f-4a5b-6c7d-8"],
)  # fmt: skip
def test_each_way_of_naming_is_known(tmp_path: Path, name: str) -> None:
    assert find(VOLUME, link(tmp_path, name).parent / "by-id") == tmp_path / "vdb"


def test_several_links_to_one_device_are_fine(tmp_path: Path) -> None:
    link(tmp_path, f"scsi-0QEMU_QEMU_HARDDISK_{VOLUME}", "sdb")
    link(tmp_path, f"scsi-SQEMU_QEMU_HARDDISK_{VOLUME}", "sdb")
    assert find(VOLUME, tmp_path / "by-id") == tmp_path / "sdb"


def test_two_devices_are_ambiguous(tmp_path: Path) -> None:
    link(tmp_path, f"scsi-0QEMU_QEMU_HARDDISK_{VOLUME}", "sdb")
    link(tmp_path, f"virtio-{TWIN[:20]}", "vdb")
    with pytest.raises(DeviceAmbiguous, match="sdb and .*vdb"):
        find(VOLUME, tmp_path / "by-id")


def test_neither_partitions_nor_other_volumes_nor_dangling_links_are_it(tmp_path: Path) -> None:
    link(tmp_path, f"virtio-{VOLUME[:20]}-part1", "vdb1")
    link(tmp_path, f"scsi-0QEMU_QEMU_HARDDISK_{TWIN}", "sdb")
    link(tmp_path, f"virtio-{VOLUME[:20]}", "vdc").unlink()
    with pytest.raises(DeviceMissing, match=VOLUME):
        find(VOLUME, tmp_path / "by-id")


def test_a_folder_that_is_not_there_has_no_devices(tmp_path: Path) -> None:
    with pytest.raises(DeviceMissing):
        find(VOLUME, tmp_path / "none")


@pytest.mark.parametrize("volume", ["", "../vda", "a/b", "*", "-x", "x" * 65])
def test_what_is_no_id_is_refused(volume: str) -> None:
    with pytest.raises(ValueError):
        names(volume)


def test_it_is_awaited(tmp_path: Path) -> None:
    timer = threading.Timer(0.05, link, (tmp_path, f"virtio-{VOLUME[:20]}"))
    timer.start()
    assert wait_for(VOLUME, tmp_path / "by-id", seconds=60, poll=0.01) == tmp_path / "vdb"
    timer.join()


def test_waiting_has_an_end(tmp_path: Path) -> None:
    with pytest.raises(DeviceMissing):
        wait_for(VOLUME, tmp_path, seconds=0.02, poll=0.01)


def test_stop_ends_the_waiting(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(DeviceMissing):
        wait_for(VOLUME, tmp_path, seconds=1e6, stop=stop)
