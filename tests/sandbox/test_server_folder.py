"""The folder that stands for a server."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from stackferry_sandbox.layout import INSIDE

VOLUME = "0ef0a845-7286-4de5-b111-222233334444"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(INSIDE)
    found = importlib.import_module("stackferry_inside.server_folder").ServerFolder(tmp_path / "server")
    found.make()
    return found


def test_a_volume_appears_by_id_and_by_device(folder: Any, tmp_path: Path) -> None:
    target = tmp_path / "volume"
    target.write_bytes(b"data")
    folder.plug(target, VOLUME, "/dev/vdb")
    assert (folder.path / "dev/disk/by-id/virtio-0ef0a845-7286-4de5-b").read_bytes() == b"data"
    assert (folder.path / "dev/vdb").read_bytes() == b"data"


def test_a_volume_vanishes_and_the_others_stay(folder: Any, tmp_path: Path) -> None:
    folder.plug(tmp_path / "one", VOLUME, "/dev/vdb")
    folder.plug(tmp_path / "two", VOLUME[::-1], "/dev/vdc")
    folder.unplug(tmp_path / "one")
    assert [path.name for path in folder.by_id.iterdir()] == [f"virtio-{VOLUME[::-1][:20]}"]
    assert not (folder.devices / "vdb").is_symlink()
    assert (folder.devices / "vdc").is_symlink()


def test_a_device_name_that_is_used_again_leads_to_the_new_volume(folder: Any, tmp_path: Path) -> None:
    folder.plug(tmp_path / "one", VOLUME, "/dev/vdb")
    folder.plug(tmp_path / "two", VOLUME[::-1], "/dev/vdb")
    assert (folder.devices / "vdb").readlink() == tmp_path / "two"


def test_a_description_grows(folder: Any) -> None:
    assert folder.read() == {}
    folder.update({"name": "web", "power_state": 1})
    folder.update({"power_state": 4})
    assert folder.read() == {"name": "web", "power_state": 4}


def test_a_root_disk_grows_and_never_shrinks(folder: Any) -> None:
    folder.root_disk.write_bytes(b"x" * 100)
    folder.grow_root_disk(1000)
    assert folder.root_disk.stat().st_size == 1000
    folder.grow_root_disk(10)
    assert folder.root_disk.stat().st_size == 1000
