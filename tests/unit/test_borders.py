"""The borders between the rooms hold by folder: a new file that crosses one breaks lint, though nobody names it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("contract", "runtime", "clouds", "services/exporter", "services/importer", "services/transfer",
         "services/coordinator", "services/gateway", "services/bridge", "cli", "client", "sandbox")  # fmt: skip
#: the room of a new file → what it may not import there
CROSSINGS = [
    ("contract/stackferry", "nameko"), ("contract/stackferry/resources", "openstack"),
    ("contract/stackferry/messages", "stackferry_runtime"), ("contract/stackferry/documents", "eventlet"),
    ("contract/stackferry/progress", "stackferry_clouds"),
    ("runtime/stackferry_runtime", "eventlet"), ("runtime/stackferry_runtime", "stackferry_clouds"),
    ("runtime/stackferry_runtime/services", "stackferry_exporter"),
    ("clouds/stackferry_clouds", "nameko"), ("clouds/stackferry_clouds/actions", "eventlet"),
    ("clouds/stackferry_clouds", "stackferry_runtime"), ("clouds/stackferry_clouds", "sqlalchemy"),
    ("services/exporter/stackferry_exporter", "stackferry_importer"),
    ("services/exporter/stackferry_exporter", "eventlet"),
    ("services/importer/stackferry_importer", "stackferry_coordinator"),
    ("services/importer/stackferry_importer", "sqlalchemy"),
    ("services/gateway/stackferry_gateway", "nameko"), ("services/bridge/stackferry_bridge", "eventlet"),
    ("services/bridge/stackferry_bridge/targets", "stackferry_bridge.carrying"),
    ("client/stackferryclient", "stackferry"), ("client/stackferryclient", "osc_lib"),
    ("client/stackferryclient/osc", "stackferry_cli"), ("cli/stackferry_cli", "stackferry_sandbox"), ("sandbox/stackferry_sandbox", "eventlet"),
    ("services/coordinator/stackferry_coordinator/plan", "sqlalchemy"),
    ("services/coordinator/stackferry_coordinator/plan", "stackferry_coordinator.rules.undo"),
    ("services/coordinator/stackferry_coordinator/rules", "kombu"),
    ("services/coordinator/stackferry_coordinator/rules", "stackferry_runtime"),
    ("services/coordinator/stackferry_coordinator/rules", "stackferry_coordinator.commands.resources"),
    ("services/coordinator/stackferry_coordinator/commands", "eventlet"),
    ("services/coordinator/stackferry_coordinator/commands", "stackferry_coordinator.hosts.presence"),
    ("services/coordinator/stackferry_coordinator/trust", "sqlalchemy"),
    ("services/coordinator/stackferry_coordinator/events", "alembic"),
    ("services/coordinator/stackferry_coordinator/storage", "nameko"),
    ("services/coordinator/stackferry_coordinator/storage", "stackferry_coordinator.transactions.shell"),
    ("services/coordinator/stackferry_coordinator/hosts", "eventlet"),
    ("services/coordinator/stackferry_coordinator/transactions", "stackferry_coordinator.service"),
    *[(f"services/transfer/stackferry_transfer/{room}", name) for room, name in
      (("disk", "openstack"), ("copying", "nameko"), ("pump", "sqlalchemy"), ("nbd", "eventlet"),
       ("disk", "stackferry_transfer.pump.server"), ("copying", "stackferry_transfer.nbd.client"))],
]  # fmt: skip


def _package(folder: str) -> str:
    room = next(room for room in ROOMS if folder.startswith(f"{room}/"))
    return folder.removeprefix(f"{room}/").replace("/", ".")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What lint says of a copy of the house in which every border is crossed, each by a file of its own."""
    house = tmp_path_factory.mktemp("house")
    for room in ROOMS:
        shutil.copytree(ROOT / room, house / room, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for number, (folder, crossed) in enumerate(CROSSINGS):
        (house / folder / f"crossing_{number}.py").write_text(f"import {crossed}\n")
    (house / "services/coordinator/stackferry_coordinator/homeless.py").write_text("")
    for one, other in (("round", "about"), ("about", "round")):
        (house / f"contract/stackferry/documents/{one}.py").write_text(f"import stackferry.documents.{other}\n")
    shutil.copy(ROOT / "pyproject.toml", house)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(str(house / room) for room in ROOMS), "COLUMNS": "300"}
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=house, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(CROSSINGS)), ids=[f"{f.rsplit('/')[-1]} to {c}" for f, c in CROSSINGS])
def test_a_new_file_that_crosses_a_border_is_found(told: str, number: int) -> None:
    folder, crossed = CROSSINGS[number]
    assert f"{_package(folder)}.crossing_{number} -> {crossed} (l.1)" in told


def test_modules_that_import_each_other_are_found(told: str) -> None:
    assert "- .round -> .about" in told or "- .about -> .round" in told


def test_a_new_module_of_the_coordinator_needs_a_room(told: str) -> None:
    assert "stackferry_coordinator.homeless" in told


def test_the_rooms_are_those_of_the_workspace() -> None:
    members = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    found = {str(file.parent.relative_to(ROOT)) for member in members for file in ROOT.glob(f"{member}/pyproject.toml")}
    assert set(ROOMS) == found
