"""Which conversion hosts get work, and what is said about them, with the coordinator's tables."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select
from stackferry import __version__
from stackferry.errors import InvalidMessage
from stackferry_coordinator.hosts import operators, presence
from stackferry_coordinator.hosts.offers import IMPORTERS, Peers
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.transactions.shell import Shell
from stackferry_coordinator.trust.authority import Authority

from .test_store import engine  # noqa: F401 - a fixture

NOW = 1000.0
SRC, DST = {"cloud": "src"}, {"cloud": "dst", "project": "p"}


class Known:
    """The coordinator's knowledge of hosts."""

    def __init__(self, database: Any) -> None:
        self.engine, self.upsert = database, Shell(database, None).upsert  # type: ignore[arg-type]

    def seen(self, host: str, instance: str = "1", at: float = NOW, **more: Any) -> None:
        data = {
            "host": host, "name": f"name of {host}", "instance": instance, "cloud": "src", "slots": 4,
            "version": __version__, "certificate": "PEM", **more,
        }  # fmt: skip
        with self.engine.begin() as connection:
            presence.agent_seen(connection, self.upsert, data, at)

    def said(self, host: str, action: str) -> None:
        with self.engine.begin() as connection:
            operators.control(connection, self.upsert, host, action)

    def fleet(self, now: float = NOW) -> Any:
        with self.engine.begin() as connection:
            return presence.hosts(connection, now)

    def share(self, held: int) -> int:
        with self.engine.begin() as connection:
            return presence.share(connection, presence.hosts(connection, NOW), held)

    def rows(self, now: float = NOW) -> dict[str, dict[str, Any]]:
        with self.engine.begin() as connection:
            return {row["id"]: row for row in operators.describe(connection, now)}

    def holds(self, source: str, destination: str) -> None:
        """A volume has a place on both."""
        self.step("m", state="holding", results={"source_host": source, "destination_host": destination})

    def step(self, migration: str, paused: bool = False, **step: Any) -> None:
        """A migration with one step that is about places."""
        head = {"id": migration, "request": {}, "phase": "running", "mode": "run", "paused": paused, "counts": {},
                "got": 0, "attempt": 1, "created": 0.0, "changed": 0.0}  # fmt: skip
        step = {"migration": migration, "key": "server/a/assign", "action": "assign", "kind": "volume", "name": "",
                "order": 1, "waits": 0, "attempt": 1, "tries": 0, "made": [], "links": {}, "hints": {}, "notes": [],
                "changes": [], "seconds": 0.0, "done": 0, "results": {}, **step}  # fmt: skip
        with self.engine.begin() as connection:
            connection.execute(insert(t.migration), head)
            connection.execute(insert(t.step), step)


@pytest.fixture
def known(engine):  # noqa: F811
    return Known(engine)


def test_a_host_is_described(known):
    known.seen("h1", "a")
    known.seen("h1", "b", at=NOW - 3)
    known.holds("h1", "d1")
    assert known.rows()["h1"] == {
        "id": "h1", "name": "name of h1", "cloud": "src", "project": None, "state": "ready", "why": None, "agents": 2,
        "slots": 8, "used": 1, "draining": False, "version": __version__, "seen": 0.0,
    }  # fmt: skip


def test_a_drained_host_gets_nothing_until_it_is_resumed(known):
    known.seen("h1")
    known.seen("h2")
    known.said("h1", "drain")
    assert {known.fleet().emptiest(SRC).id for _ in range(2)} == {"h2"}
    assert (known.fleet().slots, known.rows()["h1"]["state"]) == (4, "drained")
    known.said("h2", "drain")
    assert known.fleet().emptiest(SRC) is None
    assert known.fleet().full
    assert known.fleet().missing(SRC) is None  # servers wait for it, they aren't given up
    known.said("h1", "resume")
    assert known.fleet().emptiest(SRC).id == "h1"
    assert known.rows()["h1"]["state"] == "ready"


def test_a_host_that_drains_has_what_it_has(known):
    known.seen("h1")
    known.holds("h1", "d1")
    known.said("h1", "drain")
    row = known.rows()["h1"]
    assert (row["state"], row["used"], row["why"]) == ("draining", 1, "it was told to; it finishes what it has")


@pytest.mark.parametrize("version", ["9.1.0", "0.9", "", "dev"])
def test_agents_of_another_version_get_nothing_and_it_is_said_why(known, version):
    known.seen("h1", "new", version=version)
    known.seen("h1", "ours")
    row = known.rows()["h1"]
    assert (row["state"], known.fleet().emptiest(SRC)) == ("unfit", None)
    assert f"of version {version}, the coordinator is of {__version__}" in row["why"]
    assert row["why"] in known.fleet().missing(SRC)
    assert not known.fleet().full  # or nobody would look, and say so
    assert known.fleet().slots == 0


def test_agents_of_the_same_minor_version_get_work(known):
    known.seen("h1", version=f"{'.'.join(__version__.split('.')[:2])}.99")
    assert known.fleet().emptiest(SRC).id == "h1"


def test_a_silent_host_is_listed_and_gets_nothing(known):
    known.seen("h1")
    row = known.rows(NOW + 40)["h1"]
    assert (row["state"], row["agents"], row["slots"], row["seen"]) == ("silent", 0, 0, 40.0)
    assert known.fleet(NOW + 40).hosts == ()


def test_a_host_that_was_stopped_is_silent(known):
    known.seen("h1")
    known.seen("h1", stopping=True)
    assert known.rows()["h1"]["state"] == "silent"


