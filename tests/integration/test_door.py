"""What is judged before anything follows from a request: whose it is, which clouds it names, and in how many words."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from stackferry.bus import Outgoing
from stackferry.envelope import Envelope
from stackferry.errors import InvalidMessage, Nacked, Soon, Unroutable
from stackferry.messages import ControlMigration, RequestMigration, StepEnded, SubmitDocuments
from stackferry_coordinator.events.telling import told
from stackferry_coordinator.plan.ledger import Head, Ledger
from stackferry_coordinator.storage import database, outbox
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.transactions.shell import Shell
from stackferry_coordinator.trust.authority import Authority
from stackferry_coordinator.trust.clients import Clients

CLIENTS = """\
clients:
  bob: {role: operator, clouds: [old, new]}
  eve: {role: operator, clouds: [x, y]}
  web: {role: operator, labels: {team: web}}
  root: {role: admin}
"""


class Quiet:
    """A broker that takes all, and refuses what it's told to refuse."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.outcomes: dict[str, Exception] = {}

    def declare(self, _: Any) -> None: ...

    def publish_all(self, messages: list[Outgoing]) -> list[Any]:
        self.sent += messages
        return [self.outcomes.get(message.exchange) for message in messages]


class Door:
    def __init__(self, folder: Path) -> None:
        file = folder / "clients.yaml"
        file.write_text(CLIENTS)
        self.engine = database.connect(f"sqlite:///{folder}/door.db")
        database.upgrade(self.engine)
        self.broker, self.now = Quiet(), 1000.0
        self.shell = Shell(
            self.engine, self.broker, clock=lambda: self.now, authority=Authority("coordinator", Clients(str(file)))
        )  # type: ignore[arg-type]

    def take(self, sender: str, message: Any, **data: Any) -> None:
        self.shell.take(message.make("tests", data), sender)

    def workers(self, *clouds: str) -> None:
        for service in ("exporter", "importer"):
            data = {"service": service, "instance": service, "clouds": list(clouds)}
            self.shell.worker_seen(data, service)

    def heads(self) -> dict[str, str]:
        with self.engine.connect() as connection:
            return dict(connection.execute(select(t.migration.c.id, t.migration.c.owner)).all())  # type: ignore[arg-type]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    yield made
    made.engine.dispose()


OLD_NEW = {"source": {"cloud": "old"}, "destination": {"cloud": "new"}}
DOCUMENT = {"type": "openstack.network.Network", "params": {"name": "n"}, "_info": {}, "_migration_params": {}}


@pytest.mark.parametrize("sender", ["eve", "web", "stranger", ""])
def test_documents_of_one_who_has_not_yet_requested_are_nobody_elses(door: Door, sender: str) -> None:
    migration = str(uuid.uuid4())
    door.take("bob", SubmitDocuments, migration=migration, part=1, documents=[DOCUMENT])
    assert door.heads() == {migration: "bob"}
    for message, data in (
        (SubmitDocuments, {"part": 2, "documents": [DOCUMENT]}),
        (ControlMigration, {"action": "cancel"}),
    ):
        with pytest.raises(InvalidMessage, match="somebody else has begun to ask for it"):
            door.take(sender, message, migration=migration, **data)
    with pytest.raises(InvalidMessage):
        door.take(sender, RequestMigration, migration=migration, source={"cloud": "x"}, destination={"cloud": "y"})
    door.take("bob", RequestMigration, migration=migration, destination={"cloud": "new"}, parts=1)
    with door.engine.connect() as connection:
        assert connection.execute(select(t.migration.c.request)).scalar_one()["destination"] == {"cloud": "new"}


def test_who_may_all_may_cancel_what_was_never_requested(door: Door) -> None:
    migration = str(uuid.uuid4())
    door.take("bob", SubmitDocuments, migration=migration, part=1, documents=[DOCUMENT])
    door.take("root", ControlMigration, migration=migration, action="cancel")


