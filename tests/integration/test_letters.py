"""Parked messages that nobody looks at: the oldest of too many leave the broker for a file, and none is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from stackferry import deadletters, topology
from stackferry.bus import Outgoing, Publisher, connect
from stackferry_cli.local.rabbitmq import Node
from stackferry_coordinator.events.dead_letters import make_room

pytestmark = pytest.mark.integration
MOST = 20


def park(node: Node, number: int) -> list[str]:
    importer = Publisher(node.uri("importer"), "tests")
    ids = [f"letter-{n:03}" for n in range(number)]
    bodies = [b'{"id": "x"}', b"\xff\xfe", b""]
    parked = [Outgoing("stackferry.parked", "stackferry.importer", bodies[n % 3], id_, {"x-reason": "failed", "x-error": "why"})
              for n, id_ in enumerate(ids)]  # fmt: skip
    assert importer.publish_all(parked) == [None] * number
    importer.close()
    return ids


def ids_in(node: Node) -> list[str]:
    return [letter["id"] for letter in deadletters.browse(node.uri("operator"))]


def test_the_oldest_of_too_many_go_into_a_file_and_it_is_told(node: Node, broker: Any, tmp_path: Path):
    ids, folder = park(node, MOST + 5), tmp_path / "letters"
    publisher = Publisher(node.uri("coordinator"), "tests")
    with connect(node.uri("client"), "tests", heartbeat=0) as connection:
        channel = connection.channel()
        channel.queue_declare("stackferry.client.client.me", exclusive=True)
        channel.queue_bind("stackferry.client.client.me", "stackferry.events", routing_key="#")
        assert make_room(node.uri("coordinator"), str(folder), MOST, publisher) == 7  # a tenth more, for those to come
        told = json.loads(channel.basic_get("stackferry.client.client.me", no_ack=True).body)
    (file,) = folder.iterdir()
    assert told["data"] == {"number": 7, "file": str(file)}
    assert oct(os.stat(file).st_mode & 0o777) == "0o600"
    letters = [json.loads(line) for line in file.read_text().splitlines()]
    assert [letter["id"] for letter in letters] == ids[:7]
    assert {(letter["queue"], letter["reason"], letter["error"]) for letter in letters} == {
        ("stackferry.importer", "failed", "why")
    }
    assert broker.has(topology.DEAD.name, MOST - 2)
    assert ids_in(node) == ids[7:]
    assert make_room(node.uri("coordinator"), str(folder), MOST, publisher) == 0
    publisher.close()


def test_what_cannot_be_written_stays_parked(node: Node, broker: Any, tmp_path: Path):
    ids = park(node, MOST + 1)
    publisher = Publisher(node.uri("coordinator"), "tests")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory|File exists"):
        make_room(node.uri("coordinator"), str(tmp_path / "file" / "letters"), MOST, publisher)
    assert make_room(node.uri("coordinator"), "", MOST, publisher) == 0
    assert ids_in(node) == ids
    publisher.close()
