"""A broker with its coordinator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stackferry_cli.local.stack import Stack

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
