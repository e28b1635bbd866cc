"""What becomes of a message in a service process: acknowledged, brought back, or parked with the reason."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from stackferry import deadletters, topology
from stackferry.bus import Outgoing, Publisher, connect, declare
from stackferry.topology import BACKOFF
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import Node

pytestmark = pytest.mark.integration

QUEUE = topology.IMPORTER_CHECKS.name
DEAD = topology.DEAD.name


def test_success_is_acknowledged(probe: Any, broker: Any, publisher: Publisher, question: Callable[..., Outgoing]):
    probe.start()
    publisher.publish(question("one"))
    assert until(lambda: probe.lines("one", "ended"), 20), probe.log
    assert probe.lines("one", "began", "first")
    assert probe.stop() == 0
    assert broker.has(QUEUE, 0)
    assert broker.count(DEAD) == 0


def test_failed_handler_is_tried_again(
    probe: Any, broker: Any, publisher: Publisher, question: Callable[..., Outgoing]
):
    probe.start()
    began = time.monotonic()
    publisher.publish(question("again", "fail"))
    assert until(lambda: len(probe.lines("again", "began")) == 2, 20), probe.log
    assert time.monotonic() - began >= BACKOFF[0]
    # the first try may have done half of its work
    assert [line[2] for line in probe.lines("again", "began")] == ["first", "doubtful"]
    (copy,) = broker.take(f"stackferry.retry.{BACKOFF[1]}s", 1)
    assert copy.properties["application_headers"]["x-attempt"] == 2


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_later_failures_wait_longer(
    probe: Any, broker: Any, publisher: Publisher, question: Callable[..., Outgoing], attempt: int
):
    sent = question("later", "fail", **{"x-attempt": attempt, "theirs": "kept"})
    publisher.publish(sent)
    probe.start()
    (copy,) = broker.take(f"stackferry.retry.{BACKOFF[attempt]}s", 1)
    assert bytes(copy.body) == sent.body
    assert copy.delivery_info["routing_key"] == QUEUE
    assert copy.properties["message_id"] == sent.message_id
    headers = copy.properties["application_headers"]
    assert headers == {
        "x-attempt": attempt + 1,
        "x-error": "RuntimeError: as told",
        "x-sender": "coordinator",
        "theirs": "kept",
    }
    assert probe.stop() == 0
    assert broker.has(QUEUE, 0)


def test_last_failure_parks(probe: Any, node: Node, publisher: Publisher, question: Callable[..., Outgoing]):
    sent = question("last", "fail", **{"x-attempt": len(BACKOFF)})
    publisher.publish(sent)
    probe.start()
    assert until(lambda: len(deadletters.browse(node.uri("operator"))) == 1, 20), probe.log
    (found,) = deadletters.browse(node.uri("operator"))
    assert len(found.pop("digest")) == 32
    assert [found] == [
        {
            "id": sent.message_id,
            "queue": QUEUE,
            "reason": "failed",
            "error": "RuntimeError: as told",
            "attempts": len(BACKOFF) + 1,
            "type": "stackferry.try-cloud.v1",
            "migration": None,
            "body": sent.body.decode(),
        }
    ]


def test_refused_message_is_parked_at_once(
    probe: Any, node: Node, broker: Any, publisher: Publisher, question: Callable[..., Outgoing]
):
    probe.start()
    publisher.publish(question("refused", "refuse"))
    assert broker.has(DEAD, 1), probe.log
    (parked,) = deadletters.browse(node.uri("operator"))
    assert (parked["reason"], parked["attempts"], parked["queue"]) == ("invalid", 1, QUEUE)
    assert parked["error"] == '{"place": "as told"}'
    assert len(probe.lines("refused")) == 1


# -- a process ends ------------------------------------------------------------------------------------------


def test_killed_process_leaves_its_messages_to_the_next(
    probe: Any, broker: Any, publisher: Publisher, question: Callable[..., Outgoing]
):
    victim = probe.start()
    publisher.publish_all([question(f"m{n}", "wait") for n in range(3)])
    assert until(lambda: probe.count("began") == 3, 20), probe.log
    victim.kill()
    victim.wait(10)
    probe.release()
    probe.start()
    assert until(lambda: probe.count("ended") == 3, 20), probe.log
    for n in range(3):
        assert [line[2] for line in probe.lines(f"m{n}", "began")] == ["first", "doubtful"]
    assert probe.stop() == 0
    assert broker.has(QUEUE, 0)


def test_sigterm_finishes_what_runs_and_leaves_the_rest(
    probe: Any, broker: Any, publisher: Publisher, question: Callable[..., Outgoing]
):
    process = probe.start()
    publisher.publish_all([question(f"m{n}", "wait") for n in range(15)])
    assert until(lambda: probe.count("began") == 10, 20), probe.log
    process.send_signal(signal.SIGTERM)
    assert until(lambda: "stopping" in probe.log, 10)
    probe.release()
    assert process.wait(30) == 0, probe.log
    assert (probe.count("began"), probe.count("ended")) == (10, 10)
    assert broker.count(DEAD) == 0, probe.log
    assert broker.has(QUEUE, 5)


def test_sigterm_beyond_the_drain_time_gives_the_messages_back(
    probe: Any, broker: Any, publisher: Publisher, question: Callable[..., Outgoing]
):
    process = probe.start(drain=1)
    publisher.publish_all([question("long", "wait"), question("longer", "wait")])
    assert until(lambda: probe.count("began") == 2, 20), probe.log
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 75, probe.log
    assert probe.count("ended") == 0
    assert broker.has(QUEUE, 2)
    assert broker.count(DEAD) == 0


def test_sigterm_while_the_broker_is_away(
    probe: Any, node: Node, publisher: Publisher, question: Callable[..., Outgoing], broker: Any
):
    process = probe.start()
    publisher.publish(question("away", "wait"))
    assert until(lambda: probe.count("began") == 1, 20), probe.log
    node.stop()
    process.send_signal(signal.SIGTERM)
    assert until(lambda: "stopping" in probe.log, 10)
    probe.release()
    assert process.wait(30) == 0, probe.log
    node.start()
    assert broker.has(QUEUE, 1)  # it could not be acknowledged: it comes again


# -- the broker ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_consumers_come_back_with_the_broker(
    probe: Any, node: Node, broker: Any, question: Callable[..., Outgoing], publisher: Publisher, how: str
):
    process = probe.start()
    publisher.publish_all([question("running", "wait"), question("failing", "fail", **{"x-attempt": 3})])
    assert until(lambda: probe.count("began") == 2, 20), probe.log
    getattr(node, how)()
    assert until(lambda: "the broker is away" in probe.log, 20), probe.log
    node.start()
    # it's delivered again while its first delivery still runs
    assert until(lambda: probe.lines("running", "began", "doubtful"), 30), probe.log
    probe.release()
    publisher.publish(question("after"))
    assert until(lambda: probe.lines("after", "ended"), 30), probe.log
    assert until(lambda: len(probe.lines("running", "ended")) == 2, 10), probe.log
    assert process.poll() is None
    assert probe.stop() == 0
    assert broker.has(QUEUE, 0)
    assert broker.count(DEAD) == 0


def test_a_queue_that_is_gone_is_read_again_once_somebody_declares_it(
    probe: Any, node: Node, broker: Any, publisher: Publisher, question: Callable[..., Outgoing]
):
    probe.start()
    with connect(node.uri("admin"), "vandal", heartbeat=0) as connection:
        connection.channel().queue_delete(QUEUE)
        assert until(lambda: "the queue is gone" in probe.log, 30), probe.log
        declare(connection)
    publisher.publish(question("after"))
    assert until(lambda: probe.count("ended") >= 1, 30), probe.log


def test_broker_that_falls_silent_is_left(
    probe: Any, node: Node, broker: Any, publisher: Publisher, question: Callable[..., Outgoing]
):
    probe.uri += "?heartbeat=2"
    probe.start()
    publisher.publish(question("before", "wait"))
    assert until(lambda: probe.count("began") == 1, 20), probe.log
    pid = node.process.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # no connection is closed, nothing is answered
    try:
        assert until(lambda: "the broker is away" in probe.log, 30), probe.log
        # the farewell isn't waited for: it has tried to connect anew
        assert until(lambda: probe.log.count("the broker is away") == 2, 30), probe.log
    finally:
        os.kill(pid, signal.SIGCONT)
    probe.release()
    publisher.publish(question("after"))
    assert until(lambda: probe.lines("after", "ended"), 30), probe.log
    assert until(lambda: len(probe.lines("before", "ended")) == 2, 30), probe.log
    assert probe.stop() == 0
    assert broker.has(QUEUE, 0)
    assert broker.count(DEAD) == 0


# -- the parking queue ---------------------------------------------------------------------------------------


def park(node: Node, publisher: Publisher, *labels: str, reason: str = "failed", **headers: Any) -> list[str]:
    """Put messages into the parking queue as a service does; return their ids."""
    from stackferry.delivery import parked
    from stackferry.messages import TryCloud

    ids, importer = [], Publisher(node.uri("importer"), "tests")
    for label in labels:
        envelope, noted = TryCloud.make("tests", {"place": {"cloud": "ok"}, "reply_to": label}), {"x-attempt": 4}
        copy = Outgoing(
            "", "", envelope.to_bytes(), envelope.id, {**noted, "x-sender": "coordinator", "theirs": 1, **headers}
        )
        importer.publish(parked(QUEUE, copy, reason, "why"))
        ids.append(envelope.id)
    importer.close()
    return ids


def test_dead_letters_are_browsed_retried_and_dropped(probe: Any, node: Node, broker: Any, publisher: Publisher):
    uri = node.uri("operator")
    a, b, c = park(node, publisher, "a", "b", "c")
    for _ in range(20):  # browsing takes nothing
        assert [found["id"] for found in deadletters.browse(uri)] == [a, b, c]
    assert broker.has(DEAD, 3)
    assert len(deadletters.drop(uri, lambda message: message["id"] == b)) == 1
    assert broker.has(DEAD, 2)
    assert [(found["id"], found["stays"]) for found in deadletters.retry(uri, lambda m: m["id"] == a)] == [(a, None)]
    assert broker.has(DEAD, 1)
    assert broker.has(QUEUE, 1)
    probe.start()
    assert until(lambda: probe.lines("a", "ended"), 20), probe.log
    assert probe.lines("a", "began", "doubtful")
    assert [found["id"] for found in deadletters.browse(uri)] == [c]
    assert probe.count("began") == 1


def test_retried_dead_letter_starts_afresh(node: Node, broker: Any, publisher: Publisher):
    park(node, publisher, "fresh")
    deadletters.retry(node.uri("operator"), lambda _: True)
    (message,) = broker.take(QUEUE, 1)
    assert message.properties["application_headers"] == {"x-replayed": True, "x-sender": "coordinator", "theirs": 1}


def test_message_that_ends_its_consumers_is_parked_by_the_broker(
    node: Node, broker: Any, publisher: Publisher, question: Callable[..., Outgoing]
):
    sent = question("deadly", "ok", **{"x-attempt": 1})
    publisher.publish(sent)

    def die() -> bool:
        with connect(node.uri("importer"), "victim", heartbeat=0) as connection:
            connection.channel().basic_get(QUEUE)
            connection.collect()  # as if its process had been killed
        return broker.count(DEAD) == 1

    assert until(die, 60)
    (found,) = deadletters.browse(node.uri("operator"))
    assert (found["id"], found["queue"], found["reason"]) == (sent.message_id, QUEUE, "delivery_limit")
    assert len(deadletters.retry(node.uri("operator"), lambda _: True)) == 1
    (message,) = broker.take(QUEUE, 1)
    assert message.properties["application_headers"] == {"x-replayed": True, "x-sender": "coordinator"}


def test_retrying_what_parks_again_ends(probe: Any, node: Node, broker: Any, publisher: Publisher):
    """A service may park a message again while the same command still goes through the parking queue."""
    copies = [Outgoing(topology.PARKED.name, QUEUE, b"no event", f"id-{n}") for n in range(50)]
    assert publisher.publish_all(copies) == [None] * 50
    probe.start()
    assert [found["stays"] for found in deadletters.retry(node.uri("operator"), lambda _: True)] == [None] * 50
    assert broker.has(DEAD, 50), probe.log


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[" * 100_000, {"x-queue": QUEUE}),
        (b"\xff\xfe", {"x-sender": 5}),
        (b"7", {}),
        (b"", {}),
        (b"{}", {"x-attempt": "three"}),
        (b"{}", {"x-death": "mine"}),
        (b"{}", {"x-death": ["mine"]}),
        (b"{}", {"x-queue": 5, "x-reason": ["r"], "x-error": {"e": 1}}),
        (b"{}", {"compression": "nonsense"}),
        (b"{}", {"compression": "zlib"}),
    ],
)
def test_any_dead_letter_can_be_browsed_and_dropped(
    node: Node, broker: Any, publisher: Publisher, body: bytes, headers: dict[str, Any]
):
    uri = node.uri("operator")
    publisher.publish(Outgoing(topology.PARKED.name, QUEUE, body, "odd", headers))
    (found,) = deadletters.browse(uri)
    assert found["id"] == "odd"
    assert found["attempts"] >= 1
    assert len(deadletters.drop(uri, lambda _: True)) == 1
    assert broker.has(DEAD, 0)


def test_a_dead_letter_goes_back_only_where_it_was_found_and_one_that_cannot_stops_none(
    node: Node, broker: Any, publisher: Publisher
):
    gone = topology.host_queue("gone").name
    for key, id_ in ((gone, "deleted"), ("stackferry.other", "odd"), (QUEUE, "known")):
        publisher.publish(Outgoing(topology.PARKED.name, key, b"{}", id_, {"x-queue": "stackferry.coordinator"}))
    stays = {found["id"]: found["stays"] for found in deadletters.retry(node.uri("operator"), lambda _: True)}
    assert stays == {
        "deleted": f"there's no queue {gone} any more: drop it",
        "odd": "it was found on no queue of ours: drop it",
        "known": None,
    }
    assert broker.has(QUEUE, 1)
    assert (broker.has(DEAD, 2), broker.count("stackferry.coordinator")) == (True, 0)


def test_what_waits_for_a_queue_that_is_gone_holds_nobody_up(node: Node, broker: Any, publisher: Publisher):
    """One such message comes from each host that is deleted; 32 of them would block a delay queue for all."""
    gone = topology.host_queue("gone").name
    delay = topology.retry_exchange(1).name
    assert publisher.publish_all([Outgoing(delay, gone, b"{}", f"lost-{n}") for n in range(40)]) == [None] * 40
    publisher.publish(Outgoing(delay, QUEUE, b"{}", "ours"))
    assert broker.has(QUEUE, 1, 30)
    assert broker.has(DEAD, 40, 30)
    found = deadletters.browse(node.uri("operator"))
    assert {letter["queue"] for letter in found} == {gone}
    assert {letter["reason"] for letter in found} == {"expired"}
