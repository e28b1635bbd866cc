"""Which user of the broker may do what: each thing tried for real, and held against the table in docs/rights.md."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
from amqp.exceptions import AccessRefused, PreconditionFailed
from stackferry import topology
from stackferry.bus import Publisher, connect
from stackferry.definitions import password_hash
from stackferry_cli import broker_users
from stackferry_cli.local.rabbitmq import Node

pytestmark = pytest.mark.integration
PAGE = Path(__file__).parents[2] / "docs" / "rights.md"
INTRO = """\
# Which user of the broker may do what

Each of these was tried against a real RabbitMQ, by `tests/integration/test_rights.py`, which fails when this table isn't true.
`host` is the user of the agents on one conversion host; `limited` a client that was enrolled with `--cloud old --cloud new`.

"""
#: user, and what its own queue is, where it has one
OWN = {
    "coordinator": "stackferry.coordinator", "exporter": "stackferry.exporter", "importer": "stackferry.importer",
    "host": "stackferry.transfer.h1", "client": "", "limited": "", "operator": "",
}  # fmt: skip
FOREIGN = {user: "stackferry.exporter.images" if user != "exporter" else "stackferry.importer" for user in OWN}
MINE = {user: f"stackferry.client.{user}.{uuid.uuid4().hex}" for user in ("client", "limited")}
ENROLLED = {host: topology.Enrolled(host, "old") for host in ("h1", "h2")}
Try = Callable[[Any, str], object]


def publish(exchange: str, key: str | Callable[[str], str], **properties: Any) -> Try:
    def act(channel: Any, user: str) -> None:
        message = channel.prepare_message(b"{}", properties=properties)
        to = key if isinstance(key, str) else key(user)
        channel.basic_publish_confirm(message, exchange=exchange, routing_key=to)

    return act


def get(queue: str | Callable[[str], str]) -> Try:
    return lambda channel, user: channel.basic_get(queue if isinstance(queue, str) else queue(user))


def stream(queue: str) -> Try:
    def act(channel: Any, user: str) -> None:
        channel.basic_qos(0, 1, False)
        channel.basic_consume(queue, arguments={"x-stream-offset": "first"})

    return act


def listen(exchange: str, key: str) -> Try:
    """Bind a queue of one's own."""

    def act(channel: Any, user: str) -> None:
        name = MINE.get(user) or f"stackferry.worker.{users()[user].name}.{uuid.uuid4().hex}"
        channel.queue_declare(name, exclusive=True, auto_delete=True)
        channel.queue_bind(name, exchange, routing_key=key)

    return act


def other(user: str) -> str:
    return FOREIGN[user]


def own(user: str) -> str:
    return OWN[user] or "stackferry.importer"


