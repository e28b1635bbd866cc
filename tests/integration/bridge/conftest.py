"""A broker with its coordinator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from stackferry_cli.local.stack import Stack
from stackferry_sandbox.layout import state_folder

from ...conftest import scratch
from .carried import Receiver, Teller, teller


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    with scratch("bridge") as folder, pytest.MonkeyPatch.context() as patch:
        patch.delenv("AMQP_URI", raising=False)
        stack = Stack(folder / "home")
        try:
            stack.up({"exporter": 0, "importer": 0})
            yield stack
        finally:
            stack.down()


@pytest.fixture
def told(stack: Stack) -> Iterator[Teller]:
    with teller(stack) as found:
        yield found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def sandbox_python() -> Path:
    """The Python of the sandbox's clouds, which has OpenStack's own libraries."""
    return state_folder(os.environ) / "venv" / "bin" / "python"
