"""Two migrations into one project: each thing is made by one of them at a time, with the coordinator's tables."""

from __future__ import annotations

import uuid
from typing import Any
from unittest import mock

import pytest
from stackferry import messages
from stackferry.errors import InvalidMessage
from stackferry_coordinator.rules import quotas
from stackferry_coordinator.storage.store import Store
from stackferry_coordinator.transactions import consequences
from stackferry_coordinator.transactions.shell import Shell
from stackferry_coordinator.trust.authority import Authority

from ..unit.coordinator.documents import network, server, subnet
from .test_store import engine  # noqa: F401 - a fixture


class Clock:
    """Two coordinators on one database, and their time."""

    def __init__(self, database: Any) -> None:
        self.now, self.engine = 1000.0, database
        self.shells = [
            Shell(database, None, clock=lambda: self.now, authority=Authority(own_user="")) for _ in range(2)
        ]  # type: ignore[arg-type]

    def ask(
        self, documents: list[dict[str, Any]], shell: int = 0, mode: str = "run", id_: str = "", **destination: str
    ) -> str:
        """Request an import with a source; return its id."""
        id_ = id_ or str(uuid.uuid4())
        request = {"migration": id_, "source": {"cloud": "src"}, "destination": {"cloud": "dst", **destination},
                   "mode": mode, "parts": 1}  # fmt: skip
        self.shells[shell].take(messages.RequestMigration.make("tests", request))
        self.shells[shell].take(messages.SubmitDocuments.make("tests", {"migration": id_, "part": 1,
                                                                        "documents": documents}))  # fmt: skip
        return id_

    def step(self, migration: str, key: str) -> Any:
        with self.engine.begin() as connection:
            store = Store.open(connection, migration)
            assert store is not None
            return store.step(key)

    def ended(self, migration: str, key: str, outcome: str, shell: int = 0, **more: Any) -> None:
        step = self.step(migration, key)
        data = {"migration": migration, "step": key, "attempt": step.attempt, "outcome": outcome, **more}
        self.shells[shell].take(messages.StepEnded.make("tests", data))

    def pass_(self, seconds: float) -> None:
        """Let time pass while the coordinator isn't there, and then its clock tick."""
        self.now += seconds
        self.shells[1].tick()

    def listen(self, seconds: int) -> None:
        """Let time pass while the coordinator is there: its clock ticks all the while."""
        for _ in range(0, seconds, 10):
            self.pass_(10)

    def phase(self, migration: str) -> str:
        with self.engine.begin() as connection:
            store = Store.open(connection, migration)
            assert store is not None
            return store.head.phase


@pytest.fixture
def clock(engine: Any) -> Clock:  # noqa: F811
    return Clock(engine)


@pytest.mark.parametrize("second", [network("net"), network("net", "another-id"), network("other", "n-net")],
                         ids=["the same", "of the same name", "renamed meanwhile"])  # fmt: skip
def test_what_one_migration_makes_another_waits_for_and_then_looks_for_afresh(clock: Clock, second: Any) -> None:
    first, later = clock.ask([network("net")]), clock.ask([second], shell=1)
    key = f"network/{second['_info']['id']}"
    held = clock.step(later, key)
    assert (held.state, held.tries) == ("resting", 0)
    assert held.reason == f"migration {first} is at it in the same project: it's waited for"
    clock.pass_(3)
    assert clock.step(later, key).state == "resting"
    clock.ended(first, "network/n-net", "created", destination_id="there")
    clock.pass_(3)
    asked = clock.step(later, key)
    assert (asked.state, asked.tries, asked.reason) == ("asked", 1, None)
    assert asked.asked.met == asked.asked.first_asked == clock.now
    clock.ended(later, key, "unchanged", shell=1, destination_id="there")
    assert (clock.phase(first), clock.phase(later)) == ("done", "done")
    assert clock.step(later, key).made == ()


def test_what_another_migration_has_made_is_looked_for_afresh_though_nobody_waits(clock: Clock) -> None:
    """An importer's listings are older than what the other one made in between."""
    first = clock.ask([network("net")])
    clock.ended(first, "network/n-net", "created", destination_id="there")
    later = clock.ask([network("net")], shell=1)
    asked = clock.step(later, "network/n-net")
    assert (asked.state, asked.asked.met) == ("asked", clock.now)


def test_other_things_and_other_projects_are_not_waited_for(clock: Clock) -> None:
    ids = [clock.ask([network("net")]), clock.ask([network("other")]), clock.ask([network("net")], project="p")]
    keys = ["network/n-net", "network/n-other", "network/n-net"]
    assert [clock.step(*pair).state for pair in zip(ids, keys, strict=True)] == ["asked"] * 3
    assert not any(clock.step(*pair).asked.met for pair in zip(ids, keys, strict=True))


def test_a_server_is_one_thing_with_all_that_is_done_for_it(clock: Clock) -> None:
    first, later = clock.ask([server("a")]), clock.ask([server("a")], shell=1)
    assert clock.step(later, "server/a/check").state == "resting"
    clock.ended(first, "server/a/check", "created")
    clock.pass_(5)
    assert clock.step(later, "server/a/check").state == "resting"  # its disks are still to be copied
    clock.shells[0].take(messages.ControlMigration.make("tests", {"migration": first, "action": "cancel"}))
    clock.ended(first, "server/a/look", "failed", reason="gone")
    clock.pass_(60)
    clock.pass_(60)
    assert clock.phase(first) == "cancelled"
    assert clock.step(later, "server/a/check").state == "asked"


def test_one_migration_that_cannot_be_taken_on_does_not_stop_the_clock_of_the_others(clock: Clock) -> None:
    ids = sorted(clock.ask([network(name)]) for name in ("a", "b"))
    keys = {id_: next(f"network/n-{n}" for n in "ab" if clock.step(id_, f"network/n-{n}")) for id_ in ids}
    for id_ in ids:
        claim = {"migration": id_, "step": keys[id_], "attempt": 1, "token": "t", "again": False, "reply_to": "r"}
        assert clock.shells[0].claim(messages.StepClaimed.make("tests", claim))
    clock.listen(290)
    real = consequences.react

    def broken(ledger: Any, name: str, data: dict[str, Any], now: float) -> Any:
        if ledger.head.id == ids[0]:
            raise KeyError("what the core can't digest")
        return real(ledger, name, data, now)

    with mock.patch.object(consequences, "react", broken):
        clock.pass_(10)  # the leases of both are over
    assert clock.step(ids[1], keys[ids[1]]).state == "resting"


def test_what_cannot_be_asked_for_fails_and_holds_nothing_up(clock: Clock) -> None:
    real = consequences._command

    def command(store: Any, due: Any, *rest: Any) -> Any:
        if due.key == "network/n-a":
            raise InvalidMessage("invalid", {"resource": ["nobody knows what it's about"]})
        return real(store, due, *rest)

    with mock.patch.object(consequences, "_command", command):
        migration = clock.ask([network("a"), subnet("s", "a"), network("b")])
        clock.ended(migration, quotas.KEY, "done")
    failed = clock.step(migration, "network/n-a")
    assert failed.state == "failed"
    assert "can't be asked for: invalid: {'resource': [\"nobody knows what it's about\"]}" in failed.reason
    assert clock.step(migration, "subnet/s-s").state == "skipped"
    clock.ended(migration, "network/n-b", "created", destination_id="d")
    assert clock.phase(migration) == "done"
