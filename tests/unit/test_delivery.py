"""What becomes of a delivery that fails: retried with growing delays, then parked, and never lost."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.serialization import dumps
from hypothesis import given, settings
from hypothesis import strategies as st
from stackferry import delivery, topology
from stackferry.bus import Outgoing
from stackferry.delivery import attempt_of, parked, read, retried
from stackferry.envelope import CONTENT_TYPE, Envelope
from stackferry.errors import Claimed, InvalidMessage, NotNow, Soon
from stackferry.messages import Answer, TryCloud, WorkerSeen

COPY = Outgoing("", "", b"body", "id-1", {"x-mine": "kept"}, "text/plain", "latin-1", "corr-1")
CHECK = TryCloud.make("test", {"place": {"cloud": "c"}, "reply_to": "r"})


def test_a_delivery_waits_longer_each_time_and_is_parked_in_the_end() -> None:
    copy, exchanges = COPY, []
    for _ in range(len(topology.BACKOFF) + 1):
        copy = retried("stackferry.importer", copy, "boom")
        exchanges.append((copy.exchange, copy.key))
    waits = [(f"stackferry.retry.{seconds}s", "stackferry.importer") for seconds in topology.BACKOFF]
    assert exchanges == [*waits, ("stackferry.parked", "stackferry.importer")]
    assert copy.headers["x-reason"] == "failed"
    assert copy.headers["x-attempt"] == len(topology.BACKOFF)


@pytest.mark.parametrize("move", [lambda: retried("q", COPY, "boom"), lambda: parked("q", COPY, "invalid", "boom")])
def test_a_copy_keeps_everything_that_came_with_it(move: Any) -> None:
    copy = move()
    assert (copy.body, copy.message_id, copy.content_type) == (COPY.body, "id-1", "text/plain")
    assert (copy.content_encoding, copy.correlation_id) == ("latin-1", "corr-1")
    assert copy.headers["x-mine"] == "kept"
    assert copy.headers["x-error"] == "boom"
    assert COPY.headers == {"x-mine": "kept"}  # the original is left alone


def test_a_parked_message_says_where_it_was_and_why() -> None:
    copy = parked("stackferry.importer", COPY, "invalid", {"kind": ["missing"]})
    assert (copy.key, copy.headers["x-reason"]) == ("stackferry.importer", "invalid")
    assert json.loads(copy.headers["x-error"]) == {"kind": ["missing"]}


@pytest.mark.parametrize("error", ["x" * 100_000, {"field": "x" * 100_000}])
def test_headers_stay_small_whatever_the_error(error: Any) -> None:
    assert len(parked("q", COPY, "invalid", error).headers["x-error"]) <= 2000
    assert len(retried("q", COPY, str(error)).headers["x-error"]) <= 500


@pytest.mark.parametrize(
    ("headers", "attempt"),
    [(None, 0), ({}, 0), ({"x-attempt": 3}, 3), ({"x-attempt": "3"}, 0), ({"x-attempt": -1}, 0),
     ({"x-attempt": None}, 0), ({"x-attempt": 1.5}, 0), ({"x-attempt": 10**9}, 10**9)],
)  # fmt: skip
def test_the_attempt_is_a_number_or_nothing(headers: Any, attempt: int) -> None:
    assert attempt_of(headers) == attempt


def test_an_absurd_attempt_is_parked() -> None:
    copy = Outgoing("", "", b"", "", {"x-attempt": 10**9})
    assert retried("q", copy, "boom").exchange == "stackferry.parked"


def received(user: str | None, **headers: Any) -> Any:
    properties = {} if user is None else {"user_id": user}
    return SimpleNamespace(properties=properties, headers=headers, body=b"", content_type="", content_encoding="")


@pytest.mark.parametrize(
    ("message", "sender"),
    [
        (received("client"), "client"),
        (received("client", **{"x-sender": "admin"}), "client"),  # it says so itself
        (received(None, **{"x-sender": "admin"}), ""),
        (received(None), ""),
        (received("coordinator", **{"x-sender": "client"}), "client"),  # it has waited, and came back
        (received("operator", **{"x-sender": "client"}), "client"),  # it was parked, and put back
        (received("operator"), "operator"),
        (received("coordinator", **{"x-sender": ["admin"]}), "coordinator"),
    ],
)
def test_the_sender_is_who_the_broker_says_or_who_brought_it_back_says(message: Any, sender: str) -> None:
    carriers = ("coordinator", "operator")
    assert delivery.sender(message, carriers) == sender
    copy = delivery.copied(message, carriers)
    assert copy.headers["x-sender"] == sender
    again = received("coordinator", **retried("stackferry.coordinator", copy, "boom").headers)
    assert delivery.sender(again, carriers) == sender


def test_a_copy_goes_nowhere_but_where_it_is_sent() -> None:
    """The broker would also route it by the keys in these headers, whoever wrote them."""
    message = received("client", CC=["stackferry.importer"], BCC=["stackferry.importer"], mine="kept")
    assert delivery.copied(message, ()).headers == {"mine": "kept", "x-sender": "client"}


@pytest.mark.parametrize("queue", [*topology.WORK_QUEUES, topology.HOST], ids=lambda queue: queue.name)
@pytest.mark.parametrize("said", ["coordinator", "me", "client", "importer", "host.src..s1", ""])
def test_the_coordinator_alone_commands_and_whoever_is_the_reader(queue: topology.WorkQueue, said: str) -> None:
    if queue.asked or queue.facts or said in ("coordinator", "me"):
        delivery.check_commander(queue, said, "me")
        return
    with pytest.raises(InvalidMessage, match="may not command"):
        delivery.check_commander(queue, said, "me")


def test_what_is_put_off_does_not_count_as_a_try() -> None:
    copy = delivery.postponed("stackferry.importer", Outgoing("", "", b"", "", {"x-attempt": 2}), NotNow("wait"))
    assert copy.exchange.startswith("stackferry.retry.")
    assert (copy.key, attempt_of(copy.headers)) == ("stackferry.importer", 2)


def test_what_somebody_waits_for_is_put_off_for_a_second() -> None:
    assert delivery.postponed("q", COPY, Soon("wait")).exchange == "stackferry.retry.1s"


def test_what_is_put_off_after_a_claim_is_in_doubt() -> None:
    """Else its next delivery would be refused, and the step would wait for the lease of the claim to end."""
    message = Outgoing("", "", b"", "", {})
    assert not delivery.doubtful(delivery.postponed("q", message, NotNow("wait")).headers, redelivered=False)
    assert delivery.doubtful(delivery.postponed("q", message, Claimed("wait")).headers, redelivered=False)
    assert delivery.doubtful({}, redelivered=True)
    assert delivery.doubtful(retried("q", message, "boom").headers, redelivered=False)


@pytest.mark.parametrize("queue", [q.name for q in TryCloud.queues])
def test_a_command_is_read_on_its_own_queues(queue: str) -> None:
    assert read(CHECK.to_bytes(), CONTENT_TYPE, queue) == CHECK


def test_a_command_on_another_queue_is_misrouted() -> None:
    with pytest.raises(InvalidMessage) as caught:
        read(CHECK.to_bytes(), CONTENT_TYPE, "stackferry.coordinator")
    assert caught.value.reason == "misrouted"


def test_a_fact_is_read_where_it_is_bound_and_what_belongs_on_no_queue_nowhere() -> None:
    fact = WorkerSeen.make("test", {"service": "importer", "instance": "host:1"})
    assert read(fact.to_bytes(), CONTENT_TYPE, topology.COORDINATOR_FACTS.name) == fact
    for one in (fact, Answer.make("test", {})):
        with pytest.raises(InvalidMessage) as caught:
            read(one.to_bytes(), CONTENT_TYPE, topology.host_queue("some-host").name)
        assert caught.value.reason == "misrouted"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"nonsense", "undecodable"),
        (Envelope(type="stackferry.nothing.v1", data={}, source="s").to_bytes(), "unknown"),
        (Envelope(type=TryCloud.type, data={}, source="s").to_bytes(), "invalid"),
    ],
)
def test_a_message_that_cannot_be_used_has_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        read(body, CONTENT_TYPE, "stackferry.exporter")
    assert caught.value.reason == reason


hostile = st.dictionaries(
    st.sampled_from(["place", "reply_to", "cloud"]) | st.text(st.characters(exclude_categories=[]), max_size=6),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(hostile)
def test_any_data_is_read_or_parked_with_headers_that_can_be_sent(data: dict[str, Any]) -> None:
    body = json.dumps({"specversion": "1.0", "id": "1", "source": "s", "type": TryCloud.type, "data": data})
    try:
        read(body.encode(), CONTENT_TYPE, "stackferry.exporter")
    except InvalidMessage as error:
        copy = parked("stackferry.exporter", COPY, error.reason, error.errors)
        assert dumps("F", [copy.headers])
