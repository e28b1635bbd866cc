"""Which disk a server starts from, and what Nova is told of all of them."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry.resources import KINDS
from stackferry.resources.server_disks import boot_volume, mapping

from .projects import Document


def disk(device: str | None, bootable: bool = False) -> Document:
    attachments = [{"device": device}] if device else []
    return {"type": KINDS["volume"].type, "params": {}, "_info": {"attachments": attachments, "is_bootable": bootable}}


@pytest.mark.parametrize(
    ("disks", "boot"),
    [
        ([], None),
        ([disk("/dev/vda", True), disk("/dev/vdb")], 0),
        ([disk("/dev/vdb", True), disk("/dev/vda", True)], 1),
        ([disk("/dev/vdaa", True), disk("/dev/vdz", True)], 1),
        ([disk("/dev/sdb"), disk("/dev/sda", True)], 1),
        ([disk(None), disk(None, True)], 1),
        ([disk(None), disk(None)], 0),
    ],
)
def test_a_server_without_an_image_starts_from_its_first_bootable_disk(disks: list[Document], boot: int | None) -> None:
    assert boot_volume({"volumes": disks, "image_ref": None}) == boot
    assert boot_volume({"volumes": disks, "image_ref": {"name": "base"}}) is None


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
    ],
)  # fmt: skip
def test_disks_are_told_to_nova(image: str | None, disks: list[Document], hints: Any, expected: Any) -> None:
    for_nova = mapping({"image": image, "volumes": disks}, hints)
    assert for_nova.get("block_device_mapping") == expected
    assert for_nova.get("image_id") == (image if not hints.get("boot_volume_id") else None)
