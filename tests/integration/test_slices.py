"""A large migration is cancelled and retried slice by slice; another coordinator goes on where one has died."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from stackferry import messages, topology
from stackferry_coordinator.rules import slices
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.storage.store import Store

from ..unit.coordinator.documents import network, server
from .test_store import engine  # noqa: F401 - a fixture
from .test_turns import Clock

NETWORKS, SERVERS = 25, 6


@pytest.fixture
def clock(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Clock:  # noqa: F811
    monkeypatch.setattr(slices, "PLAIN", 10)
    monkeypatch.setattr(slices, "GROUPS", 2)
    return Clock(engine)


def head(clock: Clock, migration: str) -> Any:
    with clock.engine.begin() as connection:
        store = Store.open(connection, migration)
        assert store is not None
        return store.head


def tell(clock: Clock, migration: str, action: str) -> None:
    word = messages.ControlMigration.make("tests", {"migration": migration, "action": action})
    clock.shells[0].take(word)


def commands(clock: Clock) -> int:
    with clock.engine.connect() as connection:
        query = select(func.count()).where(t.outbox.c.exchange == topology.COMMANDS.name)
        return int(connection.execute(query).scalar_one())


def test_a_coordinator_that_dies_amid_the_slices_is_followed_by_another(clock: Clock) -> None:
    migration = clock.ask([*(network(f"n{n}") for n in range(NETWORKS)), *(server(f"s{n}", 1) for n in range(SERVERS))])
    tell(clock, migration, "cancel")
    assert (head(clock, migration).phase, head(clock, migration).agenda["stage"]) == ("cancelling", "plain")
    clock.pass_(1)  # the other one looks at what is to be done
    turns = 0
    while clock.shells[1].go_on():
        turns += 1
    assert turns == 5  # after ten steps: ten; six and two servers; two; two; none is left
    assert (head(clock, migration).phase, head(clock, migration).agenda) == ("cancelled", None)
    assert head(clock, migration).counts.keys() == {"skipped"}

    before = commands(clock)
    tell(clock, migration, "retry")
    assert (head(clock, migration).phase, commands(clock)) == ("running", before)
    clock.pass_(1)
    while clock.shells[1].go_on():
        pass
    assert clock.shells[0].agendas == {migration}  # who has begun it finds that it's over
    assert clock.shells[0].go_on()
    assert not clock.shells[0].go_on()
    counts = head(clock, migration).counts
    assert commands(clock) > before
    assert counts["asked"] > 0
    assert not counts.keys() & {"skipped", "failed"}


def test_a_word_while_it_is_sliced_takes_its_place(clock: Clock) -> None:
    migration = clock.ask([network(f"n{n}") for n in range(NETWORKS)])
    tell(clock, migration, "cancel")
    while clock.shells[0].go_on():
        pass
    tell(clock, migration, "retry")
    assert head(clock, migration).agenda["do"] == "retry"
    tell(clock, migration, "cancel")
    assert head(clock, migration).agenda["do"] == "cancel"
    while clock.shells[0].go_on():
        pass
    assert head(clock, migration).phase == "cancelled"
    assert head(clock, migration).counts.keys() == {"skipped"}
