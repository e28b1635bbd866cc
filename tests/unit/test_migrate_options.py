"""What ``migrate`` and ``plan`` ask for, of what is typed and of what a variables file says."""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from stackferry_cli.commands import data, migrations


class Ferry:
    """A client that notes what is asked for."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def migrate(self, *_: Any, **asked: Any) -> str:
        self.asked = asked
        return "m1"

    def show(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"id": "m1", "phase": "done", "mode": "run", "steps": []}


@pytest.fixture
def ferry(monkeypatch: pytest.MonkeyPatch) -> Ferry:
    made = Ferry()
    for module in (data, migrations):
        monkeypatch.setattr(module, "client", lambda: nullcontext(made))
        monkeypatch.setattr(module.live, "follow", lambda *_, **__: None)
    return made


@pytest.mark.parametrize("command", [partial(migrations.migrate, yes=True), data.plan])
@pytest.mark.parametrize(("said", "copied"), [(True, True), (False, None)])
def test_os_migrates_variable_says_whether_root_disks_are_copied(
    tmp_path: Path, ferry: Ferry, command: Any, said: bool, copied: bool | None
) -> None:
    file = tmp_path / "vars.yml"
    file.write_text(json.dumps({"os_migrate_workloads_boot_disk_copy": said}))
    with pytest.raises(typer.Exit) as ended:
        command(source="src", destination="dst", vars_file=file)
    assert ended.value.exit_code == 0
    assert (ferry.asked["migration_params"] or {}).get("boot_disk_copy") is copied


@pytest.mark.parametrize("command", [partial(migrations.migrate, yes=True), data.plan])
@pytest.mark.parametrize(("wanted", "power"), [(True, "running"), (False, None)])
def test_servers_that_are_stopped_run_there_only_when_it_is_said(
    ferry: Ferry, command: Any, wanted: bool, power: str | None
) -> None:
    with pytest.raises(typer.Exit):
        command(source="src", destination="dst", start_servers=wanted)
    assert (ferry.asked["migration_params"] or {}).get("power") == power
