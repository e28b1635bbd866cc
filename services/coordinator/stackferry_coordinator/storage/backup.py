"""A copy of the coordinator's SQLite database, and putting one back.

``python -m stackferry_coordinator.storage.backup`` does it by hand.

A file in WAL mode must not be copied by hand: what was written last is in another one. PostgreSQL has tools of its own.

Nobody knows what was done after a backup. So whatever was under way then isn't gone on with after a restore: it's
cancelled, and says so. The same migration, asked for again, looks at what is there before it writes.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, delete, make_url, select
from stackferry.errors import Error
from stackferry.phases import OVER, RESTORED

from ..plan.states import OPEN
from . import database
from . import tables as t
from .retention import FORGOTTEN
from .store import Store

BESIDE = ("-wal", "-shm")  # ends of the names of files that SQLite has beside a database
#: rows that are about what is under way
PASSING = (t.outbox, t.agent, t.worker, t.turn)


def file_of(url: str) -> Path:
    """The file of a database; raise Error when it's none of SQLite's."""
    found = make_url(url)
    if found.get_backend_name() != "sqlite" or not found.database:
        raise Error("only SQLite's files are backed up so; of PostgreSQL, pg_dump and pg_restore make and read backups")
    return Path(found.database)


def save(source: Path, target: Path) -> None:
    """Write a copy of *source*, as it is at one moment, to *target*; whoever uses it isn't stopped."""
    if not source.exists():
        raise Error(f"{source}: there is no database")
    if target.exists():
        raise Error(f"{target}: it's there already")
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # it has names and addresses of tenants
    try:
        with (
            closing(_reading(source)) as here,
            closing(sqlite3.connect(part)) as there,
        ):
            here.backup(there)
            there.execute("PRAGMA journal_mode=DELETE")  # one file, whatever is done with it
        _check(part)
        _stored(part)
        part.rename(target)
        _stored(target.parent)
    except sqlite3.Error as error:
        raise Error(f"{source}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def restore(backup: Path, target: Path, now: float) -> tuple[Path | None, list[str]]:
    """Put a backup in the place of a database that nobody uses; at any moment there's one of them, whole.

    Return where the other one is now, if there was one, and the ids of the migrations that were under way then.
    """
    _check(backup)
    new, old = target.with_name(f".{target.name}.new"), target.with_name(f"{target.name}.before-{now:.0f}")
    _remove(new)
    save(backup, new)
    engine = database.connect(URL.create("sqlite", database=str(new)))
    try:
        database.upgrade(engine)
        stopped = stop_all(engine, now)
    finally:
        engine.dispose()
    _settle(new)
    there = target.exists()
    if there:
        with suppress(sqlite3.Error):  # one that is broken stays so
            _settle(target)
        os.link(target, old)
        for end in BESIDE:  # a new database must never find the changes of the old one
            with suppress(FileNotFoundError):
                target.with_name(target.name + end).rename(old.with_name(old.name + end))
    new.replace(target)
    _stored(target.parent)
    return (old if there else None), stopped


def stop_all(engine: Engine, now: float) -> list[str]:
    """Cancel what is under way, without a word to anybody; return the ids."""
    c = t.migration.c
    with engine.begin() as connection:
        query = select(c.id).where(c.phase.not_in((*OVER, FORGOTTEN))).order_by(c.created)
        ids = list(connection.execute(query).scalars())
        for id_ in ids:
            _stop(connection, id_, now)
        for table in PASSING:
            connection.execute(delete(table))
    return ids


def _stop(connection: Connection, migration: str, now: float) -> None:
    store = Store.open(connection, migration)
    if store is None:
        return
    for step in store.fresh(store.all()):
        if step.state in (*OPEN, "holding"):
            state = "removed" if step.state == "holding" else "skipped"
            store.change(step, state=state, due=None, claim=None, reason=RESTORED)
    store.head = replace(store.head, phase="cancelled", paused=False, reason=RESTORED, agenda=None)
    store.flush(now)


def _check(file: Path) -> None:
    """Raise Error unless a file is a whole database of ours."""
    if not file.is_file():
        raise Error(f"{file}: there is no such file")
    try:
        with closing(_reading(file)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.DatabaseError as error:
        raise Error(f"{file}: {error}") from error
    if found != "ok":
        raise Error(f"{file}: it is damaged: {found}")
    if not {"alembic_version", "migration", "step"} <= tables:
        raise Error(f"{file}: it is no database of Stackferry's")


def _reading(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)


def _settle(file: Path) -> None:
    """Take what is in the files beside a database into it."""
    with closing(sqlite3.connect(file, timeout=1)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _remove(file: Path) -> None:
    for end in ("", *BESIDE):
        file.with_name(file.name + end).unlink(missing_ok=True)


def _stored(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> None:
    """``save FILE``, or ``restore FILE`` while no coordinator runs; STACKFERRY_DATABASE_URL says of which database."""
    try:
        if len(sys.argv) != 3 or sys.argv[1] not in ("save", "restore"):
            raise Error("usage: python -m stackferry_coordinator.storage.backup save|restore FILE")
        words, file = sys.argv[1], Path(sys.argv[2]).absolute()
        own = file_of(os.environ.get("STACKFERRY_DATABASE_URL") or "sqlite:///stackferry.db")
        if words == "save":
            save(own, file)
            return
        old, stopped = restore(file, own, time.time())
    except Error as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    if old:
        print(f"the database of before is {old}")
    for id_ in stopped:
        print(f"{id_}: {RESTORED}")


if __name__ == "__main__":
    main()
