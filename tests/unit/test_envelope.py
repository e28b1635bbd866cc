"""The envelope: CloudEvents 1.0 in structured JSON, and nothing but InvalidMessage for anything else."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stackferry.envelope import CONTENT_TYPE, MAX_BYTES, Envelope
from stackferry.errors import InvalidMessage

EVENT = {"specversion": "1.0", "id": "1", "source": "test", "type": "stackferry.answer.v1", "data": {}}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
texts = st.text(min_size=1, max_size=20)
TRACES = st.from_regex(r"00-[0-9a-f]{31}1-[0-9a-f]{15}1-[0-9a-f]{2}", fullmatch=True)
envelopes = st.builds(
    Envelope, type=texts, source=texts, id=texts, subject=st.text(max_size=20), correlationid=st.text(max_size=20),
    causationid=st.text(max_size=20), traceparent=st.just("") | TRACES, attempt=st.integers(0, 2**31 - 1),
    data=st.dictionaries(st.text(max_size=8), json_values, max_size=4),
)  # fmt: skip


def refused(body: Any, content_type: str | None = CONTENT_TYPE) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        Envelope.from_bytes(body, content_type)
    assert caught.value.reason == "undecodable"
    return caught.value


def with_(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


@settings(max_examples=80, deadline=None)
@given(envelopes)
def test_what_was_written_is_read(envelope: Envelope) -> None:
    body = envelope.to_bytes()
    assert Envelope.from_bytes(body) == envelope
    assert Envelope.from_bytes(memoryview(body)) == Envelope.from_bytes(body.decode()) == envelope


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_bytes_raise_anything_but_invalid_message(body: bytes | str) -> None:
    with suppress(InvalidMessage):
        Envelope.from_bytes(body)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*EVENT, "subject", "time", "attempt", "traceparent", "x"]), json_values))
def test_no_json_raises_anything_but_invalid_message(changes: dict[str, Any]) -> None:
    with suppress(InvalidMessage):
        Envelope.from_bytes(with_(**changes))


@settings(max_examples=50, deadline=None)
@given(json_values.filter(lambda value: not isinstance(value, dict)))
def test_json_that_is_no_object_is_undecodable(value: Any) -> None:
    refused(json.dumps(value))


@settings(max_examples=50, deadline=None)
@given(st.none() | st.text(max_size=40))
def test_any_other_content_type_is_undecodable(content_type: str | None) -> None:
    if (content_type or "").split(";")[0].strip().lower() != CONTENT_TYPE:
        refused(with_(), content_type)


@pytest.mark.parametrize("parameters", ["", "; charset=utf-8", ";charset=UTF-8"])
def test_the_content_type_may_have_parameters(parameters: str) -> None:
    assert Envelope.from_bytes(with_(), f"{CONTENT_TYPE}{parameters}").id == "1"


def test_the_content_type_has_no_case() -> None:
    assert Envelope.from_bytes(with_(), "Application/CloudEvents+JSON").id == "1"


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
@pytest.mark.parametrize("value", [None, "", 1, [], {}, "absent"])
def test_a_required_attribute_is_a_text_with_something_in_it(name: str, value: Any) -> None:
    event = {**EVENT, name: value}
    if value == "absent":
        del event[name]
    assert name in refused(json.dumps(event)).errors


@pytest.mark.parametrize("version", ["0.3", "1.0.2", "2.0"])
def test_another_version_of_cloudevents_is_undecodable(version: str) -> None:
    assert "specversion" in refused(with_(specversion=version)).errors


@pytest.mark.parametrize("data", [None, [], "text", 1])
def test_data_is_an_object(data: Any) -> None:
    assert "data" in refused(with_(data=data)).errors


@pytest.mark.parametrize("attempt", ["1", 1.5, True, None, []])
def test_the_attempt_is_an_integer(attempt: Any) -> None:
    assert "attempt" in refused(with_(attempt=attempt)).errors


def test_attributes_of_others_are_ignored() -> None:
    event = Envelope.from_bytes(with_(comexampleextension="x", dataschema="http://x"))
    assert (event.id, event.data) == ("1", {})


def test_a_key_that_stands_twice_is_undecodable() -> None:
    body = with_().decode()
    assert "twice" in str(refused(body.replace('"id": "1"', '"id": "1", "id": "2"')))
    assert "twice" in str(refused(body.replace('"data": {}', '"data": {"a": {"b": 1, "b": 2}}')))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_json_is_undecodable(number: str) -> None:
    refused(with_().decode().replace("{}", f'{{"x": {number}}}'))


@pytest.mark.parametrize("body", [b"\xff\xfe", b"", b"{", b"[" * 100_000, b'{"a": ' * 100_000, b"1" * 10_000])
def test_hostile_bodies_are_undecodable(body: bytes) -> None:
    refused(body)


def test_a_body_over_the_limit_is_refused_on_both_sides() -> None:
    with pytest.raises(InvalidMessage, match="too large"):
        Envelope(type="t", source="s", data={"x": "y" * MAX_BYTES}).to_bytes()
    refused(with_(data={"x": "y" * MAX_BYTES}))


def test_the_limit_is_in_bytes_on_both_sides() -> None:
    refused(json.dumps({**EVENT, "data": {"x": "€" * (MAX_BYTES // 2)}}, ensure_ascii=False))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('"\\ud800"', id="half a surrogate pair"),
        pytest.param("1e999", id="a number beyond all numbers"),
        pytest.param('{"\\udfff": 1}', id="half a surrogate pair as a key"),
    ],
)
def test_what_could_not_be_sent_on_is_undecodable(text: str) -> None:
    refused(with_().decode().replace('"data": {}', f'"data": {{"x": {text}}}'))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", object(), {1, 2}, b"bytes"])
def test_data_that_is_not_json_cannot_be_written(value: Any) -> None:
    with pytest.raises(InvalidMessage):
        Envelope(type="t", source="s", data={"x": value}).to_bytes()


# -- CloudEvents 1.0.2, by its own words ---------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(envelopes)
def test_what_we_write_is_a_cloudevent(envelope: Envelope) -> None:
    event = json.loads(envelope.to_bytes())
    assert event["specversion"] == "1.0"
    for name in ("id", "source", "type"):  # REQUIRED, MUST be a non-empty string
        assert isinstance(event[name], str)
        assert event[name]
    for name in ("subject", "correlationid", "causationid", "traceparent"):  # OPTIONAL, if present non-empty
        assert event.get(name, "x")
    for name in event:  # names MUST consist of lower-case letters or digits, SHOULD have at most 20 characters
        assert re.fullmatch(r"[a-z0-9]{1,20}", name)
    assert isinstance(event.get("attempt", 1), int)  # an Integer, of 32 bits
    assert isinstance(event["data"], dict)
    assert event["datacontenttype"] == "application/json"


def test_the_time_is_rfc3339_in_utc() -> None:
    time = json.loads(Envelope(type="t", source="s", data={}).to_bytes())["time"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", time)
    assert datetime.fromisoformat(time).utcoffset() is not None


def test_ids_are_unique() -> None:
    assert len({Envelope(type="t", source="s", data={}).id for _ in range(100)}) == 100


@pytest.mark.parametrize("wrong", [
    "x", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00-" + "a" * 32 + "-" + "0" * 16 + "-01", "ff-" + "a" * 32 + "-" + "1" * 16 + "-01",
    "00-" + "A" * 32 + "-" + "1" * 16 + "-01", "00-" + "a" * 32 + "-" + "1" * 16 + "-01-more", "00-" + "a" * 32 + "-" + "1" * 16 + "-01\n",
    "01-" + "a" * 32 + "-" + "1" * 16 + "-01-" + "x" * 300,
])  # fmt: skip
def test_what_is_no_trace_is_left_out_and_the_message_read(wrong: str) -> None:
    assert Envelope.from_bytes(with_(traceparent=wrong)).traceparent == ""


def test_a_trace_of_a_later_version_may_say_more() -> None:
    later = "01-" + "a" * 32 + "-" + "1" * 16 + "-01-more"
    assert Envelope.from_bytes(with_(traceparent=later)).trace == "a" * 32
