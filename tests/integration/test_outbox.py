"""The outbox: what can't be routed doesn't hold up what can."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select
from stackferry.errors import Unroutable
from stackferry_coordinator import outbox
from stackferry_coordinator import tables as t

from .test_store import engine  # noqa: F401 - a fixture


class Publisher:
    """A broker without some queues."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def publish_all(self, messages: list[Any]) -> list[Unroutable | None]:
        self.sent += [message.message_id for message in messages if message.key != "gone"]
        return [Unroutable("no queue") if message.key == "gone" else None for message in messages]


def row(number: int, key: str) -> dict[str, Any]:
    return {"exchange": "x", "key": key, "message": f"{key}-{number}", "body": b"{}"}


def test_what_cannot_be_routed_goes_to_the_end(engine: Any) -> None:  # noqa: F811
    gone = [row(number, "gone") for number in range(2 * outbox.BATCH)]
    with engine.begin() as connection:
        connection.execute(insert(t.outbox), [*gone, row(1, "here")])
    publisher = Publisher()
    for _ in range(3):
        outbox.relay(engine, publisher)  # type: ignore[arg-type]
    assert publisher.sent == ["here-1"]
    with engine.begin() as connection:
        left = connection.execute(select(t.outbox.c.message)).scalars().all()
    assert sorted(left) == sorted(each["message"] for each in gone)
