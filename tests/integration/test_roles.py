"""Clients of a real coordinator: each gets what its role, clouds and projects allow, and is told of everything else."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from stackferry import topology
from stackferry.client import Client
from stackferry.definitions import password_hash
from stackferry.errors import Error, Refused
from stackferry_cli.broker_users import local
from stackferry_cli.local.stack import Stack

pytestmark = pytest.mark.integration
FILE = """\
clients:
  client: {role: admin}
  night: {role: operator, clouds: [old, new]}
  web: {role: operator, projects: [web]}
  eyes: {role: viewer}
"""
USERS = ("night", "web", "eyes", "stranger")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A coordinator, its broker, and users for all clients."""
    with tempfile.TemporaryDirectory(prefix="stackferry-roles-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.delenv("AMQP_URI", raising=False)
        file = Path(folder, "clients.yaml")
        file.write_text(FILE)
        stack = Stack(Path(folder, "home"))
        try:
            stack.up({"exporter": 0, "importer": 0}, {"STACKFERRY_CLIENTS": str(file)})
            local(stack.node).make({topology.client_user(name): password_hash("pw") for name in USERS})
            yield stack
        finally:
            stack.down()


@pytest.fixture
def client(stack: Stack) -> Iterator[Callable[[str], Client]]:
    """A connection of a client."""
    with ExitStack() as opened:
        address = stack.node.address()
        yield lambda name: opened.enter_context(
            Client(stack.uri() if name == "client" else address.replace("://", f"://{name}:pw@"), timeout=20)
        )


OLD, NEW = {"cloud": "old", "project": "web"}, {"cloud": "new", "project": "web"}


def refused(client: Client, migration: str) -> str:
    """Why the client's request about a migration was refused."""
    with pytest.raises(Refused) as caught:
        while client.hear(migration, 20):
            pass  # what others are told is heard, too
    return str(caught.value)


def asks(client: Client, source: Any, destination: Any) -> str | None:
    """Request a plan; return its id, None when that is refused."""
    migration = client.migrate(source, destination, mode="plan")
    try:
        client.show(migration)
    except Refused:
        return None
    return migration


def test_each_asks_for_what_it_may_and_is_told_of_everything_else(client: Callable[[str], Client]) -> None:
    by = {name: client(name) for name in ("client", *USERS)}
    asked = {name: asks(one, OLD, NEW) for name, one in by.items()}
    assert {name for name, migration in asked.items() if migration} == {"client", "night", "web"}
    elsewhere = {name: asks(one, OLD, {"cloud": "third"}) for name, one in by.items()}
    assert {name for name, migration in elsewhere.items() if migration} == {"client"}

    mine = asked["night"]
    by["night"].control(mine, "undo")
    assert "undo is for the role admin" in refused(by["night"], mine)
    by["eyes"].control(mine, "cancel")
    assert "this client is viewer" in refused(by["eyes"], mine)
    by["night"].control(elsewhere["client"], "cancel")
    assert "may not touch that cloud" in refused(by["night"], elsewhere["client"])
    by["night"].clean_up_source(mine, ["server/x"])
    assert "clean-up-source is for the role admin" in refused(by["night"], mine)

    every = {asked["client"], asked["night"], asked["web"], elsewhere["client"]}
    known = {name: {row["id"] for row in one.migrations()} for name, one in by.items()}
    assert known == {
        "client": every, "eyes": every, "night": every - {elsewhere["client"]}, "web": every - {elsewhere["client"]},
        "stranger": set(),
    }  # fmt: skip
    with pytest.raises(Error, match="there's no migration"):
        by["night"].show(elsewhere["client"])
    assert by["eyes"].show(elsewhere["client"])["id"] == elsewhere["client"]
    assert by["client"].show(mine)["phase"] == "new"  # nobody's refusal changed anything