TRIES: dict[str, Try] = {
    "ask: publish to `stackferry.requests`": publish("stackferry.requests", "stackferry.coordinator"),
    "command: publish to `stackferry.commands`": publish("stackferry.commands", "stackferry.importer"),
    "publish to a queue, past all exchanges": publish("", "stackferry.importer"),
    "tell events: publish to `stackferry.events`": publish("stackferry.events", "old.new.m.migration-changed"),
    "report `step.ended`": publish("stackferry.facts", "step.ended"),
    "report `step.claimed`": publish("stackferry.facts", "step.claimed"),
    "report `documents.exported`": publish("stackferry.facts", "documents.exported"),
    "report `export.ended`": publish("stackferry.facts", "export.ended"),
    "report `image.offered`": publish("stackferry.facts", "image.offered"),
    "report `segment.offered`": publish("stackferry.facts", "segment.offered"),
    "report `segment.served`": publish("stackferry.facts", "segment.served"),
    "report `worker.seen`": publish("stackferry.facts", "worker.seen"),
    "report `agent.seen`": publish("stackferry.facts", "agent.seen"),
    "answer: publish to `stackferry.replies`": publish("stackferry.replies", "nobody"),
    "publish in another user's name": publish("stackferry.facts", "worker.seen", user_id="somebody"),
    "postpone a message of its own queue": publish("stackferry.retry.1s", own),
    "postpone a message of another's queue": publish("stackferry.retry.1s", other),
    "postpone a message of another host's queue": publish("stackferry.retry.1s", "stackferry.transfer.h2"),
    "park a message of its own queue": publish("stackferry.parked", own),
    "park a message of another's queue": publish("stackferry.parked", other),
    "park in the broker's name: `stackferry.dead`": publish("stackferry.dead", ""),
    "put parked messages back: `stackferry.returns`": publish("stackferry.returns", "stackferry.importer"),
    "read its own queue": get(own),
    "read another service's queue": get(other),
    "read a host's own queue": get("stackferry.transfer.h1"),
    "read another host's queue": get("stackferry.transfer.h2"),
    "read parked messages": get("stackferry.dead"),
    "read what waits: `stackferry.retry.5s`": get("stackferry.retry.5s"),
    "read `stackferry.history`": stream("stackferry.history"),
    "read `stackferry.audit`": stream("stackferry.audit"),
    "hear its answers: `stackferry.replies`": listen("stackferry.replies", "mine"),
    "hear all events": listen("stackferry.events", "#"),
    "hear events from `old` to `new`": listen("stackferry.events", "old.new.#"),
    "hear events from `old` to `third`": listen("stackferry.events", "old.third.#"),
    "hear reports: `stackferry.facts`": listen("stackferry.facts", "#"),
    "hear requests": listen("stackferry.requests", "stackferry.coordinator"),
    "hear commands": listen("stackferry.commands", "stackferry.importer"),
    "hear what is put back": listen("stackferry.returns", "stackferry.importer"),
    "purge another service's queue": lambda channel, user: channel.queue_purge(other(user)),
    "make a queue of any name": lambda channel, user: channel.queue_declare(f"any-{uuid.uuid4().hex}"),
    "make an exchange": lambda channel, user: channel.exchange_declare(f"any-{uuid.uuid4().hex}", "fanout"),
    "delete an exchange": lambda channel, user: channel.exchange_delete("stackferry.replies"),
}
PASSWORDS = {"h1": token_urlsafe(12), "h2": token_urlsafe(12), "limited": token_urlsafe(12)}


def users() -> dict[str, topology.User]:
    known = {user.name: user for user in topology.USERS}
    return {
        **known,
        "host": topology.host_user(ENROLLED["h1"]),
        "limited": topology.client_user("limited", ["old", "new"]),
    }


@pytest.fixture(scope="module")
def uris(own_node: Node) -> Iterator[dict[str, str]]:
    """How each user connects; two hosts and a limited client are made as the command line does."""
    own_node.start()
    made = {topology.host_user(ENROLLED[host]): password_hash(PASSWORDS[host]) for host in ENROLLED}
    made[users()["limited"]] = password_hash(PASSWORDS["limited"])
    broker_users.local(own_node).make(made)
    publisher = Publisher(own_node.uri("coordinator"), "tests")
    for host in ENROLLED:
        publisher.declare(topology.work_queue(topology.host_queue(host)))
    publisher.close()
    address = own_node.address()
    found = {user: own_node.uri(user) for user in OWN if user not in ("host", "limited")}
    found["host"] = address.replace("://", f"://{ENROLLED['h1'].user}:{PASSWORDS['h1']}@")
    found["limited"] = address.replace("://", f"://limited:{PASSWORDS['limited']}@")
    yield found
    broker_users.local(own_node).delete(made)


def allowed(uri: str, user: str, act: Try) -> bool:
    with connect(uri, "tests", heartbeat=0) as connection:
        try:
            with connection.channel() as channel:
                act(channel, user)
        except (AccessRefused, PreconditionFailed):
            return False
        return True


def test_the_table_of_rights_is_true(uris: dict[str, str]) -> None:
    lines = ["| may | " + " | ".join(OWN) + " |", "|---|" + "---|" * len(OWN)]
    for what, act in TRIES.items():
        cells = ["yes" if allowed(uris[user], user, act) else "" for user in OWN]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    page = INTRO + "\n".join(lines) + "\n"
    if os.environ.get("UPDATE"):
        PAGE.write_text(page, "utf-8")
    assert page == PAGE.read_text("utf-8")
