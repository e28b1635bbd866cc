"""Who has a host's password, or a service's: forged reports on the real bus change nothing, and are found parked."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from secrets import token_urlsafe
from typing import Any

import pytest
from stackferry import deadletters, topology
from stackferry.bus import Outgoing, Publisher
from stackferry.definitions import password_hash
from stackferry.messages import AgentSeen, Fact, RemoveResource, StepEnded
from stackferry_cli.broker_users import local
from stackferry_cli.hosts.broker import with_own_user
from stackferry_cli.local.processes import until

pytestmark = pytest.mark.clouds
ATTACKER = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def attacker(stack: Any) -> Iterator[str]:
    """The URI of a host that was enrolled, and is in other hands now."""
    password = token_urlsafe(18)
    control = local(stack.node)
    user = topology.host_user(topology.Enrolled(ATTACKER, "elsewhere"))
    control.make({user: password_hash(password)})
    yield with_own_user(stack.node.address(), password, "elsewhere").replace("{server_id}", ATTACKER)
    control.delete([user])


def told(uri: str, fact: type[Fact], data: dict[str, Any]) -> str:
    """Publish a fact as whoever *uri* connects as; return its id. The broker takes it."""
    envelope, publisher = fact.make("stackferry/importer", data), Publisher(uri, "attacker")
    publisher.publish(Outgoing.of(topology.FACTS.name, fact.key, envelope))
    publisher.close()
    return envelope.id


def refused(stack: Any, id_: str) -> bool:
    letters = {letter["id"]: letter["reason"] for letter in deadletters.browse(stack.node.uri("operator"))}
    return letters.get(id_) == "refused"


def test_nobody_but_the_importer_names_what_undo_takes_away(source, destination, ferry, stack, attacker):
    theirs = destination.connect().network.create_network(name="theirs")
    ours = source.connect().network.create_network(name="ours")
    migration = ferry.migrate(source.entry, destination.entry)
    assert ferry.wait(migration, timeout=60)["phase"] == "done"
    forged = {"migration": migration, "step": f"network/{ours.id}", "attempt": 1, "outcome": "created"}
    for uri in (attacker, stack.node.uri("exporter")):
        for said in ({"destination_id": theirs.id}, {"destination_id": "x", "also_made": [theirs.id]}):
            id_ = told(uri, StepEnded, {**forged, **said})
            assert until(lambda id_=id_: refused(stack, id_), 20)
    ferry.control(migration, "undo")
    assert ferry.wait_for(migration, "undone")["phase"] == "undone"
    assert [network.name for network in destination.connect().network.networks(is_router_external=False)] == ["theirs"]


def test_a_host_cannot_speak_for_another_one(source, destination, ferry, stack, hosts, attacker):
    before = {row["id"]: row for row in ferry.hosts()}
    for host in hosts:
        seen = {"host": host.id, "name": "mine", "instance": "mine", "cloud": source.entry, "slots": 100,
                "version": "0", "certificate": "mine"}  # fmt: skip
        id_ = told(attacker, AgentSeen, seen)
        assert until(lambda id_=id_: refused(stack, id_), 20)
    after = {row["id"]: row for row in ferry.hosts()}
    assert {id_: (row["name"], row["slots"], row["agents"]) for id_, row in after.items()} == {
        id_: (row["name"], row["slots"], row["agents"]) for id_, row in before.items()
    }


def test_a_command_that_comes_by_a_back_door_is_refused(destination, stack, attacker):
    """RabbitMQ routes by the header CC, too, and many versions don't ask whether its keys may be used."""
    theirs = destination.connect().network.create_network(name="theirs")
    data = {"migration": str(uuid.uuid4()), "step": "network/x", "attempt": 1, "kind": "network", "document": {"type": "openstack.network.Network", "params": {"name": "theirs"}},
            "destination": {"cloud": destination.entry}, "hints": {"destination_id": theirs.id}}  # fmt: skip
    command, own = RemoveResource.make("stackferry/coordinator", data), topology.host_queue(ATTACKER).name
    headers = {"CC": ["stackferry.importer"], "x-sender": "coordinator"}
    publisher = Publisher(attacker, "attacker")
    publisher.publish(replace(Outgoing.of(topology.retry_exchange(1).name, own, command), headers=headers))
    publisher.close()

    def parked() -> set[tuple[str, str]]:
        letters = deadletters.browse(stack.node.uri("operator"))
        return {(letter["queue"], letter["reason"]) for letter in letters if letter["id"] == command.id}

    assert until(lambda: ("stackferry.importer", "refused") in parked() or (own, "expired") in parked(), 20)
    assert until(lambda: parked() == {("stackferry.importer", "refused"), (own, "expired")}, 20) or len(parked()) == 1
    assert destination.connect().network.find_network(theirs.id) is not None
