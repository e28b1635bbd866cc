"""One request in three ways: our client, plain kombu, and a command-line publisher."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from amqp import Connection as AMQPConnection
from amqp import Message
from kombu import Connection, Producer
from stackferry import events, topology
from stackferry.bus import Outgoing, Publisher
from stackferry.client import Client
from stackferry.delivery import read
from stackferry.envelope import Envelope
from stackferry.errors import NoAnswer, Unroutable
from stackferry.messages import Answer, MigrationChanged
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import Node

pytestmark = pytest.mark.integration

QUEUE = topology.COORDINATOR.name
DATA = {"source": {"cloud": "src"}, "destination": {"cloud": "dst", "project": "p"}, "mode": "plan"}


def accepted(broker: Any) -> Envelope:
    """The one message in the coordinator's queue, as the coordinator reads it."""
    (message,) = broker.take(QUEUE, 1)
    envelope = read(message.body, message.properties.get("content_type"), QUEUE)
    assert envelope.type == "stackferry.request-migration.v1"
    assert {name: value for name, value in envelope.data.items() if name not in ("migration", "reply_to")} == DATA
    return envelope


def test_with_our_client(node: Node, broker: Any):
    with Client(node.uri("client")) as ferry:
        migration = ferry.migrate("src", {"cloud": "dst", "project": "p"}, mode="plan")
    assert accepted(broker).data["migration"] == migration


def request(migration: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "somebody",
        "type": "stackferry.request-migration.v1",
        "data": {"migration": migration, **DATA},
    }


def test_with_plain_kombu(node: Node, broker: Any):
    event = request(migration := str(uuid.uuid4()))
    with Connection(node.uri("client")) as connection:
        Producer(connection).publish(
            json.dumps(event), exchange="stackferry.requests", routing_key="stackferry.coordinator",
            content_type="application/cloudevents+json", content_encoding="utf-8", user_id="client",
        )  # fmt: skip
    assert accepted(broker).data["migration"] == migration


PUBLISH = """
import sys
from amqp import Connection, Message
host, user, password, exchange, key, content_type = sys.argv[1:]
with Connection(host, userid=user, password=password) as connection:
    message = Message(sys.stdin.buffer.read(), content_type=content_type)
    connection.channel().basic_publish_confirm(message, exchange, key)
"""


def test_with_a_command_that_reads_the_body_from_stdin(node: Node, broker: Any):
    event = request(migration := str(uuid.uuid4()))
    with Connection(node.uri("client")) as known:
        where = [f"{known.hostname}:{known.port}", known.userid, known.password]
    what = ["stackferry.requests", "stackferry.coordinator", "application/cloudevents+json"]
    subprocess.run(
        [sys.executable, "-c", PUBLISH, *where, *what], input=json.dumps(event, indent=1).encode(), check=True
    )
    envelope = accepted(broker)
    assert envelope.data["migration"] == migration
    assert envelope.time  # whoever leaves it out gets the time of its arrival


def test_content_type_may_have_parameters(node: Node, broker: Any):
    event = request(str(uuid.uuid4()))
    with Connection(node.uri("client")) as known:
        host, user, password = f"{known.hostname}:{known.port}", known.userid, known.password
    with AMQPConnection(host, userid=user, password=password) as connection:
        message = Message(json.dumps(event).encode(), content_type="application/cloudevents+json; charset=utf-8")
        connection.channel().basic_publish_confirm(message, "stackferry.requests", "stackferry.coordinator")
    accepted(broker)


def test_unanswered_question_names_the_queue(node: Node, broker: Any):
    with Client(node.uri("client"), timeout=0.3) as ferry, pytest.raises(NoAnswer, match=r"stackferry\.coordinator"):
        ferry.migrations()
    assert len(broker.take(QUEUE, 1)) == 1


