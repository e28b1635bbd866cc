"""What becomes of work while the database is away, and of an address that is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from stackferry.errors import Error, NotNow
from stackferry_coordinator.storage import database, tables

CANARY = "tweety-4711"


def test_work_waits_while_the_database_is_away(tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/none/there.db")
    with pytest.raises(NotNow, match="the database is away: unable to open database file"), database.awaited():
        engine.connect()


def test_what_is_said_has_no_values_of_the_statement() -> None:
    error = OperationalError("SELECT 1", {"x": CANARY}, Exception("server closed the connection\nmore"))
    with pytest.raises(NotNow, match="server closed the connection$") as raised, database.awaited():
        raise error
    assert CANARY not in str(raised.value)


def test_a_connection_that_was_lost_is_no_failure_of_the_message() -> None:
    error = ProgrammingError("SELECT 1", {}, Exception("closed"), connection_invalidated=True)
    with pytest.raises(NotNow), database.awaited():
        raise error


def test_any_other_failure_stays_what_it_is(tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/here.db")
    with pytest.raises(IntegrityError), database.awaited(), engine.begin() as connection:
        connection.execute(text("CREATE TABLE one (id INTEGER PRIMARY KEY)"))
        for _ in range(2):
            connection.execute(text("INSERT INTO one VALUES (1)"))


def test_an_address_that_is_none_is_named_and_not_quoted() -> None:
    with pytest.raises(Error, match="STACKFERRY_DATABASE_URL makes no sense: expected sqlite") as raised:
        database.connect(f"postgresql//me:{CANARY}@host")
    assert CANARY not in str(raised.value)


PROMISED = "0004"  # the last upgrade that took something away


def _schema(engine: Any) -> dict[str, dict[str, bool]]:
    """Table → column → whether a row needs it."""
    found = inspect(engine)
    return {
        table: {
            column["name"]: not column["nullable"] and column["default"] is None for column in found.get_columns(table)
        }
        for table in found.get_table_names()
    }


def test_a_version_of_before_goes_on_with_a_database_that_a_newer_one_has_upgraded(tmp_path: Path) -> None:
    """Two versions side by side on one database: each upgrade only adds what the version before need not know."""
    engine = database.connect(f"sqlite:///{tmp_path}/steps.db")
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    assert len(revisions) >= 6
    before: dict[str, dict[str, bool]] = {}
    for revision in revisions:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        now = _schema(engine)
        for table, columns in before.items() if revision > PROMISED else ():
            assert columns.keys() <= now[table].keys(), (revision, table)
            new = now[table].keys() - columns.keys()
            assert not [name for name in new if now[table][name]], (revision, table)
            assert {name: now[table][name] for name in columns} == columns, (revision, table)
        before = now
    assert {t.name: set(t.columns.keys()) for t in tables.metadata.sorted_tables} == {
        name: set(columns) for name, columns in before.items() if name != "alembic_version"
    }
    engine.dispose()
