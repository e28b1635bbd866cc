"""A service of `stackferry up` that dies is started again, and what `down` has stopped stays so."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from stackferry.client import Client
from stackferry_cli.local.keeper import LONGEST, WHILE, Pauses
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import KEEPER, Stack

from ..conftest import scratch

pytestmark = pytest.mark.integration


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A coordinator alone, with its broker."""
    with scratch("keeper") as folder:
        made = Stack(folder)
        try:
            made.up({"exporter": 0, "importer": 0}, {})
            yield made
        finally:
            made.down()


def status(stack: Stack, code: int = 0) -> dict[str, Any]:
    env = {**os.environ, "STACKFERRY_HOME": str(stack.folder)}
    env.pop("AMQP_URI", None)
    words = [sys.executable, "-W", "ignore", "-m", "stackferry_cli.app", "status", "-o", "json"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return {row["process"]: row for row in json.loads(done.stdout)}


def test_what_dies_is_started_again_and_counted(stack: Stack) -> None:
    assert KEEPER not in status(stack)
    stack.keep({})
    for number in (1, 2):
        old = stack.process("coordinator").pid()
        assert old is not None
        os.kill(old, 9)
        assert until(lambda old=old: stack.process("coordinator").pid() not in (old, None), 20)  # type: ignore[misc]
        assert status(stack)["coordinator"]["restarts"] == number
    with Client(stack.uri(), timeout=60) as ferry:
        assert ferry.migrations() == []
    assert "coordinator had died, and was started again: 2 times by now" in stack.process(KEEPER).log.read_text()
    assert set(stack.down()) == {"coordinator", "rabbitmq"}
    assert stack.process(KEEPER).pid() is None
    assert {row["pid"] for row in status(stack, 3).values()} == {None}
    stack.up({"exporter": 0, "importer": 0}, {})
    assert status(stack)["coordinator"]["restarts"] == 0


def test_one_that_cannot_live_is_tried_ever_more_seldom(stack: Stack) -> None:
    with closing(sqlite3.connect(stack.folder / "stackferry.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        connection.commit()
    stack.keep({})
    pid = stack.process("coordinator").pid()
    assert pid is not None
    os.kill(pid, 9)
    assert until(lambda: stack.restarts("coordinator") >= 2, 60)
    assert "the database was used by a newer version of Stackferry" in stack.process("coordinator").last_lines()
    assert "Traceback" not in stack.process("coordinator").last_lines()


def test_pauses_grow_and_are_forgotten() -> None:
    now = [0.0]
    pauses = Pauses(lambda: now[0])

    def waits() -> float:
        """Seconds from a death to the start."""
        began = now[0]
        while not pauses.over("x"):
            now[0] += 0.5
        return now[0] - began

    assert [waits() for _ in range(6)] == [0.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert waits() == LONGEST
    now[0] += WHILE + 1
    assert waits() == 0.0