def test_who_waits_for_a_phase_has_patience_with_a_coordinator_that_is_away(
    node: Node, broker: Any, publisher: Publisher
):
    migration = str(uuid.uuid4())
    state = {"phase": "done", "reason": None, "source": {"cloud": "src"}, "destination": {"cloud": "dst"}}
    with Client(node.uri("client"), timeout=0.3) as ferry, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ferry.wait_for, migration, "done", 30)
        assert len(broker.take(QUEUE, 3)) >= 3  # each was given up, and asked again
        while not waiting.done():
            for message in broker.take(QUEUE):
                tell(publisher, Envelope.from_bytes(message.body), {"migration": state, "steps": []})
        assert waiting.result() == {**state, "steps": []}


def test_a_client_finds_out_that_its_connection_is_gone_though_there_is_still_something_to_read(
    node: Node, broker: Any, publisher: Publisher
):
    with Client(node.uri("client"), timeout=10) as ferry, ThreadPoolExecutor(1) as pool:
        lost = ferry._listener.connection.connection
        lost.heartbeat_tick()
        lost.last_heartbeat_sent = 0.0  # it has done something else for long
        fact(publisher, ferry.migrate("src", "dst"), "running")
        assert select.select([lost.transport.sock], [], [], 10)[0]
        lost.transport.sock.shutdown(socket.SHUT_WR)
        waiting = pool.submit(ferry.migrations)
        while not waiting.done():
            for message in broker.take(QUEUE):
                tell(publisher, Envelope.from_bytes(message.body), {"migrations": []})
        assert waiting.result() == []


def test_a_client_goes_on_when_the_broker_is_back(node: Node, broker: Any, publisher: Publisher):
    with Client(node.uri("client")) as ferry, ThreadPoolExecutor(1) as pool:
        migration = ferry.migrate("src", "dst")
        node.kill()
        waiting = pool.submit(ferry.hear, migration, 30)
        assert not until(waiting.done, 1)
        node.start()
        assert waiting.result() is None
        assert ferry._listener.connections == 2


def fact(publisher: Publisher, migration: str, phase: str) -> None:
    data = {"migration": migration, "phase": phase, "was": "running", "paused": False, "reason": None, "totals": {}}
    key = events.key({"cloud": "src"}, {"cloud": "dst"}, migration, MigrationChanged.called)
    publisher.publish(Outgoing.of(topology.EVENTS.name, key, MigrationChanged.make("test", data)))


def test_one_client_follows_several_migrations_one_after_another(node: Node, broker: Any, publisher: Publisher):
    with Client(node.uri("client"), timeout=10) as ferry:
        one, two = (ferry.migrate("src", "dst") for _ in range(2))
        for migration in (two, str(uuid.uuid4()), one):  # the second one is none of its business
            fact(publisher, migration, "done")
        for migration in (one, two):
            assert [told.data["phase"] for told in ferry.follow(migration, timeout=10)] == ["done"]
    broker.take(QUEUE, 2)


def test_a_list_of_migrations_comes_in_pages(node: Node, broker: Any, publisher: Publisher):
    def answer() -> None:
        (message,) = broker.take(QUEUE, 1)
        question = read(message.body, message.properties.get("content_type"), QUEUE)
        tell(publisher, question, {"migrations": [{"id": "a"}]}, more=True)
        tell(publisher, question, {"migrations": [{"id": "b"}, {"id": "c"}]})

    with Client(node.uri("client"), timeout=10) as ferry, ThreadPoolExecutor(1) as pool:
        answered = pool.submit(answer)
        assert [migration["id"] for migration in ferry.migrations()] == ["a", "b", "c"]
        answered.result()


def tell(publisher: Publisher, question: Envelope, content: dict[str, Any], more: bool = False) -> None:
    """Answer a question as the coordinator does."""
    envelope = Answer.make("test", {"content": content, "more": more}, question)
    with contextlib.suppress(Unroutable):  # whoever has another connection now asks again
        publisher.publish(Outgoing.of(topology.REPLIES.name, question.data["reply_to"], envelope))


def test_clients_leave_no_queue_behind(node: Node, broker: Any):
    from amqp.exceptions import NotFound

    with Client(node.uri("client")) as ferry:
        names = [f"{ferry._listener.id}.{what}" for what in ("replies", "events")]
    for name in names:
        with pytest.raises(NotFound):
            broker.count(name)
