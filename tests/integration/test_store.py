"""The ledger in a database behaves as the one in memory, on SQLite and on PostgreSQL."""

import pytest
from sqlalchemy import text
from stackferry_coordinator.rules.reactions import opened, react
from stackferry_coordinator.storage import database
from stackferry_coordinator.storage.store import Store
from stackferry_coordinator.storage.tables import metadata

from ..unit.coordinator.slicing import sliced
from ..unit.coordinator.test_simulator import world
from ..unit.coordinator.test_workload_simulator import world as workloads


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def engine(request, tmp_path):
    url = f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    engine = database.connect(url)
    empty(engine)  # who had it before may have left something
    database.upgrade(engine)
    yield engine
    empty(engine)
    engine.dispose()


def empty(engine):
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))


def take(connection, request, name, data, now):
    """Take in one message, as the coordinator does."""
    migration = request["migration"]
    store = Store.open(connection, migration) or Store.create(connection, opened(request).head, now)
    react(store, name, data, now)
    store.flush(now)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_messages_give_the_same_state(engine, seed):
    played = world(seed)
    played.run()
    with sliced(seed):
        for name, data, now in played.log:
            with engine.begin() as connection:
                take(connection, played.request, name, data, now)
    with engine.begin() as connection:
        store = Store.open(connection, played.request["migration"])
        assert store.head == played.ledger.head
        assert {step.key: step for step in store.all()} == played.ledger.steps
        for key, document in played.ledger.documents.items():
            assert store.documents[key] == document


@pytest.mark.parametrize("seed", [3, 4, 6, 7])
def test_the_first_that_are_ready_or_want_a_place_are_those_in_memory(engine, seed):
    played, many = workloads(seed), 0
    played.run()
    memory = opened(played.request)
    for name, data, now in played.log:
        with sliced(seed), engine.begin() as connection:
            react(memory, name, data, now)
            take(connection, played.request, name, data, now)
            store = Store.open(connection, played.request["migration"])
            for first in ("ready", "wanting"):
                many += len(getattr(memory, first)(1))
                assert [s.key for s in getattr(store, first)(1)] == [s.key for s in getattr(memory, first)(1)]
    assert many


def test_the_schema_is_what_the_tables_say(engine):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
