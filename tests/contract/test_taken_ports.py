"""A port at the destination that has an address or MAC of a document's is never taken over unless it is ours or equal."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from openstack.network.v2.port import Port
from stackferry_clouds import apply

from .fake_cloud import Cloud
from .projects import view
from .test_workloads import ground, servers, with_servers

Document = dict[str, Any]


def pet() -> tuple[Document, Document, Cloud]:
    """A server's document, that of its port which says most, and a destination without the server."""
    source = with_servers()
    document = servers(source)["pet"]
    return document, document["params"]["ports"][1], ground(source)


def free_port(leg: Document, destination: Cloud, **other: Any) -> dict[str, Any]:
    """What the document says, made by somebody else before, but for *other* attributes; then nothing is written."""
    made = apply.ensure("port", copy.deepcopy(leg), view(destination, admin=True), {})
    row = destination.rows[Port][str(made.destination_id)]
    row.update(other)
    destination.writes.clear()
    return copy.deepcopy(row)


@pytest.mark.parametrize("verb", [apply.ensure, apply.compare])
@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"name": "theirs"}, "name"),
        ({"description": "theirs"}, "description"),
        ({"mac_address": "fa:16:3e:aa:aa:aa"}, "mac_address"),
        ({"security_group_ids": []}, "security_group_refs"),
        ({"fixed_ips": []}, "fixed_ips_refs"),  # only the MAC address is the same
    ],
)
def test_a_free_port_of_somebody_else_is_a_conflict_and_stays_as_it_is(
    verb: Any, other: dict[str, Any], field: str
) -> None:
    _, leg, destination = pet()
    had = free_port(leg, destination, **other)
    ended = verb("port", leg, view(destination, admin=True), {})
    assert (ended.outcome, destination.writes) == ("conflict", [])
    assert f"port {had['id']}, which has another {field}: delete that port" in str(ended.reason)
    assert destination.rows[Port][had["id"]] == had


def test_the_plan_of_its_server_says_so() -> None:
    document, leg, destination = pet()
    had = free_port(leg, destination, name="theirs")
    ended = apply.compare("server", document, view(destination, admin=True), {})
    assert ended.outcome == "missing"
    assert f"is taken here, by port {had['id']}, which has another name" in str(ended.reason)


def test_a_free_port_that_is_what_the_document_says_is_used_as_it_is() -> None:
    document, leg, destination = pet()
    had = free_port(leg, destination)
    assert apply.compare("server", document, view(destination, admin=True), {}).outcome == "created"
    ended = apply.ensure("port", leg, view(destination, admin=True), {})
    assert (ended.outcome, ended.destination_id, destination.writes) == ("unchanged", had["id"], [])


def test_what_an_earlier_try_made_is_ours_also_when_it_was_not_finished() -> None:
    _, leg, destination = pet()
    had = free_port(leg, destination, tags=[])  # its tags are set by a second call
    hints = {"look": True, "first_asked": 1_700_000_000}
    ended = apply.ensure("port", leg, view(destination, admin=True), hints)
    assert (ended.outcome, ended.destination_id) == ("created", had["id"])
    assert destination.rows[Port][had["id"]]["tags"] == leg["params"]["tags"]
