"""Images through a data directory, with their payloads as files beside the documents."""

from __future__ import annotations

import hashlib
import json

import pytest
from stackferry.errors import InvalidMessage

from .test_images import images, noise, put

pytestmark = pytest.mark.clouds
PAYLOAD = noise("blob", 2)


def sha512(payload: bytes) -> str:
    return hashlib.sha512(payload).hexdigest()


@pytest.fixture
def exported(cli, source, tmp_path):
    """A data directory with two images of a project."""
    id_ = put(source, "golden/образ", PAYLOAD)
    put(source, "other", b"x" * 1000)
    cli("export", tmp_path, "-s", source.entry, "-k", "image", "--image-blobs")
    return tmp_path, id_


def test_payloads_are_exported_and_imported(cli, exported, source, destination):
    directory, id_ = exported
    files = {file.name: file.read_bytes() for file in (directory / "image_blobs").iterdir()}
    assert set(files.values()) == {PAYLOAD, b"x" * 1000}
    assert files[f"{id_}-golden_образ"] == PAYLOAD

    cli("import", directory, "-d", destination.entry)
    there = images(destination)
    assert {name: (i.status, i.hash_value) for name, i in there.items()} == {
        "golden/образ": ("active", sha512(PAYLOAD)),
        "other": ("active", sha512(b"x" * 1000)),
    }
    again = json.loads(cli("import", directory, "-d", destination.entry, "-o", "json"))
    assert {step["outcome"] for step in again["steps"]} == {"unchanged"}


def test_a_second_export_writes_only_what_is_missing_or_wrong(cli, exported, source):
    directory, id_ = exported
    golden, other = sorted((directory / "image_blobs").iterdir(), key=lambda f: not f.name.startswith(id_))
    before = golden.stat().st_mtime_ns
    other.write_bytes(b"y" * 1000)
    assert "2 of 2 payloads" in cli("export", directory, "-s", source.entry, "-k", "image", "--image-blobs")
    assert golden.stat().st_mtime_ns == before
    assert other.read_bytes() == b"x" * 1000


def test_a_file_that_is_not_the_image_makes_no_image_active(cli, exported, destination):
    directory, id_ = exported
    (golden,) = (directory / "image_blobs").glob(f"{id_}-*")
    golden.write_bytes(PAYLOAD[:-1] + b"?")
    said = cli("import", directory, "-d", destination.entry, code=1)
    assert "the payload is not what was announced" in said
    there = images(destination)
    assert (there["golden/образ"].status, there["other"].status) == ("queued", "active")

    golden.write_bytes(PAYLOAD)
    cli("import", directory, "-d", destination.entry)
    assert images(destination)["golden/образ"].hash_value == sha512(PAYLOAD)


def test_a_missing_file_is_named_and_the_others_are_imported(cli, exported, destination):
    directory, id_ = exported
    (golden,) = (directory / "image_blobs").glob(f"{id_}-*")
    golden.unlink()
    said = cli("import", directory, "-d", destination.entry, code=1)
    assert f"no files in {directory}/image_blobs begin with {id_}-" in said
    assert images(destination)["other"].status == "active"


def test_the_folder_can_come_from_os_migrates_variables(cli, source, tmp_path):
    put(source, "golden", PAYLOAD)
    (tmp_path / "vars.yml").write_text(f"os_migrate_image_blobs_dir: {tmp_path}/elsewhere\n")
    words = "-s", source.entry, "-k", "image", "--image-blobs", "--vars", tmp_path / "vars.yml"
    cli("export", tmp_path / "data", *words)
    assert [f.read_bytes() for f in (tmp_path / "elsewhere").iterdir()] == [PAYLOAD]


def test_a_request_that_makes_no_sense_is_refused(ferry, source, tmp_path):
    with pytest.raises(InvalidMessage, match="absolute path"):
        ferry.migrate(source.entry, None, mode="export", image_blobs="relative/path")
    with pytest.raises(InvalidMessage, match="straight from the source"):
        ferry.migrate(source.entry, source.entry, image_blobs=str(tmp_path))
