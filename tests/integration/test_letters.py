"""Parked messages that nobody looks at: the oldest of too many leave the broker for a file, and none is lost."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from stackferry import deadletters, topology
from stackferry.bus import Outgoing, Publisher, connect
from stackferry.envelope import MAX_BYTES, Envelope
from stackferry.messages import Answer
from stackferry_cli.local.rabbitmq import Node
from stackferry_coordinator.events.dead_letters import SHOWN, describe, make_room, settle

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


def parked_by(node: Node, user: str, queue: str, id_: str, said_by: str) -> None:
    publisher = Publisher(node.uri(user), "tests")
    headers = {"x-sender": said_by, "x-reason": "refused", "x-error": "why"}
    publisher.publish(Outgoing("stackferry.parked", queue, b'{"data": {"migration": "m"}}', id_, headers))
    publisher.close()


def test_the_coordinator_lends_its_name_to_nobody(node: Node, broker: Any):
    """A command that somebody has smuggled in was refused; put back by the coordinator, it would be the coordinator's."""
    parked_by(node, "importer", "stackferry.importer", "true", "coordinator")
    parked_by(node, "importer", "stackferry.importer", "smuggled", "client")
    parked_by(node, "coordinator", "stackferry.coordinator", "asked", "client")
    parked_by(node, "coordinator", "stackferry.coordinator.facts", "told", "importer")
    uri = node.uri("coordinator")
    known = {letter["message_id"]: letter["id"] for letter in describe(uri)["letters"]}
    settled = settle(uri, [*known.values(), "unknown", "unknown"], "retry")
    assert settled["done"] == sorted((known["told"], known["true"]))
    assert settled["missing"] == ["unknown"]
    assert set(settled["stay"]) == {known["smuggled"], known["asked"]}
    assert settled["stay"][known["smuggled"]].startswith("client has said it, not coordinator")
    assert "whoever asked for it may ask again" in settled["stay"][known["asked"]], "or an operator asks for an admin's"
    assert ids_in(node) == ["smuggled", "asked"]
    (back,) = broker.take("stackferry.importer", 1)
    assert back.properties["application_headers"]["x-sender"] == "coordinator"
    (told,) = broker.take("stackferry.coordinator.facts", 1)
    assert told.properties["application_headers"]["x-sender"] == "importer"  # whose word it still is
    both = sorted((known["smuggled"], known["asked"]))
    assert settle(uri, both, "drop") == {"done": both, "stay": {}, "missing": []}
    assert ids_in(node) == []


def test_the_oldest_are_told_as_far_as_an_answer_has_room(node: Node, broker: Any):
    publisher = Publisher(node.uri("importer"), "tests")
    bodies = [
        json.dumps({"id": "y" * 5000, "type": "t" * 100_000, "data": {"migration": n}}).encode()
        for n in range(SHOWN + 5)
    ]
    parked = [
        Outgoing("stackferry.parked", "stackferry.importer", body, "", {"x-error": "\u00e9" * 1900}) for body in bodies
    ]
    assert publisher.publish_all(parked) == [None] * len(bodies)
    publisher.close()
    told = describe(node.uri("coordinator"))
    assert told["number"] == SHOWN + 5
    assert 50 < len(told["letters"]) < SHOWN
    assert len(json.dumps(told)) < MAX_BYTES
    assert {len(letter["message_id"]) for letter in told["letters"]} == {64}
    assert told["letters"][0]["migration"] is None
    assert len(ids_in(node)) == SHOWN + 5, "looking takes nothing"
    settle(node.uri("coordinator"), [letter["id"] for letter in told["letters"]], "drop")
    deadletters.drop(node.uri("operator"), lambda _: True)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"id": "\\ud800", "type": "\\udc00", "data": {"migration": "\\ud800"}}', {}),
        (b"{}", {"x-reason": datetime(2026, 1, 1), "x-error": datetime(2026, 1, 1)}),
        (b"{}", {"x-reason": "\x01" * 50_000, "x-error": "\x01" * 50_000}),
        (b"{}", {"x-reason": ["r"], "x-error": {"e": 1}}),
        (b'{"id": 5, "type": [], "data": {"migration": {}}}', {"x-attempt": "many"}),
    ],
)
def test_no_message_keeps_the_others_from_being_seen(node: Node, broker: Any, body: bytes, headers: dict[str, Any]):
    publisher = Publisher(node.uri("importer"), "tests")
    publisher.publish(Outgoing("stackferry.parked", "stackferry.importer", body, "", headers))
    publisher.publish(Outgoing("stackferry.parked", "stackferry.importer", b'{"other": 1}', "", {}))
    publisher.close()
    told = describe(node.uri("coordinator"))
    assert len(told["letters"]) == 2
    answer = Answer.make("tests", {"content": told})
    assert Envelope.from_bytes(answer.to_bytes()).data["content"] == told
    ids = [letter["id"] for letter in told["letters"]]
    assert len(set(ids)) == 2
    assert settle(node.uri("coordinator"), ids[:1], "drop")["done"] == ids[:1], "and nobody else's"
    assert len(describe(node.uri("coordinator"))["letters"]) == 1
    deadletters.drop(node.uri("operator"), lambda _: True)


def test_one_is_told_from_another_that_says_the_same_id(node: Node, broker: Any):
    publisher = Publisher(node.uri("importer"), "tests")
    for body in (b'{"a": 1}', b'{"a": 2}'):
        publisher.publish(Outgoing("stackferry.parked", "stackferry.importer", body, "same", {}))
    publisher.close()
    first, second = describe(node.uri("coordinator"))["letters"]
    assert first["message_id"] == second["message_id"] == "same"
    assert settle(node.uri("coordinator"), [second["id"]], "drop")["done"] == [second["id"]]
    (left,) = describe(node.uri("coordinator"))["letters"]
    assert left["id"] == first["id"]
    deadletters.drop(node.uri("operator"), lambda _: True)
