"""Let the unmodified services share SQLite files among threads.

WAL, foreign keys on, and BEGIN IMMEDIATE for transactions that write. The plain BEGIN of Python's SQLite
module takes a snapshot, and fails at once with "database is locked" when it has to write later and
another thread has committed in between; busy_timeout can't help there. oslo.db knows beforehand whether
a transaction will write, so a writer can take the write lock when it begins, and wait for it.
"""

import threading
import types
from typing import Any

WRITES = "stackferry_writes"
"""Key in a session's info: whether it was made for a transaction that writes."""

POOL_SIZE = 20
POOL_OVERFLOW = 40
"""Connections that are kept, and those that are opened beside them when many threads ask."""

local = threading.local()


def adapt() -> None:
    """Adapt this process."""
    keep_connections()
    remember_writers()
    remember_session()
    listen_to_engines()
    retry_when_locked()


def keep_connections() -> None:
    """Let oslo.db keep SQLite connections in a pool.

    It opens one for each transaction, and SQLite then has to parse the whole schema again: a third of
    the time that neutron takes for a router.
    """
    from oslo_db.sqlalchemy import engines
    from sqlalchemy import event, pool

    class Pool(pool.QueuePool):
        def __init__(self, creator: Any, **options: Any) -> None:
            super().__init__(creator, pool_size=POOL_SIZE, max_overflow=POOL_OVERFLOW, **options)

    @event.listens_for(Pool, "checkin")
    def returned(_connection: Any, record: Any) -> None:
        # oslo.db's mark that BEGIN was sent. Were it left behind, the next transaction would have none.
        record.info.pop("in_transaction", None)

    names = {name: getattr(pool, name) for name in ("QueuePool", "SingletonThreadPool", "StaticPool")}
    engines.pool = types.SimpleNamespace(NullPool=Pool, **names)


def remember_writers() -> None:
    """Mark what oslo.db makes for a writer."""
    from oslo_db.sqlalchemy import enginefacade

    def marking(original: Any) -> Any:
        def create(self: Any, mode: Any, **options: Any) -> Any:
            local.writes = mode is enginefacade._WRITER
            made = original(self, mode=mode, **options)
            if hasattr(made, "info"):
                made.info[WRITES] = local.writes
            return made

        return create

    factory = enginefacade._TransactionFactory
    factory._create_session = marking(factory._create_session)
    factory._create_connection = marking(factory._create_connection)


def remember_session() -> None:
    """While a session gets its connection, remember whether that session writes.

    BEGIN is sent within this call, on the same thread, where the session is not known any more.
    """
    from sqlalchemy.orm import Session

    original = Session._connection_for_bind

    def connection_for_bind(self: Any, *args: Any, **options: Any) -> Any:
        before = getattr(local, "session_writes", None)
        local.session_writes = self.info.get(WRITES, True)
        try:
            return original(self, *args, **options)
        finally:
            local.session_writes = before

    Session._connection_for_bind = connection_for_bind


def listen_to_engines() -> None:
    """Set up every connection, and rewrite BEGIN."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA busy_timeout=20000")
            # A crash of the machine may lose the last writes; a crash of the process doesn't.
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def executing(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        if statement == "BEGIN" and connection.dialect.name == "sqlite":
            writes = getattr(local, "session_writes", None)
            if writes is None:
                writes = getattr(local, "writes", True)
            if writes:
                statement = "BEGIN IMMEDIATE"
        return statement, parameters


def retry_when_locked() -> None:
    """Turn "locked" into the error at which the services try again."""
    from oslo_db import exception
    from oslo_db.sqlalchemy import engines, exc_filters
    from sqlalchemy import exc

    assert engines  # noqa: S101  (imported so that its own listeners come first)

    @exc_filters.filters("sqlite", exc.OperationalError, r".*database is locked.*")
    def locked(error: Exception, *_: Any) -> None:
        raise exception.DBDeadlock(error)
