"""What people ask of large migrations comes in pages, filtered by the database, whichever it is."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import pytest
from sqlalchemy import Engine, select
from stackferry.bus import Publisher
from stackferry.errors import InvalidMessage
from stackferry.messages import RequestMigration, SubmitDocuments
from stackferry_coordinator import queries
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.transactions.shell import Shell
from stackferry_coordinator.trust.authority import Authority

from .test_store import engine  # noqa: F401 - a fixture

MANY = 1300


def everybody(_: dict[str, Any]) -> bool:
    return True


def network(number: int) -> dict[str, Any]:
    return {"type": "openstack.network.Network", "params": {"name": f"n{number}"}, "_info": {"id": f"id-{number}"}}


@pytest.fixture
def large(engine: Engine) -> str:  # noqa: F811
    """A migration of so many networks, after two small ones with labels."""
    times = itertools.count(1000.0)
    shell = Shell(engine, Publisher("amqp://nobody@127.0.0.1:1//"), lambda: next(times), authority=Authority(""))
    for name, many in (("first", 1), ("second", 1), ("large", MANY)):
        id_ = str(uuid.uuid4())
        request = {
            "migration": id_,
            "parts": 1,
            "destination": {"cloud": "dst"},
            "name": name,
            "labels": {"wave": name},
        }
        shell.take(RequestMigration.make("tests", request))
        documents = {"migration": id_, "part": 1, "documents": [network(n) for n in range(many)]}
        shell.take(SubmitDocuments.make("tests", documents))
    while shell.go_on():
        pass
    return id_


def pages(engine: Engine, **asked: Any) -> list[list[dict[str, Any]]]:  # noqa: F811
    """Every page of so many, one question each."""
    found, after = [], None
    while True:
        parts = list(queries.describe(engine, {**asked, **({"after": after} if after else {})}, everybody))
        assert [more for _, more in parts] == [True] * (len(parts) - 1) + [False]
        rows = [row for part, _ in parts for row in part["steps" if "migration" in asked else "migrations"]]
        assert len(rows) <= asked.get("limit", MANY + 2)
        found.append(rows)
        after = parts[-1][0].get("next")
        if after is None:
            return found


@pytest.mark.parametrize("limit", [None, 1000, 500, 333, 1])
def test_pages_are_all_of_it_in_order_and_nothing_twice(engine: Engine, large: str, limit: int | None) -> None:  # noqa: F811
    with engine.connect() as connection:
        c = t.step.c
        every = list(connection.execute(select(c.key).where(c.migration == large).order_by(c.order, c.key)).scalars())
    assert len(every) == MANY + 1  # and whether there's room
    found = pages(engine, migration=large, **({"limit": limit} if limit else {}))
    assert [step["key"] for page in found for step in page] == every
    assert len(found) == (1 if limit is None else -(-len(every) // limit))


def test_only_what_was_asked_for_comes(engine: Engine, large: str) -> None:  # noqa: F811
    asked = pages(engine, migration=large, states=["asked"], limit=10)
    assert {step["state"] for page in asked for step in page} == {"asked"}
    rooms = [step["action"] for step in itertools.chain(*pages(engine, migration=large, kinds=["network"]))]
    assert rooms == ["ensure"] * MANY
    assert pages(engine, migration=large, states=["failed"]) == [[]]


def test_migrations_are_found_by_phase_and_labels_page_by_page(engine: Engine, large: str) -> None:  # noqa: F811
    names = [[row["name"] for row in page] for page in pages(engine, limit=2)]
    assert names == [["first", "second"], ["large"]]
    names = [[row["name"] for row in page] for page in pages(engine, limit=2, newest=True)]
    assert names == [["large", "second"], ["first"]]
    assert [row["id"] for row in pages(engine, labels={"wave": "large"}, limit=1)[0]] == [large]
    assert pages(engine, phases=["done"]) == [[]]
    assert len(pages(engine, phases=["running", "done"])[0]) == 3


def test_a_page_after_what_is_gone_is_refused(engine: Engine, large: str) -> None:  # noqa: F811
    with pytest.raises(InvalidMessage) as caught:
        list(queries.describe(engine, {"migration": large, "after": "network/gone"}, everybody))
    assert "begin anew" in caught.value.errors["after"]
    assert "large" not in str(list(queries.describe(engine, {"after": large}, everybody)))
