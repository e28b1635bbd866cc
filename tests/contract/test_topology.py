"""What a broker is told: who may do what, where messages wait, and that none gets lost on the way."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest
from stackferry import topology
from stackferry.definitions import definitions, password_hash
from stackferry.messages import REGISTRY, Event, Fact

PASSWORDS = {user.name: f"canary-{user.name}" for user in topology.USERS}
LOADED = definitions({**PASSWORDS, "root": "canary-root"}, admin="root")
SERVICES = ("exporter", "importer", "coordinator")
PERMISSIONS = {rights["user"]: rights for rights in LOADED["permissions"]}
QUEUES = {queue["name"]: queue for queue in LOADED["queues"]}
EXCHANGES = {exchange["name"]: exchange for exchange in LOADED["exchanges"]}
#: who says what
SAID_BY = {
    "exporter": ("documents.exported", "export.ended", "image.offered", "step.ended", "step.progressed", "worker.seen"),
    "importer": ("step.ended", "step.progressed", "worker.seen"),
    "coordinator": ("worker.seen",),
}


def may(user: str, right: str, name: str) -> bool:
    """Whether RabbitMQ lets *user* do it: it searches the name with the expression."""
    return re.search(PERMISSIONS[user][right], name) is not None


@pytest.mark.parametrize("queue", topology.WORK_QUEUES, ids=lambda queue: queue.name)
@pytest.mark.parametrize("user", [user.name for user in topology.USERS])
def test_a_work_queue_is_read_by_its_service_only(user: str, queue: topology.WorkQueue) -> None:
    """And by the coordinator, which makes it."""
    assert may(user, "read", queue.name) == (user in (queue.service, "coordinator"))


@pytest.mark.parametrize("user", ["exporter", "importer"])
def test_workers_command_nobody_and_ask_for_nothing(user: str) -> None:
    assert not may(user, "write", "stackferry.commands")
    assert not may(user, "write", "stackferry.requests")


@pytest.mark.parametrize("user", [user.name for user in topology.USERS])
def test_the_coordinator_alone_commands(user: str) -> None:
    assert may(user, "write", "stackferry.commands") == (user == "coordinator")
    commanded = {b["destination"] for b in LOADED["bindings"] if b["source"] == "stackferry.commands"}
    asked = {b["destination"] for b in LOADED["bindings"] if b["source"] == "stackferry.requests"}
    assert asked == {"stackferry.coordinator"}
    assert not asked & commanded


@pytest.mark.parametrize("user", list(topology.USERS), ids=lambda user: user.name)
def test_a_user_postpones_and_parks_for_its_own_queues_only(user: topology.User) -> None:
    rights = {t["exchange"]: t["write"] for t in LOADED["topic_permissions"] if t["user"] == user.name}
    for exchange in ("stackferry.parked", *(f"stackferry.retry.{seconds}s" for seconds in topology.BACKOFF)):
        assert EXCHANGES[exchange]["type"] == "topic"  # else its key would be whatever the sender says
        keys = {queue.name for queue in topology.WORK_QUEUES if re.search(rights[exchange], queue.name)}
        assert keys == {queue.name for queue in topology.WORK_QUEUES if queue.service == user.name}


@pytest.mark.parametrize("user", [user.name for user in topology.USERS])
def test_nobody_parks_in_the_brokers_own_name(user: str) -> None:
    assert may(user, "write", "stackferry.dead") == (user == "coordinator")  # it declares the queues of hosts


@pytest.mark.parametrize("user", ["exporter", "importer", "coordinator", "client"])
def test_users_create_none_of_the_topology(user: str) -> None:
    made = {"stackferry.history", *(queue.name for queue in topology.WORK_QUEUES)} if user == "coordinator" else set()
    assert {name for name in (*EXCHANGES, *QUEUES, "stackferry", "other") if may(user, "configure", name)} == made


def test_clients_state_no_facts_and_read_no_work() -> None:
    assert [name for name in EXCHANGES if may("client", "write", name)] == ["stackferry.requests"]
    assert [name for name in QUEUES if may("client", "read", name)] == ["stackferry.history"]
    assert [name for name in EXCHANGES if may("client", "read", name)] == ["stackferry.events", "stackferry.replies"]
    assert may("client", "configure", "stackferry.client.client.1")
    assert not may("client", "read", "stackferry.client.another.1")


@pytest.mark.parametrize(
    "name", ["stackferry.importerX", "Xstackferry.importer", "stackferryXimporter", "stackferry.importer.images.2", ""]
)
@pytest.mark.parametrize("right", ["read", "write", "configure"])
def test_rights_are_for_exact_names(name: str, right: str) -> None:
    assert not may("importer", right, name)


@pytest.mark.parametrize("user", SERVICES)
def test_a_service_may_state_its_own_facts_and_no_others(user: str) -> None:
    rights = [t for t in LOADED["topic_permissions"] if t["user"] == user]
    (topics,) = [t for t in rights if t["exchange"] == "stackferry.facts"]
    assert [key for key in SAID_BY[user] if not re.search(topics["write"], key)] == []
    others = {"documents.exported", "export.ended", "image.offered", "migration.changed"} - set(SAID_BY[user])
    assert [key for key in others if re.search(topics["write"], key)] == []


@pytest.mark.parametrize("user", SERVICES)
@pytest.mark.parametrize(
    "exchange", ["stackferry.facts", "stackferry.parked", "stackferry.replies", "stackferry.retry.5s"]
)
def test_a_service_may_report_park_answer_and_try_again(user: str, exchange: str) -> None:
    assert may(user, "write", exchange)


def test_a_worker_reaches_no_other_services_queue_in_any_way() -> None:
    reached = {name for name in EXCHANGES if may("exporter", "write", name)}
    for _ in EXCHANGES:  # where dead-lettering takes a message, with a key of the exporter's choice
        through = {b["destination"] for b in LOADED["bindings"] if b["source"] in reached and b["routing_key"] == ""}
        reached |= {QUEUES[q]["arguments"].get("x-dead-letter-exchange", "") for q in through} & EXCHANGES.keys()
    assert not {"stackferry.commands", "stackferry.requests", "stackferry.returns"} & reached


def test_no_two_users_own_the_same_queues() -> None:
    own = [user.own_queues for user in topology.USERS if user.own_queues]
    assert len(set(own)) == len(own)


def test_no_password_is_there_in_clear() -> None:
    assert "canary" not in json.dumps(LOADED)


def test_a_password_hash_is_what_rabbitmq_expects_and_salted() -> None:
    (user,) = [u for u in LOADED["users"] if u["name"] == "importer"]
    raw = base64.b64decode(user["password_hash"])
    assert raw[4:] == hashlib.sha256(raw[:4] + b"canary-importer").digest()
    assert password_hash("same") != password_hash("same")
    # RabbitMQ's documentation, "Computing Password Hash"
    assert password_hash("test12", bytes.fromhex("908dc60a")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_only_users_with_a_password_exist_and_only_the_administrator_is_one() -> None:
    some = definitions({"importer": "p"})
    assert [user["name"] for user in some["users"]] == [r["user"] for r in some["permissions"]] == ["importer"]
    assert {u["name"]: u["tags"] for u in LOADED["users"] if u["tags"]} == {"root": "administrator"}


def test_everything_is_in_the_virtual_host_that_was_asked_for() -> None:
    other = definitions(PASSWORDS, vhost="ferry")
    assert [vhost["name"] for vhost in other["vhosts"]] == ["ferry"]
    listed = [item for part, items in other.items() if part not in ("vhosts", "users") for item in items]
    assert {item["vhost"] for item in listed} == {"ferry"}


@pytest.mark.parametrize("queue", topology.WORK_QUEUES, ids=lambda queue: queue.name)
def test_a_work_queue_is_reached_by_its_own_name_and_parks_what_it_gives_up(queue: topology.WorkQueue) -> None:
    bound = [(b["source"], b["routing_key"]) for b in LOADED["bindings"] if b["destination"] == queue.name]
    assert ("stackferry.returns", queue.name) in bound
    told = [(source, key) for source, key in bound if source != "stackferry.returns"]
    assert sorted(told) == sorted((queue.exchange.name, key) for key in queue.facts or (queue.name,))
    assert QUEUES[queue.name]["arguments"] == {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "stackferry.dead",
        "x-dead-letter-routing-key": queue.name,
    }


@pytest.mark.parametrize("seconds", topology.BACKOFF)
def test_a_retry_queue_sends_messages_back_after_its_time(seconds: int) -> None:
    name = f"stackferry.retry.{seconds}s"
    assert QUEUES[name]["arguments"] == {
        "x-queue-type": "quorum",
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": "stackferry.returns",
    }
    assert [(b["source"], b["destination"]) for b in LOADED["bindings"] if b["source"] == name] == [(name, name)]
    assert EXCHANGES[name]["type"] == "topic"  # so that topic permissions hold for it
    (key,) = [b["routing_key"] for b in LOADED["bindings"] if b["source"] == name]
    assert key == "#"  # the work queue's name stays the routing key


def test_delays_grow_and_stay_far_below_the_brokers_timeout() -> None:
    assert list(topology.BACKOFF) == sorted(topology.BACKOFF)
    assert max(topology.BACKOFF) <= 300


def test_bindings_and_dead_letters_lead_to_what_exists() -> None:
    targets = {q["arguments"].get("x-dead-letter-exchange", "stackferry.dead") for q in QUEUES.values()}
    assert targets | {b["source"] for b in LOADED["bindings"]} <= EXCHANGES.keys()
    assert {b["destination"] for b in LOADED["bindings"]} <= QUEUES.keys()
    assert all(x["durable"] for x in (*EXCHANGES.values(), *QUEUES.values()))


@pytest.mark.parametrize(
    ("name", "matches"),
    [
        ("stackferry-work", {queue.name for queue in topology.WORK_QUEUES}),
        ("stackferry-retry", {f"stackferry.retry.{seconds}s" for seconds in topology.BACKOFF}),
        ("stackferry-audit", {"stackferry.audit"}),
        ("stackferry-history", {"stackferry.history"}),
    ],
)
def test_a_policy_is_for_its_queues_only(name: str, matches: set[str]) -> None:
    (policy,) = [p for p in LOADED["policies"] if p["name"] == name]
    assert {queue for queue in QUEUES if re.search(policy["pattern"], queue)} == matches
    assert policy["apply-to"] == "queues"


def test_what_comes_back_to_a_queue_that_is_gone_is_parked() -> None:
    """Else at-least-once dead-lettering would keep it, and 32 of them would block a delay queue for all."""
    (policy,) = [p for p in LOADED["policies"] if p["definition"].get("alternate-exchange")]
    assert policy["apply-to"] == "exchanges"
    assert [name for name in EXCHANGES if re.search(policy["pattern"], name)] == ["stackferry.returns"]
    assert policy["definition"] == {"alternate-exchange": "stackferry.dead"}


def test_at_least_once_dead_lettering_has_what_it_demands() -> None:
    for policy in LOADED["policies"]:
        if policy["definition"].get("dead-letter-strategy") == "at-least-once":
            assert policy["definition"]["overflow"] == "reject-publish"
            assert policy["definition"]["max-length-bytes"] == topology.FULL
            for queue in (q for n, q in QUEUES.items() if re.search(policy["pattern"], n)):
                assert "x-dead-letter-exchange" in queue["arguments"]


def test_every_fact_is_kept_and_those_of_workers_reach_the_coordinator() -> None:
    taken = {b["routing_key"] for b in LOADED["bindings"] if b["source"] == "stackferry.facts"}
    assert "#" in taken
    keys = {message.key for message in REGISTRY.values() if issubclass(message, Fact)}
    assert keys - {"answer"} <= taken


def test_what_is_told_of_migrations_is_kept_but_for_progress() -> None:
    told = {m.called for m in REGISTRY.values() if issubclass(m, Event) or (issubclass(m, Fact) and m.told)}
    kept = {b["routing_key"] for b in LOADED["bindings"] if b["destination"] == "stackferry.history"}
    assert kept == {f"*.*.*.{name}" for name in told - {"step-began", "step-progressed"}}
    assert {b["source"] for b in LOADED["bindings"] if b["destination"] == "stackferry.history"} == {
        "stackferry.events"
    }


@pytest.mark.parametrize("user", [user.name for user in topology.USERS])
def test_the_coordinator_alone_tells_events(user: str) -> None:
    assert may(user, "write", "stackferry.events") == (user == "coordinator")


def test_arguments_are_only_what_cannot_be_a_policy() -> None:
    used = {name for queue in QUEUES.values() for name in queue["arguments"]}
    assert used == {"x-queue-type", "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-message-ttl"}


def test_definitions_are_json() -> None:
    content: Any = json.loads(json.dumps(LOADED))
    assert content == LOADED
