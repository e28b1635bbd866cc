"""Payloads of images as files: which folders may be used, how files are named and found."""

from __future__ import annotations

import pytest
from stackferry_runtime import blobs

ID = "9f0c1c2e-6c6b-4a0e-8f0e-3a6ed3c7b1aa"


def test_a_service_uses_no_folder_unless_it_was_told_one(tmp_path):
    with pytest.raises(blobs.Refused, match="STACKFERRY_BLOBS_DIR"):
        blobs.folder(str(tmp_path), "")


def test_only_folders_inside_the_allowed_one_are_used(tmp_path):
    allowed = tmp_path / "blobs"
    (allowed / "inside").mkdir(parents=True)
    (allowed / "link").symlink_to(tmp_path)
    assert blobs.folder(str(allowed / "inside"), str(allowed)) == allowed / "inside"
    for outside in (tmp_path, allowed / ".." / "other", allowed / "link" / "other", tmp_path / "blobs2"):
        with pytest.raises(blobs.Refused, match="outside"):
            blobs.folder(str(outside), str(allowed))


@pytest.mark.parametrize("name", ["plain", "", "with/slash", "образ " * 60, "a\0b", "..", "x.part"])
def test_whatever_an_image_is_called_its_file_is_found(tmp_path, name):
    file = tmp_path / blobs.file_name(ID, name)
    file.write_bytes(b"payload")
    (tmp_path / f"{ID[:-1]}b-other").touch()
    assert file.parent == tmp_path
    assert blobs.find(tmp_path, ID) == file


def test_a_missing_or_ambiguous_file_is_named(tmp_path):
    with pytest.raises(blobs.Refused, match=f"no files in .* begin with {ID}-"):
        blobs.find(tmp_path / "nowhere", ID)
    (tmp_path / f"{ID}-a").touch()
    (tmp_path / f"{ID}-b").touch()
    with pytest.raises(blobs.Refused, match="2 files"):
        blobs.find(tmp_path, ID)
