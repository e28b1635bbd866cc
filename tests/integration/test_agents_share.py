"""Agents of one host share what comes in its queue, with a real broker."""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from pathlib import Path

import pytest
from stackferry import topology
from stackferry.bus import Outgoing, Publisher
from stackferry.messages import OfferSegment
from stackferry_cli.local.processes import until
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
