"""The engine: SQLite (WAL) for one coordinator, PostgreSQL for several; and bringing its schema up to date."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError, TimeoutError
from sqlalchemy.pool import QueuePool
from stackferry.errors import Error, NotNow

#: the first one has effect on a new file only: what is forgotten gives its space back then
PRAGMAS = ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000")


def connect(url: str | URL) -> Engine:
    """Return an engine for *url* (``sqlite:///path`` or ``postgresql+psycopg://...``); Error for what is none."""
    try:
        backend = make_url(url).get_backend_name()
    except ArgumentError:  # which would quote it, with its password
        text = "expected sqlite:///path or postgresql+psycopg://user:password@host/database"
        raise Error(f"STACKFERRY_DATABASE_URL makes no sense: {text}") from None
    if backend == "sqlite":
        return _sqlite(url)
    return create_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=True)


def _sqlite(url: str | URL) -> Engine:
    # One connection: transactions take turns here instead of waiting for SQLite's lock, which would stop
    # every greenlet of the process.
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=120, json_deserializer=_loaded
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection, record) -> None:  # type: ignore[no-untyped-def]
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        begin = "BEGIN IMMEDIATE"  # a reader that turns writer could fail at once
        connection.connection.driver_connection.execute(begin)  # type: ignore[union-attr]

    return engine


def _loaded(text: str) -> Any:
    """JSON of a column; most are empty, and looking is cheaper than parsing."""
    return {} if text == "{}" else [] if text == "[]" else json.loads(text)


@contextmanager
def awaited() -> Iterator[None]:
    """Raise NotNow when the database is away: what was to be written waits for it, however long that takes."""
    try:
        yield
    except (OperationalError, InterfaceError, TimeoutError) as error:
        raise NotNow(f"the database is away: {_short(error)}") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise NotNow(f"the database was lost: {_short(error)}") from error


def _short(error: Exception) -> str:
    """Without the statement and its values."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


@contextmanager
def _readable() -> Iterator[None]:
    """Raise Error for a file that is none of SQLite's, or broken: waiting doesn't help."""
    try:
        yield
    except DatabaseError as error:
        if not isinstance(error.orig, sqlite3.DatabaseError) or isinstance(error, OperationalError):
            raise
        raise Error(f"the database can't be read: {_short(error)}; put a backup back (stackferry restore)") from error


def upgrade(engine: Engine) -> None:
    """Bring the schema to this version's; safe to call by several coordinators at once.

    Raises Error for a database of a newer version, or one that is broken.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with _readable(), engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(727274)")
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise Error(f"the database was used by a newer version of Stackferry: start that one ({error})") from None
