"""Credentials of services that are started on this machine: those that the user's own tools would find."""

from __future__ import annotations

from pathlib import Path

from stackferry_cli.local.credentials import variables

CLOUDS, SECURE = "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"


def test_the_variable_of_openstack_wins_and_becomes_absolute(tmp_path: Path) -> None:
    (tmp_path / "clouds.yaml").touch()
    (kept := tmp_path / "kept.yaml").touch()
    assert variables(tmp_path, {CLOUDS: "my/clouds.yaml"}, kept) == {CLOUDS: str(tmp_path / "my/clouds.yaml")}
    assert variables(tmp_path, {CLOUDS: "/my/clouds.yaml"}, kept) == {CLOUDS: "/my/clouds.yaml"}


def test_files_of_the_folder_come_before_those_of_an_earlier_start(tmp_path: Path) -> None:
    (kept := tmp_path / "kept.yaml").touch()
    assert variables(tmp_path, {}, kept) == {CLOUDS: str(kept)}
    for name in ("clouds.yml", "secure.yaml"):
        (tmp_path / name).touch()
    found = {CLOUDS: str(tmp_path / "clouds.yml"), SECURE: str(tmp_path / "secure.yaml")}
    assert variables(tmp_path, {}, kept) == found


def test_otherwise_openstacksdk_looks_itself(tmp_path: Path) -> None:
    assert variables(tmp_path, {}, tmp_path / "none") == {}