def test_a_cloud_that_nobody_knows_is_refused_a_second_later_and_only_own_ones_are_named(door: Door) -> None:
    door.workers("old", "new", "secret-customer", "x", "y")
    request = RequestMigration.make("tests", {"migration": str(uuid.uuid4()), "source": {"cloud": "old"},
                                              "destination": {"cloud": "new"}, "labels": {}})  # fmt: skip
    with pytest.raises(InvalidMessage, match="may not touch"):
        door.shell.take(request, "eve")  # before anything is said of clouds
    wrong = {**request.data, "destination": {"cloud": "nwe"}}
    with pytest.raises(InvalidMessage, match="may not touch"):
        door.shell.take(RequestMigration.make("tests", wrong), "bob")
    root = RequestMigration.make("tests", wrong)
    with pytest.raises(Soon):
        door.shell.take(root, "root")
    door.now += 1
    with pytest.raises(InvalidMessage, match="known: new, old, secret-customer, x, y"):
        door.shell.take(root, "root")
    door.workers("old")
    own = RequestMigration.make("tests", {**request.data, "migration": str(uuid.uuid4())})
    with pytest.raises(Soon):
        door.shell.take(own, "bob")
    door.now += 1
    with pytest.raises(InvalidMessage, match='known: old"') as caught:
        door.shell.take(own, "bob")
    assert "secret" not in str(caught.value)
    assert door.heads() == {}


def test_many_requests_for_clouds_that_nobody_knows_are_all_answered(door: Door) -> None:
    door.workers("old")
    waiting = [RequestMigration.make("tests", {**OLD_NEW, "migration": str(uuid.uuid4())}) for _ in range(300)]
    for _ in range(3):
        for request in list(waiting):
            try:
                door.shell.take(request, "bob")
            except Soon:
                continue
            except InvalidMessage:
                waiting.remove(request)
        door.now += 1
    assert waiting == []


@pytest.mark.parametrize("migration", ["-" * 300 + str(uuid.uuid4()), "{0A1B2C3D-4E5F-4A6B-8C7D-9E0F1A2B3C4D}",
                                       "urn:uuid:0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "0a1b2c3d4e5f4a6b8c7d9e0f1a2b3c4d"])  # fmt: skip
def test_an_id_has_one_form_since_it_is_a_part_of_keys(migration: str) -> None:
    with pytest.raises(InvalidMessage, match="Not a"):
        RequestMigration.make("tests", {**OLD_NEW, "migration": migration})


@pytest.mark.parametrize("name", ["id", "correlationid"])
def test_what_becomes_a_property_of_amqp_is_no_longer_than_those_are(name: str) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "me", "type": "x", "data": {}, name: "ü" * 128}
    with pytest.raises(InvalidMessage, match="longer than 255 bytes"):
        Envelope.from_bytes(json.dumps(event).encode())


def test_an_event_that_one_listener_refuses_holds_up_nobody(door: Door) -> None:
    for _ in range(2 * outbox.BATCH):
        door.take("bob", RequestMigration, migration=str(uuid.uuid4()), **OLD_NEW)
    door.broker.outcomes["stackferry.events"] = Nacked("full")
    while door.shell.relay():
        pass
    commands = [message for message in door.broker.sent if message.exchange == "stackferry.commands"]
    assert len(commands) == 2 * outbox.BATCH
    with door.engine.connect() as connection:
        assert list(connection.execute(select(t.outbox.c.key)).scalars()) == []


def test_what_was_for_a_host_that_is_gone_is_not_sent_for_ever(door: Door) -> None:
    gone = Outgoing("stackferry.commands", "stackferry.transfer.h1", b"{}", "1")
    old = Outgoing("stackferry.facts", "migration.changed", b"{}", "2")  # left by a version before
    service = Outgoing("stackferry.commands", "stackferry.importer", b"{}", "3")
    with door.engine.begin() as connection:
        outbox.keep(connection, [gone, old, service])
    door.broker.outcomes["stackferry.commands"] = Unroutable("gone")
    door.shell.relay()
    assert old not in door.broker.sent
    with door.engine.connect() as connection:
        assert list(connection.execute(select(t.outbox.c.key)).scalars()) == ["stackferry.importer"]


def test_a_workers_own_words_do_not_get_into_events_and_one_that_is_too_long_is_shortened() -> None:
    ledger = Ledger(Head("0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", {**OLD_NEW, "name": "nightly"}))
    about = {"migration": ledger.head.id, "step": "s", "attempt": 1, "outcome": "failed"}
    ledger.counted = [
        {**about, "forged": "x", "labels": {"team": "forged"}, "migration_name": "forged", "reason": "why"},
        {**about, "reason": "x" * (1 << 20)},
    ]
    events = [Envelope.from_bytes(one.body) for one in told(ledger, ledger.head, None)]
    assert [event.type for event in events] == [StepEnded.type] * 2
    first, second = (event.data for event in events)
    assert (first["migration_name"], first["reason"]) == ("nightly", "why")
    assert not {"forged", "labels"} & first.keys()
    assert (second["outcome"], second["migration_name"]) == ("failed", "nightly")
    assert "reason" not in second
