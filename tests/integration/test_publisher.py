"""Publishing: what returned without an error is in its queue, whatever happens to the broker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from amqp.exceptions import PreconditionFailed
from stackferry import topology
from stackferry.bus import Outgoing, Publisher, connect
from stackferry.errors import BrokerUnavailable, Unconfirmed, Unroutable
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import Node

from .conftest import watermark

pytestmark = pytest.mark.integration

QUEUE = topology.IMPORTER.name


def to(key: str, message_id: str = "id", exchange: str = topology.COMMANDS.name, body: bytes = b"{}") -> Outgoing:
    return Outgoing(exchange, key, body, message_id)


def test_unroutable_is_raised_and_harms_nothing(publisher: Publisher, broker: Any):
    with pytest.raises(Unroutable, match=r"no queue takes stackferry\.nobody on stackferry\.commands"):
        publisher.publish(to("stackferry.nobody"))
    publisher.publish(to(QUEUE))
    assert broker.has(QUEUE, 1)


def test_missing_exchange_is_unconfirmed_and_the_next_publish_works(publisher: Publisher, broker: Any):
    with pytest.raises(Unconfirmed):
        publisher.publish(to(QUEUE, exchange="stackferry.nowhere"))
    publisher.publish(to(QUEUE))
    assert broker.has(QUEUE, 1)


def test_all_outcomes_in_their_order(publisher: Publisher, broker: Any):
    keys = [QUEUE, "stackferry.nobody", QUEUE, "stackferry.noone", QUEUE]
    outcomes = publisher.publish_all([to(key, f"id-{n}") for n, key in enumerate(keys)])
    assert [type(outcome) for outcome in outcomes] == [type(None), Unroutable, type(None), Unroutable, type(None)]
    assert publisher.publish_all([]) == []
    assert broker.has(QUEUE, 3)


def test_message_is_persistent_and_carries_its_properties(publisher: Publisher, broker: Any):
    headers = {"x-attempt": 2, "text": "ä", "nested": {"list": [1, None, True]}}
    publisher.publish(Outgoing(topology.COMMANDS.name, QUEUE, "ä".encode(), "my-id", headers, correlation_id="my-c"))
    (message,) = broker.take(QUEUE, 1)
    assert bytes(message.body) == "ä".encode()
    assert message.properties == {
        "application_headers": headers,
        "content_encoding": "utf-8",
        "content_type": "application/cloudevents+json",
        "correlation_id": "my-c",
        "delivery_mode": 2,
        "message_id": "my-id",
        "user_id": "coordinator",
    }


def test_threads_share_a_publisher(publisher: Publisher, broker: Any):
    outcomes: list[Any] = []

    def work(name: str) -> None:
        for n in range(20):
            outcomes.extend(
                publisher.publish_all([to(QUEUE, f"{name}-{n}"), to("stackferry.nobody", f"{name}-{n}-no")])
            )

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(outcome is None for outcome in outcomes) == 80
    assert sum(isinstance(outcome, Unroutable) for outcome in outcomes) == 80
    assert broker.has(QUEUE, 80)


@pytest.fixture
def small_queue(node: Node) -> Iterator[str]:
    """A queue for one message that refuses more."""
    with connect(node.uri("admin"), "tests", heartbeat=0) as connection:
        channel = connection.channel()
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        name: str = channel.queue_declare("", arguments=arguments, exclusive=False, auto_delete=False).queue
        yield name
        channel.queue_delete(name)


def test_full_queue_is_unconfirmed(publisher: Publisher, small_queue: str, broker: Any):
    outcomes = publisher.publish_all([to(small_queue, f"id-{n}", exchange="") for n in range(5)])
    assert outcomes[0] is None
    assert isinstance(outcomes[-1], Unconfirmed)
    assert "full" in str(outcomes[-1])
    with pytest.raises(Unconfirmed):
        publisher.publish(to(small_queue, exchange=""))
    # a refusal isn't a break: the same connection goes on
    connection = publisher._connection
    publisher.publish(to(QUEUE))
    assert publisher._connection is connection
    assert broker.has(small_queue, sum(outcome is None for outcome in outcomes))


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_next_publish_after_a_restart_works(publisher: Publisher, node: Node, broker: Any, how: str):
    publisher.publish(to(QUEUE))
    getattr(node, how)()
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        publisher.publish(to(QUEUE))
    node.start()
    publisher.publish(to(QUEUE))
    assert broker.has(QUEUE, 2)


def test_wrong_password_says_so_without_the_password(node: Node):
    uri = node.uri("client")
    password = uri.split(":")[2].partition("@")[0]
    with pytest.raises(BrokerUnavailable, match="refuses this user or password") as caught:
        Publisher(uri.replace(password, "wr0ng")).publish(to(QUEUE))
    assert "wr0ng" not in str(caught.value)


# -- nothing that was confirmed is lost ----------------------------------------------------------------------


@contextmanager
def publishing(uri: str) -> Iterator[tuple[list[str], Callable[[], bool]]]:
    """A thread that publishes in batches: the ids that were confirmed, and whether it still works."""
    confirmed: list[str] = []
    over = threading.Event()

    def work() -> None:
        publisher, number = Publisher(uri, "loop", confirm_timeout=10), 0
        while not over.is_set():
            ids = [f"loop-{number + n}" for n in range(20)]
            number += 20
            try:
                outcomes = publisher.publish_all([to(QUEUE, id_) for id_ in ids])
            except BrokerUnavailable:
                over.wait(0.1)  # as a relay does
                continue
            confirmed.extend(id_ for id_, outcome in zip(ids, outcomes, strict=True) if outcome is None)
        publisher.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield confirmed, thread.is_alive
    finally:
        over.set()
        thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_confirmed_messages_survive_the_broker(node: Node, broker: Any, how: str):
    with publishing(node.uri("coordinator")) as (confirmed, alive):
        for _ in range(2):
            before = len(confirmed)
            assert until(lambda before=before: len(confirmed) >= before + 200, 60)
            getattr(node, how)()
            node.start()
        before = len(confirmed)
        assert until(lambda: len(confirmed) >= before + 200, 60)
        assert alive()
    found = [message.properties["message_id"] for message in broker.take(QUEUE)]
    lost = set(confirmed) - set(found)
    assert len(confirmed) >= 600
    assert not lost
    assert len(found) == len(set(found)), "publish_all sent a message twice"


# -- a broker that hangs -------------------------------------------------------------------------------------


@contextmanager
def frozen(node: Node) -> Iterator[None]:
    pid = node.process.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(("count", "size"), [(1, 2), (40, 1 << 20)])
def test_broker_that_hangs_holds_nobody_for_ever(node: Node, count: int, size: int):
    """The small batch waits for its confirmation, the big one can't even be written."""
    publisher = Publisher(node.uri("admin"), "tests", confirm_timeout=2)
    publisher.publish(to(QUEUE, "first"))
    with frozen(node):
        began = time.monotonic()
        outcomes = publisher.publish_all([to(QUEUE, f"id-{n}", body=b" " * size) for n in range(count)])
        assert time.monotonic() - began < 10
    assert all(isinstance(outcome, Unconfirmed) for outcome in outcomes)
    publisher.publish(to(QUEUE, "last"))
    publisher.close()


def test_a_message_that_is_too_long_is_refused_by_the_broker(node: Node, broker: Any):
    with connect(node.uri("admin"), "tests", heartbeat=0) as connection:
        channel = connection.channel()
        body = bytes(topology.MAX_MESSAGE_BYTES + 1)
        with pytest.raises(PreconditionFailed, match="larger than configured max size"):
            channel.basic_publish_confirm(channel.prepare_message(body), topology.COMMANDS.name, QUEUE)
    assert broker.has(QUEUE, 0)


def test_a_broker_in_alarm_is_named_and_what_was_not_taken_is_taken_afterwards(node: Node, broker: Any):
    publisher = Publisher(node.uri("admin"), "tests", confirm_timeout=3)
    message = Outgoing(topology.RETURNS.name, topology.IMPORTER.name, b"{}", "m")
    publisher.publish(message)
    watermark(node, "0.000001")
    try:

        def said() -> str:
            (outcome,) = publisher.publish_all([message])
            return str(outcome)

        assert until(lambda: "short of memory or disk, and takes nothing" in said(), 40)
    finally:
        watermark(node, "0.4")
    assert until(lambda: publisher.publish_all([message]) == [None], 40)
    publisher.close()
