"""Agents of one host share what comes in its queue, with a real broker."""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stackferry import topology
from stackferry.bus import Outgoing, Publisher
from stackferry.messages import OfferSegment
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import Node
from stackferry_transfer.consumer import LOOK, Consumer

pytestmark = pytest.mark.integration
EXAMPLE = Path(__file__).parents[1] / "contract/golden/stackferry.offer-segment.v1.json"


def test_between_two_messages_of_a_burst_the_other_agents_have_time_to_look(broker_uri: str) -> None:
    queue, stop, taken = topology.host_queue(str(uuid.uuid4())), threading.Event(), []
    publisher = Publisher(broker_uri, "tests")
    publisher.declare(topology.work_queue(queue))
    data = json.loads(EXAMPLE.read_text())["data"]
    for _ in range(4):
        publisher.publish(Outgoing.of(topology.COMMANDS.name, queue.name, OfferSegment.make("tests", data)))
    agent = Consumer(broker_uri, queue, publisher, lambda *_: taken.append(time.monotonic()), lambda: True, stop)
    thread = threading.Thread(target=agent.run)
    try:
        thread.start()
        assert until(lambda: len(taken) == 4, 20)
    finally:
        stop.set()
        thread.join()
        publisher.delete(queue.name)
        publisher.close()
    assert all(later - earlier > LOOK for earlier, later in itertools.pairwise(taken)), taken


def test_an_agent_takes_commands_of_the_coordinator_alone(node: Node, broker: Any) -> None:
    """Also those that somebody has put back, who says truly whose they are; nothing else that reaches its queue."""
    queue, stop, taken = topology.host_queue(str(uuid.uuid4())), threading.Event(), []
    coordinator, operator = (Publisher(node.uri(user), "tests") for user in ("coordinator", "operator"))
    coordinator.declare(topology.work_queue(queue))
    data = json.loads(EXAMPLE.read_text())["data"]
    forged, put_back, commanded = (OfferSegment.make(who, data) for who in ("stackferry/coordinator", "b", "c"))
    back = Outgoing.of(topology.RETURNS.name, queue.name, put_back)
    operator.publish(Outgoing.of(topology.RETURNS.name, queue.name, forged))
    operator.publish(replace(back, headers={"x-sender": "coordinator"}))
    coordinator.publish(replace(Outgoing.of(topology.COMMANDS.name, queue.name, commanded), headers={"x-sender": "x"}))
    reading = Publisher(node.uri("admin"), "tests")
    agent = Consumer(node.uri("admin"), queue, reading, lambda one, _: taken.append(one.id), lambda: True, stop)
    thread = threading.Thread(target=agent.run)
    try:
        thread.start()
        assert until(lambda: len(taken) == 2, 20)
        (letter,) = broker.take("stackferry.dead", 1)
    finally:
        stop.set()
        thread.join()
        coordinator.delete(queue.name)
        for publisher in (coordinator, operator, reading):
            publisher.close()
    assert taken == [put_back.id, commanded.id]
    headers = letter.properties["application_headers"]
    assert (letter.properties["message_id"], headers["x-reason"], headers["x-sender"]) == (
        forged.id,
        "refused",
        "operator",
    )
