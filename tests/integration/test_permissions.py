"""Each user of the broker can do its work, and nothing that is others' work."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_urlsafe
from typing import Any

import pytest
from amqp.exceptions import AccessRefused, PreconditionFailed
from stackferry import topology
from stackferry.bus import Publisher, connect
from stackferry.definitions import password_hash
from stackferry_cli import broker_users
from stackferry_cli.hosts import broker as broker_uri
from stackferry_cli.local.rabbitmq import Node

pytestmark = pytest.mark.integration

QUEUES = {queue.name for queue in topology.WORK_QUEUES}
OWN = {
    service: {queue.name for queue in topology.WORK_QUEUES if queue.service == service}
    for service in ("exporter", "importer", "coordinator")
} | {"client": set(), "operator": set()}
FACTS = {
    "exporter": {"documents.exported", "export.ended", "image.offered", "worker.seen"},
    "importer": {"step.claimed", "step.ended", "step.progressed", "worker.seen"},
    "coordinator": {"worker.seen"},
    "client": set(),
    "operator": set(),
}
FOREIGN_FACTS = {
    "exporter": {"migration.changed", "other"},
    "importer": {"migration.changed", "documents.exported", "export.ended", "image.offered"},
    "coordinator": {"migration.changed", "documents.exported", "export.ended", "step.ended", "step.claimed"},
    "client": {"documents.exported", "step.ended", "migration.changed", "worker.seen"},
    "operator": {"step.ended", "migration.changed"},
}
HOSTS = {host: token_urlsafe(12) for host in ("h1", "h2")}
ENROLLED = {host: topology.Enrolled(host, "a cloud", "pro.ject %") for host in HOSTS}
for host, enrolled in ENROLLED.items():
    user = enrolled.user
    OWN[user] = {topology.host_queue(host).name}
    FACTS[user] = {"agent.seen", "segment.offered", "step.claimed", "step.ended", "step.progressed"}
    FOREIGN_FACTS[user] = {"migration.changed", "documents.exported", "export.ended", "image.offered", "worker.seen"}
HOST_QUEUES = {topology.host_queue(host).name for host in HOSTS}
USERS = sorted(OWN)


@pytest.fixture(scope="module", autouse=True)
def _hosts(own_node: Node) -> None:
    """Two conversion hosts, as `hosts deploy` enrols them, whose queues the coordinator has made."""
    own_node.start()
    users = {topology.host_user(ENROLLED[host]): password_hash(password) for host, password in HOSTS.items()}
    broker_users.local(own_node).make(users)
    publisher = Publisher(own_node.uri("coordinator"), "tests")
    for host in HOSTS:
        publisher.declare(topology.work_queue(topology.host_queue(host)))
    publisher.close()


def queues_for(user: str) -> set[str]:
    """The queues that a user is tried on. The coordinator makes and deletes them all."""
    return set() if user == "coordinator" else QUEUES | HOST_QUEUES


def uri_of(node: Node, user: str) -> str:
    """How a user connects."""
    host = topology.Enrolled.read(user)
    if host is None:
        return node.uri(user)
    uri = broker_uri.with_own_user(node.address(), HOSTS[host.host], host.cloud, host.project)
    return uri.replace("{server_id}", host.host)


@pytest.fixture
def attempt(node: Node) -> Callable[..., bool]:
    """Whether a user may do something with a channel."""

    def attempt(user: str, act: Callable[[Any], object]) -> bool:
        with connect(uri_of(node, user), "tests", heartbeat=0) as connection:
            try:
                with connection.channel() as channel:
                    act(channel)
            except AccessRefused:
                return False
            return True

    return attempt


def publish(exchange: str, key: str) -> Callable[[Any], object]:
    def act(channel: Any) -> None:
        channel.basic_publish_confirm(channel.prepare_message(b"{}"), exchange=exchange, routing_key=key)

    return act


def get(queue: str) -> Callable[[Any], object]:
    return lambda channel: channel.basic_get(queue)


def consume(queue: str) -> Callable[[Any], object]:
    return lambda channel: channel.basic_consume(queue)


@pytest.mark.parametrize("user", USERS)
def test_reads_its_own_work_only(attempt: Callable[..., bool], user: str):
    for queue in queues_for(user):
        for act in (get, consume):
            assert attempt(user, act(queue)) == (queue in OWN[user]), (act, queue)
    assert attempt(user, get("stackferry.dead")) == (user in ("operator", "coordinator"))
    assert not attempt(user, get("stackferry.retry.5s"))


def test_a_users_own_work_reaches_it(node: Node, attempt: Callable[..., bool]):
    for host in HOSTS:
        name = topology.host_queue(host).name
        assert attempt("coordinator", publish("stackferry.commands", name))
        with connect(uri_of(node, ENROLLED[host].user), "tests", heartbeat=0) as connection:
            assert connection.channel().basic_get(name, no_ack=True) is not None


@pytest.mark.parametrize("service", ["exporter", "importer"])
def test_whoever_scales_a_service_may_look_how_much_waits_as_its_user(attempt: Callable[..., bool], service: str):
    """KEDA looks so, by a passive declaration (the chart's templates/scaling.yaml)."""
    for queue in OWN[service]:
        assert attempt(service, lambda channel, queue=queue: channel.queue_declare(queue, passive=True))


ASKED = {"stackferry.coordinator"}


@pytest.mark.parametrize("user", USERS)
def test_clients_ask_and_the_coordinator_alone_commands(attempt: Callable[..., bool], user: str):
    for queue in sorted(QUEUES):
        assert attempt(user, publish("stackferry.requests", queue)) == (user == "client"), queue
        assert attempt(user, publish("stackferry.commands", queue)) == (user == "coordinator"), queue
        assert not attempt(user, publish("", queue))  # the way around


def test_a_request_reaches_no_queue_of_commands(node: Node, broker: Any, attempt: Callable[..., bool]):
    for queue in sorted(QUEUES):
        assert attempt("client", publish("stackferry.requests", queue))
    assert {queue: broker.count(queue) for queue in QUEUES} == {queue: int(queue in ASKED) for queue in QUEUES}


@pytest.mark.parametrize("user", USERS)
def test_nobody_speaks_in_anothers_name(node: Node, user: str):
    own = {"client": "stackferry.requests", "operator": "stackferry.returns"}.get(user, "stackferry.facts")
    services_say = "agent.seen" if topology.Enrolled.read(user) else "worker.seen"
    key = {"client": "stackferry.coordinator", "operator": "stackferry.importer"}.get(user, services_say)
    for said in (user, "coordinator", "importer"):
        with connect(uri_of(node, user), "tests", heartbeat=0) as connection:
            message = connection.channel().prepare_message(b"{}", properties={"user_id": said})
            try:
                connection.channel().basic_publish_confirm(message, exchange=own, routing_key=key)
                taken = True
            except PreconditionFailed:
                taken = False
        assert taken == (said == user)


@pytest.mark.parametrize("user", USERS)
def test_tells_only_its_own_facts(attempt: Callable[..., bool], user: str):
    for key in FACTS[user]:
        assert attempt(user, publish("stackferry.facts", key)), key
    for key in FOREIGN_FACTS[user]:
        assert not attempt(user, publish("stackferry.facts", key)), key


@pytest.mark.parametrize("user", USERS)
def test_the_coordinator_alone_tells_events(attempt: Callable[..., bool], user: str):
    assert attempt(user, publish("stackferry.events", "src.dst.m.migration-changed")) == (user == "coordinator")


@pytest.mark.parametrize("user", USERS)
def test_reads_only_the_streams_that_are_for_it(attempt: Callable[..., bool], user: str):
    def read(stream: str) -> Callable[[Any], object]:
        def act(channel: Any) -> None:
            channel.basic_qos(0, 1, False)
            channel.basic_consume(stream, arguments={"x-stream-offset": "first"})

        return act

    assert attempt(user, read("stackferry.history")) == (user in ("client", "operator", "coordinator"))
    assert attempt(user, read("stackferry.audit")) == (user == "operator")


@pytest.mark.parametrize("user", USERS)
def test_only_services_settle_and_answer(attempt: Callable[..., bool], user: str):
    service, host = user not in ("client", "operator"), topology.Enrolled.read(user)
    assert attempt(user, publish("stackferry.dead", "")) == (user == "coordinator")
    assert attempt(user, publish("stackferry.replies", "nobody")) == (service and not host)
    for seconds in topology.BACKOFF:
        for exchange in (f"stackferry.retry.{seconds}s", "stackferry.parked"):
            own = next(iter(OWN[user]), "stackferry.importer")
            assert attempt(user, publish(exchange, own)) == service
            for foreign in (QUEUES | HOST_QUEUES) - OWN[user]:
                assert not attempt(user, publish(exchange, foreign)), foreign
    assert attempt(user, publish("stackferry.returns", "stackferry.importer")) == (
        user in ("operator", "coordinator")  # who puts back what was parked
    )


@pytest.mark.parametrize("user", USERS)
def test_nobody_changes_the_topology(attempt: Callable[..., bool], user: str):
    for queue in [*queues_for(user), "stackferry.dead", "stackferry.audit", "stackferry.retry.1s"]:
        assert not attempt(user, lambda channel, queue=queue: channel.queue_delete(queue))
        if user == "coordinator":
            continue  # it may bind what it may publish to: names of queues and exchanges are one
        assert not attempt(
            user, lambda channel, queue=queue: channel.queue_bind(queue, "stackferry.facts", routing_key="mine")
        )
    for exchange in topology.exchanges():
        assert not attempt(user, lambda channel, exchange=exchange: channel.exchange_delete(exchange.name))
    assert not attempt(user, lambda channel: channel.queue_declare(f"mine-{uuid.uuid4().hex}"))
    assert not attempt(user, lambda channel: channel.exchange_declare(f"mine-{uuid.uuid4().hex}", "fanout"))


@pytest.mark.parametrize("user", USERS)
def test_purges_nobody_elses_queue(attempt: Callable[..., bool], user: str):
    for queue in queues_for(user) - OWN[user]:
        assert not attempt(user, lambda channel, queue=queue: channel.queue_purge(queue))


@contextmanager
def own_queue(uri: str, name: str) -> Iterator[Any]:
    with connect(uri, "tests", heartbeat=0) as connection:
        channel = connection.channel()
        channel.queue_declare(name, exclusive=True, auto_delete=True, durable=False)
        yield channel


def test_client_listens_on_queues_of_its_own(node: Node, attempt: Callable[..., bool]):
    with own_queue(node.uri("client"), "stackferry.client.client.me") as channel:
        channel.queue_bind("stackferry.client.client.me", "stackferry.events", routing_key="#")
        channel.queue_bind("stackferry.client.client.me", "stackferry.replies", routing_key="me")
        assert attempt("coordinator", publish("stackferry.events", "src.dst.m.step-ended"))
        assert attempt("coordinator", publish("stackferry.replies", "me"))
        for _ in range(2):
            assert channel.basic_get("stackferry.client.client.me", no_ack=True) is not None
        for exchange in ("stackferry.commands", "stackferry.facts", "stackferry.retry.1s"):  # no eavesdropping
            assert not attempt(
                "client",
                lambda other, exchange=exchange: (
                    other.queue_declare("stackferry.client.client.spy", exclusive=True),
                    other.queue_bind("stackferry.client.client.spy", exchange, routing_key="stackferry.coordinator"),
                ),
            )
