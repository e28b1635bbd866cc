"""Which disk a server starts from, and what Nova is told of all of them."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry.resources import KINDS
from stackferry.resources.boot_disk import boot_volume, unclear
from stackferry.resources.server_disks import mapping

from .projects import Document


def disk(device: str | None, bootable: bool = False, since: str | None = None, **info: Any) -> Document:
    attachments = [{"device": device, "attached_at": since}] if device or since else []
    info |= {"id": device, "attachments": attachments, "is_bootable": bootable}
    return {"type": KINDS["volume"].type, "params": {"name": "disk"}, "_info": info}


def server(disks: list[Document], root: str | None = None, image: Any = None) -> Document:
    return {"params": {"volumes": disks, "image_ref": image}, "_info": {"root_device_name": root}}


EARLY, LATE = "2026-01-01T00:00:00.000000", "2026-01-02T00:00:00.000000"


@pytest.mark.parametrize(
    ("disks", "root", "boot"),
    [
        ([], None, None),
        ([disk("/dev/vda", True), disk("/dev/vdb")], None, 0),
        ([disk("/dev/vdb", True), disk("/dev/vda", True)], None, 1),
        ([disk("/dev/vdb"), disk("/dev/vda")], None, 1),
        ([disk("/dev/sdb"), disk("/dev/sda", True)], None, 1),
        ([disk("/dev/sda"), disk("/dev/vda", True)], None, 1),
        ([disk(None), disk(None, True)], None, 1),
        ([disk(None)], None, 0),
        ([disk("/dev/sda", True), disk("/dev/vda", True)], "/dev/vda", 1),
        ([disk("/dev/vda", True), disk("/dev/vdb")], "/dev/vdb", 1),
        ([disk("/dev/sda", True), disk("/dev/vda", True)], "/dev/xvda", None),
        ([disk("/dev/sda", True, LATE), disk("/dev/vda", True, EARLY)], None, 1),
        ([disk("/dev/sda", True, EARLY), disk("/dev/vda", True, EARLY)], None, None),
        ([disk("/dev/sda", True, EARLY), disk("/dev/vda", True)], None, None),
        ([disk("/dev/vdb", True, EARLY), disk("/dev/vda", True, LATE)], None, 1),
        ([disk("/dev/vdb", False, EARLY), disk("/dev/sda", True, LATE), disk("/dev/vda", True, LATE)], None, None),
        ([disk("/dev/sda", True), disk("/dev/vda", True, boot_index=0)], None, 1),
        ([disk("/dev/vda", True, boot_index=-1), disk("/dev/vdb", boot_index=0)], "/dev/vda", 1),
        ([disk(None), disk(None)], None, None),
    ],
)
def test_which_of_its_volumes_a_server_starts_from(disks: list[Document], root: str | None, boot: int | None) -> None:
    assert boot_volume(server(disks, root)) == boot
    assert boot_volume(server(disks, root, {"name": "base"})) is None
    assert (unclear(server(disks, root)) is None) is (boot is not None or not disks)
    assert unclear(server(disks, root, {"name": "base"})) is None


def test_who_must_say_what_a_server_starts_from_is_told_what_to_write() -> None:
    said = unclear(server([disk("/dev/sda", True), disk("/dev/vda", True)]))
    assert said == ("nothing says which volume it starts from ('disk' at /dev/sda, 'disk' at /dev/vda): "
                    "write boot_index: 0 into _info of that one")  # fmt: skip


def of(id_: str, index: int, dies: bool) -> dict[str, Any]:
    return {"source_type": "volume", "destination_type": "volume", "uuid": id_, "boot_index": index,
            "delete_on_termination": dies}  # fmt: skip


def dying(document: Document, dies: bool | None) -> Document:
    document["_info"]["attachments"][0]["delete_on_termination"] = dies
    return document


IMAGE = {
    "source_type": "image",
    "destination_type": "local",
    "uuid": "i",
    "boot_index": 0,
    "delete_on_termination": True,
}
BOOT, DATA = disk("/dev/vda", True), disk("/dev/vdb")


@pytest.mark.parametrize(
    ("image", "disks", "hints", "expected"),
    [
        (None, [BOOT, DATA], {"volume_ids": ["a", "b"]}, [of("a", 0, True), of("b", -1, False)]),
        (None, [DATA, BOOT], {"volume_ids": ["a", "b"]}, [of("b", 0, True), of("a", -1, False)]),
        (None, [dying(disk("/dev/vda", True), False), dying(disk("/dev/vdb"), True)], {"volume_ids": ["a", "b"]},
         [of("a", 0, False), of("b", -1, True)]),
        (None, [dying(disk("/dev/vda", True), None), DATA], {"volume_ids": ["a", None]}, [of("a", 0, True)]),
        ("i", [DATA], {"volume_ids": ["a"]}, [IMAGE, of("a", -1, False)]),
        ("i", [DATA], {"volume_ids": [None]}, None),
        ("i", [], {}, None),
        ("i", [DATA], {"volume_ids": ["a"], "boot_volume_id": "c"}, [of("c", 0, True), of("a", -1, False)]),
        (None, [BOOT], {"volume_ids": ["a"], "boot_volume_id": "c"}, [of("c", 0, True), of("a", -1, False)]),
        (None, [], {"volume_ids": [], "boot_volume_id": "c"}, [of("c", 0, True)]),
        (None, [disk("/dev/sda", True), disk("/dev/vda", True)], {"volume_ids": ["a", "b"], "boot_volume": 1},
         [of("b", 0, True), of("a", -1, False)]),
    ],
)  # fmt: skip
def test_disks_are_told_to_nova(image: str | None, disks: list[Document], hints: Any, expected: Any) -> None:
    for_nova = mapping({"image": image, "volumes": disks}, hints)
    assert for_nova.get("block_device_mapping") == expected
    assert for_nova.get("image_id") == (image if not hints.get("boot_volume_id") else None)
