"""Messages that are to be published: rows that are written with what they follow from, and deleted once sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select
from stackferry import topology
from stackferry.bus import Outgoing, Publisher
from stackferry.errors import BrokerUnavailable, Nacked, Unroutable

from . import tables as t

BATCH = 64
EXCHANGES = (topology.COMMANDS.name, topology.EVENTS.name)
_DUE = select(t.outbox).order_by(t.outbox.c.id).limit(BATCH).with_for_update(skip_locked=True)
_FORGET = delete(t.outbox).where(t.outbox.c.id == bindparam("b_id"))
_KEEP = insert(t.outbox)


def keep(connection: Connection, messages: list[Outgoing]) -> None:
    """Write what is to be published once this transaction is over."""
    if messages:
        connection.execute(
            _KEEP, [{"exchange": m.exchange, "key": m.key, "message": m.message_id, "body": m.body} for m in messages]
        )


def relay(
    engine: Engine, publisher: Publisher, may_come_back: Callable[[str], bool] = lambda _: True,
    told: Callable[[str, bytes], None] = lambda key, body: None,
) -> tuple[int, set[str]]:  # fmt: skip
    """Publish what is due, in order; return how many messages the broker has taken, and the queues that are gone.

    What was for one of these is kept while its queue *may come back*. *told*: called with each event that was taken.
    """
    if engine.dialect.name == "sqlite":  # alone; and its only connection must not wait for the broker
        with engine.begin() as connection:
            rows = _due(connection)
        sent, unroutable = _publish(publisher, rows, told)
        if sent or unroutable:
            with engine.begin() as connection:
                _settle(connection, sent, unroutable, may_come_back)
    else:
        with engine.begin() as connection:  # others skip the rows that this one has locked
            sent, unroutable = _publish(publisher, _due(connection), told)
            _settle(connection, sent, unroutable, may_come_back)
    return len(sent), {row["key"] for row in unroutable if row["exchange"] == topology.COMMANDS.name}


def _due(connection: Connection) -> list[Any]:
    return list(connection.execute(_DUE).mappings())


def _publish(publisher: Publisher, rows: list[Any], told: Callable[[str, bytes], None]) -> tuple[list[int], list[Any]]:
    """Return the ids of what is done with, and the rows that no queue is there for.

    An event is done with when the broker has refused it: somebody who listens has a full queue, and all others have it.
    What a version before has left for other exchanges, which nobody may tell any more, isn't sent.
    """
    left = [row["id"] for row in rows if row["exchange"] not in EXCHANGES]
    rows = [row for row in rows if row["exchange"] in EXCHANGES]
    if not rows:
        return left, []
    try:
        outcomes = publisher.publish_all([_outgoing(row) for row in rows])
    except BrokerUnavailable:
        return left, []
    found = list(zip(rows, outcomes, strict=True))
    for row, outcome in found:
        if row["exchange"] == topology.EVENTS.name and (outcome is None or isinstance(outcome, Unroutable | Nacked)):
            told(row["key"], bytes(row["body"]))  # also where nobody listens, or one who does has a full queue
    sent = [row["id"] for row, outcome in found if outcome is None or _is_refused_event(row, outcome)]
    return left + sent, [row for row, outcome in found if isinstance(outcome, Unroutable)]


def _is_refused_event(row: Any, outcome: object) -> bool:
    return row["exchange"] == topology.EVENTS.name and isinstance(outcome, Nacked)


def _settle(
    connection: Connection, sent: list[int], unroutable: list[Any], may_come_back: Callable[[str], bool]
) -> None:
    """Forget what was sent; what can't be routed goes to the end, or many of it would hold up everything."""
    if ids := [*sent, *(row["id"] for row in unroutable)]:
        connection.execute(_FORGET, [{"b_id": id_} for id_ in ids])
    commands = [row for row in unroutable if row["exchange"] != topology.EVENTS.name]  # an event nobody waits for
    if back := [row for row in commands if may_come_back(row["key"])]:
        connection.execute(_KEEP, [{n: v for n, v in row.items() if n != "id"} for row in back])


def _outgoing(row: Any) -> Outgoing:
    return Outgoing(row["exchange"], row["key"], bytes(row["body"]), row["message"])
