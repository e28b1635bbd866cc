"""Worlds for the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from stackferry_cli.local.stack import Stack

from ..conftest import scratch
from . import board
from .world import World


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.section(f"scoreboard: SEED={board.SEED} SCALE={board.SCALE:g}, kept in {board.FILE}")
    terminalreporter.write_line(board.table(board.read()))


@pytest.fixture
def worlds(clouds_file: Any, new_tenant: Callable[..., Any]) -> Callable[..., Any]:
    """``with worlds() as world``: services of one's own; *counts* of them, and more of their environment."""

    @contextmanager
    def make(
        counts: dict[str, int] | None = None, of_coordinator: dict[str, str] | None = None, **environ: str
    ) -> Iterator[World]:
        with scratch("scoreboard") as folder:
            stack = Stack(folder)
            world = World(
                stack, {"OS_CLIENT_CONFIG_FILE": str(clouds_file.path), **environ}, new_tenant, counts=counts or {},
                of_coordinator=of_coordinator or {},
            )  # fmt: skip
            try:
                world.up()
                yield world
            finally:
                stack.down()

    return make


@pytest.fixture
def world(worlds: Callable[..., Any]) -> Iterator[World]:
    with worlds() as made:
        yield made
