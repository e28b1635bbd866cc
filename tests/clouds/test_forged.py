"""Who has a host's password, or a service's: forged reports on the real bus change nothing, and are found parked."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
from stackferry import deadletters, topology
from stackferry.bus import Outgoing, Publisher
from stackferry.definitions import password_hash
from stackferry.envelope import Envelope
from stackferry.messages import AgentSeen, Fact, OfferSegment, RemoveResource, StepEnded
from stackferry.resources.conversion import METADATA
from stackferry_cli.broker_users import local
from stackferry_cli.hosts.broker import with_own_user
from stackferry_cli.local.processes import until
from stackferry_transfer.agent import Agent
from stackferry_transfer.disk.blocks import Copy
from stackferry_transfer.pump.connections import connect, reader, send
from stackferry_transfer.pump.protocol import Hello, encode_hello, read_hello
from stackferry_transfer.settings import Settings

from .hosts import conversion_host
from .servers import disk, ground, server

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


class Liar(Agent):
    """An agent in other hands: it calls done what it hasn't fetched, so that an empty volume would pass for a copy."""

    def take(self, envelope: Envelope, again: bool) -> None:
        if envelope.type == OfferSegment.type:
            super().take(envelope, again)
            return
        data = envelope.data
        host, _, port = data["address"].rpartition(":")
        ticket = f"{data['copy']} {'/'.join(data['step'].split('/')[2:])} {data['attempt']}"
        with connect((host, int(port)), self.identity, data["certificate"]) as connection:
            send(connection, encode_hello(Hello.of(Copy(ticket, data["size"]), compression=False)))
            read_hello(reader(connection))
        about = {name: data[name] for name in ("migration", "step", "attempt")}
        results = {"counts": {"raw": 1024}, "digest": "0" * 64, "part": "0" * 64}
        self.reports.ended({**about, "outcome": "done", "results": results}, envelope)


@pytest.fixture
def lying(destination: Any, stack: Any, tmp_path: Path) -> Iterator[str]:
    """A conversion host of the destination, whose agent lies; its id."""
    image = destination.connect().image.create_image(
        name="conversion", disk_format="raw", container_format="bare", data=b"x" * 512
    )
    compute = destination.connect().compute
    flavor = compute.find_flavor("m1.tiny", ignore_missing=False)
    made = compute.create_server(
        name="conversion", flavor_id=flavor.id, image_id=image.id, networks="none", metadata=METADATA
    )
    host, password = compute.wait_for_server(made, interval=0.3), token_urlsafe(18)
    user = topology.host_user(topology.Enrolled(host.id, destination.entry))
    local(stack.node).make({user: password_hash(password)})
    uri = with_own_user(stack.node.address(), password, destination.entry)
    folders = {"state_dir": str(tmp_path), "devices_dir": str(tmp_path)}
    agent = Liar(Settings(amqp_uri=uri, cloud=destination.entry, server_id=host.id, slots=2, **folders))
    thread = threading.Thread(target=agent.run, name="liar")
    thread.start()
    try:
        yield host.id
    finally:
        agent.stop.set()
        thread.join()
        local(stack.node).delete([user])


def test_a_host_that_calls_done_what_it_has_not_fetched_is_not_believed(source, destination, ferry, stack, lying):
    pet = server(source, "pet", ground(source), [disk(source, "root", [0, 7], bootable=True)])
    with conversion_host(source, stack):
        migration = ferry.migrate(source.entry, destination.entry)

        def refused() -> list[str]:
            why = "the destination says that 1024 blocks crossed, and the source that 0 did"
            return [step["key"] for step in ferry.show(migration)["steps"] if step["reason"] == why]

        assert until(refused, 60)
        ferry.control(migration, "cancel")
        state = ferry.wait_for(migration, "cancelled", timeout=120)
    assert {s["outcome"] for s in state["steps"] if s["action"] in ("copy", "verify")}.isdisjoint({"done"})
    assert [s.name for s in destination.connect().compute.servers()] == ["conversion"]
    compute = source.connect().compute
    compute.wait_for_server(compute.get_server(pet.id), "ACTIVE", interval=0.3)


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
