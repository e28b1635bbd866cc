"""What becomes of work while the database is away, and of an address that is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from stackferry.errors import Error, NotNow
from stackferry_coordinator import database

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
