"""Whose word counts about a step: a forged fact changes nothing. (Who is listened to: the simulators check each command.)"""

from __future__ import annotations

from typing import Any

import pytest
from stackferry.topology import Enrolled
from stackferry_coordinator.rules.transitions import known
from stackferry_coordinator.trust.senders import is_over, refused

from .test_offers import COPY, asked
from .test_transfers import ENSURE, MIGRATION, TRANSFER, Play

HOSTS = {host: Enrolled(host, "src" if host == "s1" else "dst").user for host in ("s1", "d1", "d2")}
USERS = {"exporter", "importer", *HOSTS.values(), "client", "operator", ""}


def believed(play: Play, name: str, **data: Any) -> set[str]:
    """The users whose word counts."""
    about = {"migration": MIGRATION, "attempt": 1, **data}
    return {user for user in USERS if refused(play.ledger, name, about, user) is None}


def test_the_importer_alone_says_what_was_made() -> None:
    play = Play()
    for outcome in ("created", "unchanged", "failed", "conflict"):
        assert believed(play, "step-ended", step=ENSURE, outcome=outcome, destination_id="x") == {"importer"}


@pytest.mark.parametrize("said", [{"destination_id": "x"}, {"also_made": ["x"]}, {"replaces": {"name": ["a", "b"]}}])
def test_nobody_else_names_anything_that_undo_would_remove(said: dict[str, Any]) -> None:
    play = Play()
    play.made()
    for outcome in ("created", "failed", "interrupted"):
        assert believed(play, "step-ended", step=TRANSFER, outcome=outcome, **said) == {"importer"}


def test_of_a_payload_the_exporter_says_that_it_can_be_had_and_the_importer_that_it_is_there() -> None:
    play = Play()
    play.made()
    assert believed(play, "image-offered", step=TRANSFER) == {"exporter"}
    assert believed(play, "step-ended", step=TRANSFER, outcome="done") == {"importer"}
    assert believed(play, "step-ended", step=TRANSFER, outcome="failed") == {"importer", "exporter"}
    assert believed(play, "step-claimed", step=TRANSFER) == {"importer", "exporter"}
    assert believed(play, "step-progressed", step=TRANSFER) == {"importer", "exporter"}


def test_the_exporter_alone_says_what_is_at_the_source() -> None:
    play = Play()
    for name in ("documents-exported", "export-ended"):
        assert believed(play, name) == {"exporter"}


def of_a_segment(name: str, **data: Any) -> tuple[set[str], dict[str, str]]:
    """Who is believed about a segment that was asked for; and the users of its hosts."""
    world, _, hosts = asked()
    users = {side: Enrolled(host, "any", "web.shop").user for side, host in hosts.items()}
    names = {f"host.{host}" for host in hosts.values()}  # such as a client might be called
    everybody = {*USERS, *users.values(), *names, "transfer", "coordinator"}
    about = {"migration": MIGRATION, "step": COPY, "attempt": 1, **data}
    return {user for user in everybody if refused(world.ledger, name, about, user) is None}, users


def test_agents_speak_only_of_volumes_that_have_a_place_on_their_own_host() -> None:
    believed, users = of_a_segment("step-ended", outcome="failed")
    assert believed == set(users.values())
    assert of_a_segment("step-progressed", done=1)[0] == believed
    assert of_a_segment("step-claimed")[0] == believed
    assert of_a_segment("segment-offered")[0] == {users["source_host"]}
    assert of_a_segment("segment-served", blocks=1, digest="x")[0] == {users["source_host"]}, (
        "nobody answers for both ends"
    )
    assert of_a_segment("step-ended", outcome="done", results={"digest": "x"})[0] == {users["destination_host"]}
    for said in ({"destination_id": "x"}, {"also_made": ["x"]}, {"replaces": {"name": ["a", "b"]}}):
        for outcome in ("done", "created", "failed"):
            assert of_a_segment("step-ended", outcome=outcome, **said)[0] == set()


def test_a_host_that_lost_a_volume_to_another_one_is_not_heard_any_more() -> None:
    world, do, hosts = asked()
    about = {"migration": MIGRATION, "step": do.key, "attempt": do.attempt, "outcome": "done"}
    old = Enrolled(hosts["destination_host"], "dst").user
    assert refused(world.ledger, "step-ended", about, old) is None
    world._tell("host-lost", {"migration": MIGRATION, "step": "volume/a-disk0/assign",
                              "hosts": [hosts["destination_host"]]})  # fmt: skip
    assert is_over(world.ledger, about)
    assert known(world.ledger, do.key).state != "done"


def test_a_refusal_names_who_said_it_and_who_may() -> None:
    play = Play()
    about = {"step": ENSURE, "attempt": 1, "outcome": "failed"}
    assert refused(play.ledger, "step-ended", about, HOSTS["d1"]) == {
        "sender": "the agents on d1 has no say in this, but importer"
    }
    assert refused(play.ledger, "step-ended", {**about, "destination_id": "x"}, "") == {
        "destination_id": "nobody known makes nothing at a destination"
    }
