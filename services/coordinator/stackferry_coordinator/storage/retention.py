"""What the coordinator remembers has an end: migrations that are over are forgotten, when asked or after a while.

A migration that is to be forgotten is only marked: from then on nobody finds it. Its rows go slice by slice, each in a
transaction of its own, so that nobody waits long, and a coordinator that is killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, select, update
from stackferry.phases import OVER

from . import tables as t

FORGOTTEN = "forgotten"  # a phase that nobody is told
SLICE = 2000  # rows, or pages of a file, of one transaction
#: tables whose rows belong to a migration, and the column by which some of them are chosen
ROWS = ((t.fact, "id"), (t.part, "number"), (t.document, "key"), (t.edge, "before"), (t.step, "key"),
        (t.turn, "thing"))  # fmt: skip
#: phases in which the parts of the documents have become steps
PLANNED = ("planning", "planned", "running", "done", "undoing", "undone", "cleaning")


def mark(connection: Connection, migrations: Collection[str]) -> None:
    """Let nobody find these any more, as far as they're over."""
    _mark(connection, t.migration.c.id.in_(migrations))


def mark_old(connection: Connection, when: float) -> bool:
    """The same of all that were over by then; return whether there were any."""
    return _mark(connection, t.migration.c.changed < when)


def _mark(connection: Connection, which: ColumnElement[bool]) -> bool:
    found = update(t.migration).where(which, t.migration.c.phase.in_(OVER)).values(phase=FORGOTTEN)
    return connection.execute(found).rowcount > 0


def is_marked(connection: Connection, migration: str) -> bool:
    """Whether a migration is being forgotten."""
    c = t.migration.c
    return connection.execute(select(c.id).where(c.id == migration, c.phase == FORGOTTEN)).first() is not None


def drop_parts(connection: Connection) -> None:
    """Forget the documents as they arrived, once each has a step: that keeps it."""
    planned = select(t.migration.c.id).where(t.migration.c.phase.in_(PLANNED))
    connection.execute(delete(t.part).where(t.part.c.migration.in_(planned)))


def sweep(engine: Engine) -> bool:
    """Delete one slice of what is to be forgotten; return whether there may be more."""
    marked = select(t.migration.c.id).where(t.migration.c.phase == FORGOTTEN).limit(1)
    with engine.begin() as connection:
        left = SLICE
        while left > 0:
            id_ = connection.execute(marked).scalar()
            if id_ is None:
                return left < SLICE or _shrink(connection)
            for table, column in ROWS:
                left -= _delete(connection, table, column, id_, left)
            if left > 0:  # nothing is left of it
                connection.execute(delete(t.migration).where(t.migration.c.id == id_))
                left -= 1
    return True


def _delete(connection: Connection, table: Table, column: str, migration: str, most: int) -> int:
    """Delete some rows of a migration; return how many."""
    if most <= 0:
        return 0
    chosen = select(table.c[column]).where(table.c.migration == migration).distinct().limit(most)
    return connection.execute(delete(table).where(table.c.migration == migration, table.c[column].in_(chosen))).rowcount


def _shrink(connection: Connection) -> bool:
    """Give some of a file's free pages back to the system; PostgreSQL's autovacuum does so by itself."""
    if connection.dialect.name != "sqlite":
        return False
    free = int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())
    # It has no rows, and yet works on only for as long as somebody asks for the next one.
    connection.connection.driver_connection.execute(f"PRAGMA incremental_vacuum({SLICE})").fetchall()  # type: ignore[union-attr]
    return (
        0 < int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()) < free
    )  # an older file keeps its pages
