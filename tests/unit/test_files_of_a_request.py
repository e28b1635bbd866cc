"""What of a data directory has no effect is named before anything is sent."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from stackferry.documents import dump
from stackferry_cli import files

from .test_documents import EXAMPLES

SOURCE = {"cloud": "src"}


def wanted(tmp_path: Path, *documents: Any) -> Any:
    (tmp_path / "resources.yml").write_text(dump(documents))
    ferry: Any = None  # nobody is asked
    return files.wanted(ferry, tmp_path, SOURCE, {})


def test_how_os_migrate_reads_disks_from_hypervisors_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = copy.deepcopy(EXAMPLES["workloads"])
    server["_migration_params"] |= {"use_nbdkit_direct": True, "nbdkit_disks": [{"device": "vda"}]}
    wanted(tmp_path, server)
    shown = capsys.readouterr().err
    for name in ("use_nbdkit_direct", "nbdkit_disks"):
        assert f"note: server 'test-server': _migration_params.{name} has no effect: disks are read through" in shown


def test_what_says_nothing_is_not_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted(tmp_path, EXAMPLES["workloads"], EXAMPLES["networks"])
    assert capsys.readouterr().err == ""


def test_files_without_resources_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "vars.yml").write_text("os_migrate_data_dir: here")
    (tmp_path / "clouds.yaml").write_text("clouds: {}")
    wanted(tmp_path, EXAMPLES["networks"])
    assert capsys.readouterr().err == "warning: vars.yml: not read: it holds no resources\n"
