"""Migrations that are over are forgotten: at once for whoever asks, slice by slice in the database, whoever is killed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select
from stackferry.bus import Publisher
from stackferry.errors import InvalidMessage
from stackferry.messages import ControlMigration, ForgetMigrations, RequestMigration, StepEnded
from stackferry_coordinator import queries
from stackferry_coordinator.storage import database, retention
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.transactions.shell import DAY, Shell
from stackferry_coordinator.trust.authority import Authority
from stackferry_coordinator.trust.clients import Clients

OF_A_MIGRATION = (t.fact, t.part, t.document, t.edge, t.step, t.turn, t.migration)
PLACES = {"source": {"cloud": "src"}, "destination": {"cloud": "dst"}}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def engine(request: Any, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/it.db" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    made = database.connect(url)
    database.upgrade(made)
    yield made
    with made.begin() as connection:
        for table in reversed(t.metadata.sorted_tables):
            connection.execute(table.delete())
    made.dispose()


def shell(engine: Engine, clock: Callable[[], float] = lambda: 1000.0, **more: Any) -> Shell:
    return Shell(
        engine, Publisher("amqp://nobody@127.0.0.1:1//"), clock=clock, **{"authority": Authority(own_user=""), **more}
    )


def filled(engine: Engine, phase: str = "done", steps: int = 30, changed: float = 500.0) -> str:
    """A migration with rows in every table that has any of it; return its id."""
    id_ = str(uuid.uuid4())
    step = {"action": "ensure", "kind": "network", "name": "n", "order": 1, "state": "done", "waits": 0, "attempt": 1,
            "tries": 1, "made": [], "links": {}, "hints": {}, "notes": [], "changes": [], "seconds": 0.0, "done": 0}  # fmt: skip
    keys = [f"network/{number}" for number in range(steps)]
    with engine.begin() as connection:
        connection.execute(insert(t.migration).values(
            id=id_, request=PLACES, phase=phase, mode="run", paused=False, counts={}, got=0, attempt=0,
            created=1.0, changed=changed,
        ))  # fmt: skip
        for table, rows in (
            (t.step, [{**step, "migration": id_, "key": key} for key in keys]),
            (t.document, [{"migration": id_, "key": key, "content": {"params": {"x": "x" * 2000}}} for key in keys]),
            (t.edge, [{"migration": id_, "before": keys[0], "after": key, "hard": True} for key in keys]),
            (t.part, [{"migration": id_, "attempt": 1, "number": 1, "documents": [{}]}]),
            (t.fact, [{"migration": id_, "at": 1.0, "name": "tick", "data": {}} for _ in keys]),
            (t.turn, [{"destination": "dst", "project": "", "thing": f"{id_[:8]} {key}", "migration": id_,
                       "step": key, "group": "", "at": 1.0} for key in keys]),
        ):  # fmt: skip
            connection.execute(insert(table), rows)
    return id_


def counts(engine: Engine, id_: str) -> dict[str, int]:
    with engine.connect() as connection:
        found = {}
        for table in OF_A_MIGRATION:
            column = table.c.id if table is t.migration else table.c.migration
            query = select(func.count()).select_from(table).where(column == id_)
            found[table.name] = connection.execute(query).scalar_one()
        return found


def listed(engine: Engine) -> list[str]:
    ((answer, _),) = queries.describe(engine, {}, lambda places: True)
    return [row["id"] for row in answer["migrations"]]


def forget(coordinator: Shell, *ids: str, sender: str = "") -> dict[str, Any]:
    return coordinator.forget_migrations(
        ForgetMigrations.make("tests", {"reply_to": "me", "migrations": list(ids)}), sender
    )


def test_what_is_over_is_gone_at_once_and_its_rows_slice_by_slice(engine: Engine, monkeypatch: Any) -> None:
    monkeypatch.setattr(retention, "SLICE", 7)
    old, kept, running = filled(engine), filled(engine), filled(engine, "running")
    before = counts(engine, kept)
    coordinator, unknown = shell(engine), str(uuid.uuid4())
    assert forget(coordinator, old, running, unknown) == {
        "forgotten": [old, unknown], "kept": {running: "it is running, and not over"},
    }  # fmt: skip
    assert set(listed(engine)) == {kept, running}
    assert list(queries.describe(engine, {"migration": old}, lambda places: True)) == []
    coordinator.tick()
    assert counts(engine, old)["step"] == 30, "no transaction is long"
    killed = shell(engine)  # another one goes on
    for _ in range(200):
        killed.tick()
    assert not killed.forgetting
    assert set(counts(engine, old).values()) == {0}
    assert counts(engine, kept) == before
    assert counts(engine, running) == before


def test_whoever_speaks_of_one_that_is_being_forgotten_is_told(engine: Engine) -> None:
    coordinator, old = shell(engine), filled(engine)
    forget(coordinator, old)
    for message, data in ((ControlMigration, {"action": "undo"}), (RequestMigration, PLACES)):
        with pytest.raises(InvalidMessage, match="it is being forgotten"):
            coordinator.take(message.make("tests", {"migration": old, **data}))
    word = {"migration": old, "step": "network/1", "attempt": 1, "outcome": "created", "destination_id": "x"}
    coordinator.take(StepEnded.make("tests", word))  # a worker's comes too late, and does no harm
    while coordinator.forgetting:
        coordinator.tick()
    assert set(counts(engine, old).values()) == {0}


def test_only_an_administrator_of_both_places_forgets(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "clients.yml"
    file.write_text("clients: {op: {role: operator}, other: {role: admin, clouds: [src]}, boss: {role: admin}}")
    coordinator = shell(engine, authority=Authority(clients=Clients(str(file))))
    old = filled(engine)
    for sender in ("op", "other", "stranger"):
        with pytest.raises(InvalidMessage):
            forget(coordinator, old, sender=sender)
    assert listed(engine) == [old]
    assert forget(coordinator, old, sender="boss")["forgotten"] == [old]


def test_after_so_many_days_they_are_forgotten_without_being_asked(engine: Engine) -> None:
    now = [500.0 + 30 * DAY]
    coordinator = shell(engine, lambda: now[0], keep_days=30)
    done, stuck, running = (filled(engine, phase) for phase in ("done", "stuck", "running"))
    coordinator.forget()
    assert set(listed(engine)) == {done, stuck, running}
    now[0] += 1
    coordinator.forget()
    assert set(listed(engine)) == {stuck, running}
    forever = shell(engine, lambda: 1e12)
    forever.forget()
    assert set(listed(engine)) == {stuck, running}


def test_documents_as_they_arrived_are_forgotten_once_they_are_steps(engine: Engine) -> None:
    planned, new, cancelled = (filled(engine, phase) for phase in ("running", "new", "cancelled"))
    shell(engine).forget()
    assert [counts(engine, id_)["part"] for id_ in (planned, new, cancelled)] == [0, 1, 1]


def test_a_file_gets_smaller(tmp_path: Path) -> None:
    file, before = tmp_path / "it.db", 0
    engine = database.connect(f"sqlite:///{file}")
    database.upgrade(engine)

    def size() -> int:
        with engine.connect() as connection:
            return int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())

    before = size()
    old = [filled(engine, steps=300) for _ in range(10)]
    assert size() > before + 1000
    coordinator = shell(engine)
    forget(coordinator, *old)
    while coordinator.forgetting:
        coordinator.tick()
    assert size() < before + 100
    engine.dispose()