def test_a_host_that_is_forgotten_is_not_listed_and_no_longer_drained(known):
    known.seen("h1")
    known.said("h1", "drain")
    known.said("h1", "forget")
    assert known.rows() == {}
    known.seen("h1")
    assert known.rows()["h1"]["state"] == "ready"
    known.said("never-heard-of", "forget")


def test_nobody_can_drain_a_host_that_is_not_there(known):
    with pytest.raises(InvalidMessage, match="no such host"):
        known.said("h9", "drain")


def test_a_migration_alone_may_have_every_place(known):
    for host, cloud in (("s1", "src"), ("d1", "dst")):
        known.seen(host, cloud=cloud, slots=8)
    known.step("m", state="wanting")
    assert known.share(held=0) == 16  # as many as there's room for, on either side
    assert known.share(held=5) == 16


@pytest.mark.parametrize(("many", "held", "more"), [(2, 0, 4), (2, 3, 1), (2, 4, 0), (2, 9, 0), (4, 0, 2), (16, 0, 1)])
def test_migrations_share_the_places_evenly(known, many, held, more):
    """Of 8 places a side, each of a volume."""
    for host, cloud in (("s1", "src"), ("d1", "dst")):
        known.seen(host, cloud=cloud, slots=8)
    for number in range(many):
        known.step(f"m{number}", state="wanting")
    assert known.share(held) == more


def test_a_paused_migration_takes_no_share(known):
    for host, cloud in (("s1", "src"), ("d1", "dst")):
        known.seen(host, cloud=cloud, slots=8)
    known.step("m", state="wanting")
    known.step("paused", paused=True, state="wanting")
    assert known.share(held=5) == 16
    with known.engine.begin() as connection:
        assert presence.wanting(connection, NOW) == ["m"]


@pytest.mark.parametrize(("paused", "told"), [(False, [("m", "server/a/assign", ["s1"])]), (True, [])])
def test_a_paused_migration_loses_no_host(known, paused, told):
    """Its volumes stay where they are until it goes on."""
    for host, cloud in (("s2", "src"), ("d1", "dst")):
        known.seen(host, cloud=cloud)
    known.step("m", paused=paused, state="holding", results={"source_host": "s1", "destination_host": "d1"})
    with known.engine.begin() as connection:
        request = {"source": {"cloud": "src"}, "destination": {"cloud": "dst"}}
        connection.execute(t.migration.update().values(request=request))
        assert presence.lost(connection, NOW, 60.0) == told


class Clocked(Shell):
    """A coordinator whose clock is set here; it notes of which hosts it told its migrations that they're lost."""

    now, told = NOW, None

    def __init__(self, database: Any) -> None:
        super().__init__(database, Declares(), lambda: self.now, authority=Authority(own_user=""))  # type: ignore[arg-type]
        self.told: list[tuple[str, list[str]]] = []

    def _internal(self, migration: str, name: str, data: dict[str, Any], now: float) -> None:
        if name == "host-lost":
            self.told.append((data["step"], data["hosts"]))

    def hear(self, host: str, cloud: str, instance: str = "1") -> None:
        data = {"host": host, "name": host, "instance": instance, "cloud": cloud, "slots": 4, "version": __version__,
                "certificate": "PEM"}  # fmt: skip
        self.agent_seen(data)


def test_of_one_host_so_many_agents_are_remembered_and_the_last_ones(known: Known) -> None:
    """An agent that ends at once is started anew every few seconds; and who has its password may invent some."""
    coordinator = Clocked(known.engine)
    coordinator.hear("other", "src")
    for number in range(presence.MANY + 20):
        coordinator.now += 1
        coordinator.hear("s1", "src", f"agent-{number}")
    with known.engine.connect() as connection:
        rows = connection.execute(select(t.agent.c.instance).where(t.agent.c.host == "s1")).scalars().all()
        assert set(rows) == {f"agent-{number}" for number in range(20, presence.MANY + 20)}
        assert connection.execute(select(t.agent.c.host).where(t.agent.c.host == "other")).scalar() == "other"


class Declares:
    """A publisher to which only queues are declared."""

    def declare(self, queue: Any) -> None: ...


def test_hosts_are_lost_only_when_others_were_heard_all_along(known: Known) -> None:
    known.holds("s1", "d1")
    with known.engine.begin() as connection:
        request = {"source": {"cloud": "src"}, "destination": {"cloud": "dst"}}
        connection.execute(t.migration.update().values(request=request))
    coordinator = Clocked(known.engine)
    for host, cloud in (("s1", "src"), ("s2", "src"), ("d1", "dst"), ("d2", "dst")):
        coordinator.hear(host, cloud)
    coordinator.now += 600  # the broker was away
    for _ in range(12):
        for host, cloud in (("s1", "src"), ("s2", "src"), ("d2", "dst")):
            coordinator.hear(host, cloud)
        coordinator.tick()
        assert coordinator.told == []
        coordinator.now += 5
    coordinator.tick()
    assert coordinator.told == [("server/a/assign", ["d1"])]


def test_an_offer_is_made_to_the_agents_of_one_host_that_were_heard_lately(known: Known) -> None:
    known.seen("s1", "1", certificate="one")
    known.seen("s1", "2", certificate="two")
    known.seen("s1", "3", certificate="silent", at=NOW - presence.AGENT_SILENT - 1)
    known.seen("s2", "1", certificate="another's")
    with known.engine.begin() as connection:
        peers = Peers(connection, NOW)
        assert sorted(peers.of("s1")) == ["one", "two"]
        assert peers.of("s1") is peers.of("s1")  # asked for once
        assert peers.of(IMPORTERS) == []
