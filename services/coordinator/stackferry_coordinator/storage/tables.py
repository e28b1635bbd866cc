"""The coordinator's tables. Source of truth for alembic; one row a step, so a message touches few rows."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})
ID = String(64)
KEY = String(512)

migration = Table(
    "migration", metadata,
    Column("id", ID, primary_key=True),
    Column("request", JSON, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("reason", Text),
    Column("counts", JSON, nullable=False),
    Column("parts", Integer),
    Column("got", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("created", Float, nullable=False),  # seconds since the epoch
    Column("changed", Float, nullable=False),
    Column("owner", String(255), nullable=False, server_default=""),  # the broker's user who spoke of it first
    Column("agenda", JSON(none_as_null=True)),  # what is being done with all of it, slice by slice
)  # fmt: skip

step = Table(
    "step", metadata,
    Column("migration", ID, ForeignKey("migration.id", ondelete="CASCADE"), primary_key=True),
    Column("key", KEY, primary_key=True),
    Column("action", String(16), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("order", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("waits", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due", Float),
    Column("claim", String(64)),
    Column("outcome", String(16)),
    Column("destination_id", String(255)),
    Column("made", JSON, nullable=False),
    Column("source_id", String(255)),
    Column("links", JSON, nullable=False),
    Column("hints", JSON, nullable=False),
    Column("reason", Text),
    Column("notes", JSON, nullable=False),
    Column("changes", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("done", BigInteger, nullable=False),  # bytes of a disk, mostly
    Column("total", BigInteger),
    Column("group", KEY, nullable=False, server_default=""),
    Column("results", JSON, nullable=False, server_default="{}"),
    Index(None, "migration", "state", "order"),
    Index("ix_step_of_group", "migration", "group", "key"),
    Index(None, "state", "due"),
    Index("ix_step_by_kind", "migration", "kind", "action", "state", "outcome", "seconds"),
    Index("ix_step_in_order", "migration", "order", "key"),
)  # fmt: skip

edge = Table(
    "edge", metadata,
    Column("migration", ID, ForeignKey("migration.id", ondelete="CASCADE"), primary_key=True),
    Column("before", KEY, primary_key=True),
    Column("after", KEY, primary_key=True),
    Column("hard", Boolean, nullable=False),
    Index(None, "migration", "after"),
)  # fmt: skip

document = Table(
    "document", metadata,
    Column("migration", ID, ForeignKey("migration.id", ondelete="CASCADE"), primary_key=True),
    Column("key", KEY, primary_key=True),
    Column("content", JSON, nullable=False),
)  # fmt: skip

#: documents as they arrived, until all are there
part = Table(
    "part", metadata,
    Column("migration", ID, ForeignKey("migration.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("documents", JSON, nullable=False),
)  # fmt: skip

#: every message that changed a migration, in order: folding them again gives the same state, but for progress
fact = Table(
    "fact", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("migration", ID, nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("name", String(64), nullable=False),
    Column("data", JSON, nullable=False),
)  # fmt: skip

#: what became of a source's resource at a destination, over all migrations: survives a rename
identity = Table(
    "identity", metadata,
    Column("destination", String(255), primary_key=True),
    Column("project", String(255), primary_key=True),
    Column("kind", String(64), primary_key=True),
    Column("source_id", String(255), primary_key=True),
    Column("destination_id", String(255), nullable=False),
)  # fmt: skip

#: which migration makes what at a destination (see ``turns``), or made it last
turn = Table(
    "turn", metadata,
    Column("destination", String(255), primary_key=True),
    Column("project", String(255), primary_key=True),
    Column("thing", String(64), primary_key=True),  # a digest of its kind and name, or of its kind and the source's id
    Column("migration", ID, nullable=False),
    Column("step", String(255), nullable=False),
    Column("group", String(255), nullable=False),
    Column("at", Float, nullable=False),
)  # fmt: skip

#: the messages that were taken in, each by a digest of sender, source and id: a second delivery changes nothing
inbox = Table(
    "inbox", metadata,
    Column("message", String(255), primary_key=True),
    Column("at", Float, nullable=False, index=True),
)  # fmt: skip

#: messages to publish; one may be sent twice, when its sender dies between the broker's confirmation and the delete
outbox = Table(
    "outbox", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("exchange", String(255), nullable=False),
    Column("key", String(255), nullable=False),
    Column("message", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
)  # fmt: skip

#: processes on conversion hosts that move bytes
agent = Table(
    "agent", metadata,
    Column("host", String(64), primary_key=True),  # id of the server
    Column("instance", String(255), primary_key=True),
    Column("name", String(255)),  # of the host, for people
    Column("cloud", String(255), nullable=False),
    Column("project", String(255), nullable=False),
    Column("slots", Integer, nullable=False),  # copies that it takes part in at once
    Column("version", String(64)),
    Column("certificate", Text, nullable=False),
    Column("seen", Float, nullable=False),
)  # fmt: skip

#: what people have said about conversion hosts
host = Table(
    "host", metadata,
    Column("id", String(64), primary_key=True),  # of the server
    Column("draining", Boolean, nullable=False),
)  # fmt: skip

worker = Table(
    "worker", metadata,
    Column("service", String(64), primary_key=True),
    Column("instance", String(255), primary_key=True),
    Column("version", String(64)),
    Column("certificate", Text),
    Column("clouds", JSON(none_as_null=True)),  # names of those that it has credentials for
    Column("seen", Float, nullable=False),
)  # fmt: skip
