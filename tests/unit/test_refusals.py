"""Whoever asks for what can't be done is told so, whatever the request looks like."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stackferry.envelope import Envelope
from stackferry.errors import InvalidMessage
from stackferry.messages import Answer, RequestRefused, check
from stackferry_runtime.services.refusals import refusals

MIGRATION = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
WRONG = InvalidMessage("invalid", {"action": ["it's done: there's nothing to pause"]})
REQUEST = {"id": "1", "source": "me", "type": "stackferry.control-migration.v1", "data": {"migration": MIGRATION}}


def told(event: Any, error: InvalidMessage = WRONG) -> list[Any]:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    outgoing = refusals(body, "", "client", error)
    return [(one.exchange, one.key, check(Envelope.from_bytes(one.body))) for one in outgoing]


def test_a_refusal_is_an_event_that_names_the_request_and_why() -> None:
    ((exchange, key, envelope),) = told(REQUEST)
    assert (exchange, key, envelope.type) == (
        "stackferry.events",
        f"-.-.{MIGRATION}.request-refused",
        RequestRefused.type,
    )
    assert (envelope.subject, envelope.causationid, envelope.correlationid) == (MIGRATION, "1", "1")
    assert envelope.data == {
        "request": "1", "sender": "client", "migration": MIGRATION, "name": "control-migration",
        "reason": 'invalid: {"action": ["it\'s done: there\'s nothing to pause"]}',
    }  # fmt: skip


def test_who_waits_for_an_answer_gets_one_too() -> None:
    (exchange, key, answer), (_, _, event) = told({**REQUEST, "data": {"reply_to": "me"}})
    assert (exchange, key, answer.type, answer.causationid) == ("stackferry.replies", "me", Answer.type, "1")
    assert answer.data["error"].startswith("invalid: ")
    assert event.type == RequestRefused.type


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"{}", b'{"id": 5}', b"[" * 100_000, b'{"id": "\\ud800"}'])
def test_what_names_no_request_is_only_parked(body: bytes) -> None:
    assert told(body) == []


def test_an_id_that_is_too_long_is_told_by_that_of_amqp() -> None:
    body = json.dumps({**REQUEST, "id": "x" * 256, "data": {"reply_to": "y" * 256}}).encode()
    (only,) = refusals(body, "amqp-id", "client", WRONG)
    assert Envelope.from_bytes(only.body).data["request"] == "amqp-id"


@pytest.mark.parametrize("spoiled", [{"type": None}, {"type": 5}, {"data": []}, {"data": {"migration": "no id"}},
                                     {"data": {"migration": MIGRATION, "reply_to": ["x"]}},
                                     {"correlationid": {"a": 1}}])  # fmt: skip
def test_what_cannot_be_read_of_a_request_is_left_out(spoiled: dict[str, Any]) -> None:
    ((_, _, envelope),) = told({**REQUEST, **spoiled})
    assert envelope.data["request"] == "1"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(MIGRATION) | st.uuids().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["id", "type", "data", "correlationid"]), values), st.text())
def test_nothing_that_is_asked_breaks_it_and_all_that_is_told_is_valid(event: dict[str, Any], why: str) -> None:
    told(event, error=InvalidMessage("invalid", why))
    told({**event, "id": str(uuid.uuid4()), "data": {"reply_to": why, "migration": why}})
