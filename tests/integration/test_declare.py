"""Declaring the topology: as often as one likes, by whoever may, and never in silence over something else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kombu import Connection
from stackferry import topology
from stackferry.bus import connect, declare
from stackferry.errors import BrokerUnavailable
from stackferry_cli.local.rabbitmq import Node

pytestmark = pytest.mark.integration


@pytest.fixture
def admin(node: Node) -> Iterator[Connection]:
    with connect(node.uri("admin"), "tests", heartbeat=0) as connection:
        yield connection
        declare(connection)  # for those who come next


def forget(admin: Connection) -> None:
    """Delete the whole topology."""
    with admin.channel() as channel:
        for queue in topology.queues():
            channel.queue_delete(queue.name)
        for exchange in topology.exchanges():
            channel.exchange_delete(exchange.name)


def test_declares_everything_from_nothing_and_again(admin: Connection):
    forget(admin)
    for _ in range(3):
        declare(admin)
    with admin.channel() as channel:
        for queue in topology.queues():
            channel.queue_declare(queue.name, passive=True)
            for exchange, key in topology.bindings(queue):  # AMQP has no question for it: publish
                if exchange != topology.REPLIES.name:
                    returned: list[str] = []
                    channel.events["basic_return"].add(lambda *args, returned=returned: returned.append(args[2]))
                    message = channel.prepare_message(b"probe", properties={"expiration": "1"})
                    channel.basic_publish(message, exchange=exchange, routing_key=key, mandatory=True)
                    channel.queue_declare(queue.name, passive=True)  # a round trip: a return would be here by now
                    assert not returned
                    channel.events["basic_return"].clear()


@pytest.mark.parametrize("user", [user.name for user in topology.USERS])
def test_user_without_the_right_to_create_may_look(node: Node, user: str):
    with connect(node.uri(user), "tests", heartbeat=0) as connection:
        for _ in range(2):
            declare(connection)
        assert connection.connected


def test_user_without_the_right_to_create_learns_what_is_missing(node: Node, admin: Connection):
    with admin.channel() as channel:
        channel.queue_delete(topology.IMPORTER.name)
    with (
        connect(node.uri("importer"), "tests", heartbeat=0) as connection,
        pytest.raises(BrokerUnavailable, match=r"stackferry\.importer does not exist.*definitions\.json"),
    ):
        declare(connection)


@pytest.mark.parametrize("arguments", [{"x-queue-type": "classic"}, {"x-queue-type": "quorum", "x-max-length": 5}])
def test_queue_with_other_arguments_is_named(admin: Connection, arguments: dict[str, object]):
    name = topology.EXPORTER.name
    with admin.channel() as channel:
        channel.queue_delete(name)
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
    try:
        with pytest.raises(BrokerUnavailable, match=r"stackferry\.exporter exists with other arguments"):
            declare(admin)
    finally:
        with admin.channel() as channel:
            channel.queue_delete(name)


def test_exchange_of_another_type_is_named(admin: Connection):
    name = topology.REPLIES.name
    with admin.channel() as channel:
        channel.exchange_delete(name)
        channel.exchange_declare(name, "fanout", durable=True, auto_delete=False)
    try:
        with pytest.raises(BrokerUnavailable, match=r"stackferry\.replies exists with other arguments"):
            declare(admin)
    finally:
        with admin.channel() as channel:
            channel.exchange_delete(name)
