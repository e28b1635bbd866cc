"""A backup that was made in the middle of a migration is put back afterwards: nothing is made twice."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from stackferry.client import Client
from stackferry.messages import StepEnded
from stackferry_cli.local.stack import Stack
from stackferry_sandbox.seed import seed_stacks

from ..conftest import scratch
from .conftest import command
from .inventory import inventory

pytestmark = pytest.mark.clouds


@pytest.fixture
def own(clouds_file: Any) -> Iterator[Stack]:
    """A system of its own, whose database may be replaced."""
    with scratch("backup") as folder:
        stack = Stack(folder)
        try:
            stack.up(environ={"OS_CLIENT_CONFIG_FILE": str(clouds_file.path)})
            yield stack
        finally:
            stack.down()


def test_what_was_made_since_a_backup_is_found_and_not_made_again(
    own: Stack, source: Any, destination: Any, clouds_file: Any, tmp_path: Any
) -> None:
    def run(*words: Any, code: int = 0) -> str:
        done = subprocess.run(**command(own, words), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    seed_stacks(source.connect(), 4, "s")
    copy = tmp_path / "copy"
    with Client(own.uri()) as ferry:
        migration = ferry.migrate(source.entry, destination.entry)
        for _ in range(8):
            while (fact := ferry.hear(migration, 60)) and fact.type != StepEnded.type:
                pass
        run("backup", copy)
        assert ferry.wait(migration, timeout=120)["phase"] == "done"
    made = inventory(destination.connect())
    assert made == inventory(source.connect())
    assert "coordinator runs: `stackferry down` first" in run("restore", copy, "--yes", code=2)
    own.down()
    said = run("restore", copy, "--yes")
    assert f"{migration}: restored from a backup" in said

    own.up(environ={"OS_CLIENT_CONFIG_FILE": str(clouds_file.path)})
    assert "it was restored from a backup" in run("retry", migration, code=2)
    (listed,) = json.loads(run("list", "-o", "json"))
    assert (listed["id"], listed["phase"]) == (migration, "cancelled")
    run("migrate", "--yes", "-s", source.entry, "-d", destination.entry)
    assert inventory(destination.connect()) == made
