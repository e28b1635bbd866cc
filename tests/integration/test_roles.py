"""Clients of a real coordinator: each gets what its role, clouds and projects allow, and is told of everything else."""

from __future__ import annotations

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

from ..conftest import scratch

pytestmark = pytest.mark.integration
FILE = """\
clients:
  client: {role: admin}
  night: {role: operator, clouds: [old, new]}
  web: {role: operator, projects: [web]}
  eyes: {role: viewer}
  team: {role: operator, labels: {team: web}}
"""
#: what the broker keeps from a client: clouds and projects that aren't these
LIMITED: dict[str, Any] = {"night": (["old", "new"],), "web": (None, ["web"])}
USERS = ("night", "web", "eyes", "team", "stranger")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A coordinator, its broker, and users for all clients."""
    with scratch("roles") as folder, pytest.MonkeyPatch.context() as patch:
        patch.delenv("AMQP_URI", raising=False)
        file = folder / "clients.yaml"
        file.write_text(FILE)
        stack = Stack(folder / "home")
        try:
            stack.up({"exporter": 0, "importer": 0}, {"STACKFERRY_CLIENTS": str(file)})
            users = {topology.client_user(name): password_hash("pw") for name in USERS if name not in LIMITED}
            limited = {topology.client_user(name, *limits): password_hash("pw") for name, limits in LIMITED.items()}
            local(stack.node).make(users | limited)
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
    try:
        migration = client.migrate(source, destination, mode="plan")
        client.show(migration)
    except Refused:
        return None
    return migration


def test_each_asks_for_what_it_may_and_is_told_of_everything_else(
    stack: Stack, client: Callable[[str], Client]
) -> None:
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
    assert "may not touch that cloud" in refused(by["night"], mine)
    by["night"].clean_up_source(mine, ["server/x"])
    assert "clean-up-source is for the role admin" in refused(by["night"], mine)

    every = {asked["client"], asked["night"], asked["web"], elsewhere["client"]}
    known = {name: {row["id"] for row in one.migrations()} for name, one in by.items() if name != "stranger"}
    assert known == {
        "client": every, "eyes": every, "night": every - {elsewhere["client"]}, "web": every - {elsewhere["client"]},
        "team": set(),
    }  # fmt: skip
    for question in (by["stranger"].migrations, by["stranger"].hosts, lambda: by["stranger"].show(mine)):
        with pytest.raises(Error, match="refused: .*no such client"):
            question()
    with pytest.raises(Error, match="there's no migration"):
        by["night"].show(elsewhere["client"])
    with pytest.raises(Error, match="refused: .*may not touch that cloud"):
        by["night"].check("third", "source")
    with pytest.raises(Error, match="refused: .*no such client"):
        by["stranger"].check("old", "source")
    assert by["eyes"].show(elsewhere["client"])["id"] == elsewhere["client"]
    assert by["client"].show(mine)["phase"] == "new"  # nobody's refusal changed anything

    said = Path(stack.folder, "logs", "coordinator.log").read_text()
    assert "refused" in said
    assert "Traceback" not in said, "what people did wrong is no fault of the program"


def test_a_client_hears_of_its_own_clouds_and_projects_only(client: Callable[[str], Client]) -> None:
    admin, night, web = map(client, ("client", "night", "web"))
    for one in (night, web):
        migration = asks(one, OLD, NEW)
        assert migration is not None
        one.control(migration, "cancel")
        assert one.wait_for(migration, "cancelled")["id"] == migration
    shop = {"cloud": "old", "project": "shop"}
    elsewhere = admin.migrate(shop, {"cloud": "third"}, mode="plan")
    assert admin.show(elsewhere)["id"] == elsewhere
    for one in (night, web):
        for places in ((shop, {"cloud": "third"}), (None, None)):
            with pytest.raises(Refused, match="may not hear of migrations between these"):
                one._listener.attend(elsewhere, *places)
        assert one.migrations() != []  # and its connection goes on
    admin.control(elsewhere, "cancel")


def test_who_is_kept_to_labels_asks_for_and_sees_what_has_them(client: Callable[[str], Client]) -> None:
    team, admin = client("team"), client("client")
    assert asks(team, OLD, NEW) is None
    mine = team.migrate(OLD, NEW, mode="plan", labels={"team": "web", "wave": "1"})
    assert team.show(mine)["labels"] == {"team": "web", "wave": "1"}
    others = admin.migrate(OLD, NEW, mode="plan", labels={"team": "shop"})
    assert admin.show(others)["id"] == others
    known = {row["id"] for row in team.migrations()}
    assert mine in known
    assert others not in known
    for migration in (mine, others):
        admin.control(migration, "cancel")
