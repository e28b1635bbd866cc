"""The outbox: what can't be routed doesn't hold up what can."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import insert, select
from stackferry.errors import BrokerUnavailable, Unroutable
from stackferry.messages import RequestMigration
from stackferry_coordinator.storage import outbox
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.transactions.shell import Shell
from stackferry_coordinator.trust.authority import Authority

from .test_store import engine  # noqa: F401 - a fixture


class Publisher:
    """A broker without some queues."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def publish_all(self, messages: list[Any]) -> list[Unroutable | None]:
        self.sent += [message.message_id for message in messages if message.key != "gone"]
        return [Unroutable("no queue") if message.key == "gone" else None for message in messages]


def row(number: int, key: str) -> dict[str, Any]:
    return {"exchange": "stackferry.commands", "key": key, "message": f"{key}-{number}", "body": b"{}"}


class Flaky(Publisher):
    """A broker that is away at times."""

    away = False

    def publish_all(self, messages: list[Any]) -> list[Unroutable | None]:
        if self.away:
            raise BrokerUnavailable("away")
        return super().publish_all(messages)


def test_what_follows_from_a_message_is_sent_at_once_and_what_the_broker_did_not_take_at_the_next_tick(
    engine: Any,  # noqa: F811
) -> None:
    publisher = Flaky()
    coordinator = Shell(engine, publisher, authority=Authority(own_user=""))  # type: ignore[arg-type]

    def request() -> None:
        data = {"migration": str(uuid.uuid4()), "source": {"cloud": "a"}, "destination": {"cloud": "b"}}
        coordinator.take(RequestMigration.make("test", data))

    assert coordinator.relay() == 0
    request()
    assert coordinator.relay() == len(publisher.sent) > 0
    assert coordinator.relay() == 0
    publisher.away = True
    request()
    assert coordinator.relay() == 0
    publisher.away = False
    coordinator.tick()
    assert coordinator.relay() > 0


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
