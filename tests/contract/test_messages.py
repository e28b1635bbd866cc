"""The contract of messages: what was valid stays valid, and what is wrong is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, fields
from stackferry import topology
from stackferry.envelope import Envelope
from stackferry.errors import InvalidMessage
from stackferry.messages import REGISTRY, Command, Event, Fact, Message, SubmitDocuments, check

GOLDEN = Path(__file__).parent / "golden"
#: published once, so never renamed: add to this list, remove from it only with a major version
PUBLISHED = (
    "stackferry.answer.v1",
    "stackferry.check-cloud.v1",
    "stackferry.compare-resource.v1",
    "stackferry.control-migration.v1",
    "stackferry.describe-migrations.v1",
    "stackferry.documents-exported.v1",
    "stackferry.ensure-resource.v1",
    "stackferry.export-ended.v1",
    "stackferry.export-project.v1",
    "stackferry.fetch-image.v1",
    "stackferry.finish-resource.v1",
    "stackferry.image-offered.v1",
    "stackferry.migration-changed.v1",
    "stackferry.offer-image.v1",
    "stackferry.remove-resource.v1",
    "stackferry.request-migration.v1",
    "stackferry.request-refused.v1",
    "stackferry.step-claimed.v1",
    "stackferry.step-ended.v1",
    "stackferry.step-progressed.v1",
    "stackferry.submit-documents.v1",
    "stackferry.worker-seen.v1",
)
MIGRATION = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
COMMANDS = sorted(type_ for type_, message in REGISTRY.items() if issubclass(message, Command))
FACTS = sorted(type_ for type_, message in REGISTRY.items() if issubclass(message, Fact | Event))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def golden(type_: str) -> Envelope:
    return Envelope.from_bytes((GOLDEN / f"{type_}.json").read_bytes())


def walk(schema: type[Schema] | Schema, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a message, nested ones as well."""
    for name, field in schema._declared_fields.items():  # type: ignore[union-attr]
        yield f"{path}{name}", field
        if isinstance(field, fields.Nested):
            yield from walk(field.schema, f"{path}{name}.")


@pytest.mark.parametrize("type_", PUBLISHED)
def test_a_published_type_stays(type_: str) -> None:
    assert type_ in REGISTRY


@pytest.mark.parametrize("type_", sorted(REGISTRY))
def test_every_type_is_a_command_or_a_fact_or_an_event_and_named_after_its_class(type_: str) -> None:
    message = REGISTRY[type_]
    assert sum(issubclass(message, base) for base in (Command, Fact, Event)) == 1
    words = type_.removeprefix("stackferry.").removesuffix(f".v{message.schema_version}")
    assert words.replace("-", "") == message.__name__.lower()


@pytest.mark.parametrize("type_", sorted(REGISTRY))
def test_the_golden_message_of_a_type_is_understood(type_: str) -> None:
    envelope = golden(type_)
    assert envelope.type == type_
    assert check(envelope) is envelope
    assert Envelope.from_bytes(envelope.to_bytes()) == envelope


BEFORE = sorted((Path(__file__).parent / "golden_before").glob("*.json"))


@pytest.mark.parametrize("path", BEFORE, ids=lambda path: path.stem)
def test_what_the_version_before_says_is_understood(path: Path) -> None:
    """A message in a queue outlives an upgrade; and workers of two versions may be at work beside each other."""
    envelope = Envelope.from_bytes(path.read_bytes())
    assert check(envelope) is envelope


def test_nothing_is_required_that_the_version_before_did_not_send() -> None:
    assert BEFORE
    for path in BEFORE:
        envelope = Envelope.from_bytes(path.read_bytes())
        known = REGISTRY[envelope.type]._declared_fields
        assert {name for name in known if known[name].required} <= envelope.data.keys(), path.stem


@pytest.mark.parametrize("type_", sorted(REGISTRY))
def test_the_golden_message_says_every_field(type_: str) -> None:
    assert REGISTRY[type_]._declared_fields.keys() - golden(type_).data.keys() == set()


def test_no_golden_message_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(REGISTRY)


@pytest.mark.parametrize("type_", COMMANDS)
def test_a_command_refuses_unknown_fields(type_: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        REGISTRY[type_].load_data({**golden(type_).data, "typo": 1})
    assert caught.value.reason == "invalid"
    assert "typo" in caught.value.errors


@pytest.mark.parametrize("type_", [t for t in COMMANDS if {"source", "destination", "place"} & golden(t).data.keys()])
def test_a_command_refuses_unknown_fields_of_a_place(type_: str) -> None:
    data = copy.deepcopy(golden(type_).data)
    side = next(name for name in ("source", "destination", "place") if name in data)
    data[side]["password"] = "hunter2"
    with pytest.raises(InvalidMessage) as caught:
        REGISTRY[type_].load_data(data)
    assert "password" in caught.value.errors[side]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("parts", ["x", ["x"], [{"type": "t"}], [{"type": "t", "params": {}, "_info": 3}]])
@pytest.mark.parametrize("name", ["ports", "sub_ports", "trunks", "floating_ips", "volumes"])
def test_a_document_refuses_parts_that_are_none(name: str, parts: Any) -> None:
    document = {"type": "openstack.compute.Server", "params": {"name": "pet", name: parts}}
    with pytest.raises(InvalidMessage) as caught:
        SubmitDocuments.load_data({**golden(SubmitDocuments.type).data, "documents": [document]})
    assert list(caught.value.errors["documents"][0]["params"]) == [name]


@pytest.mark.parametrize("type_", FACTS)
def test_a_fact_ignores_unknown_fields(type_: str) -> None:
    assert "new" not in REGISTRY[type_].load_data({**golden(type_).data, "new": {"from": "a later version"}})


@pytest.mark.parametrize("type_", sorted(REGISTRY))
def test_a_missing_field_is_named(type_: str) -> None:
    needed = [name for name, field in REGISTRY[type_]._declared_fields.items() if field.required]
    for name in needed:
        data = {n: v for n, v in golden(type_).data.items() if n != name}
        with pytest.raises(InvalidMessage) as caught:
            REGISTRY[type_].load_data(data)
        assert name in caught.value.errors


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_wrong_value_anywhere_is_invalid_or_fine_and_never_a_crash(data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(sorted(REGISTRY)))
    content = copy.deepcopy(golden(type_).data)
    content[data.draw(st.sampled_from(sorted(content)))] = data.draw(json_values)
    with suppress(InvalidMessage):
        REGISTRY[type_].load_data(content)


def test_an_unknown_type_is_unknown() -> None:
    with pytest.raises(InvalidMessage) as caught:
        check(Envelope(type="stackferry.nothing.v1", data={}, source="t"))
    assert caught.value.reason == "unknown"


def test_documents_keep_the_keys_that_we_do_not_know() -> None:
    data = copy.deepcopy(golden("stackferry.submit-documents.v1").data)
    data["documents"][0]["params"]["from_the_future"] = 1
    data["documents"][0]["_comment"] = "by hand"
    loaded = REGISTRY["stackferry.submit-documents.v1"].load_data(data)
    assert loaded["documents"] == data["documents"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"destination": {"cloud": "d"}}, "source"),
        ({"source": {"cloud": "s"}}, "destination"),
        ({"mode": "export", "parts": 1}, "source"),
        ({"source": {"cloud": "s"}, "destination": {"cloud": "d"}, "mode": "move"}, "mode"),
        ({"source": {"cloud": ""}, "destination": {"cloud": "d"}}, "source"),
        ({"source": {"cloud": "s"}, "destination": {"cloud": "d"}, "migration": "1"}, "migration"),
        ({"selection": {"filters": {"subnet": [{"regex": "["}]}}}, "selection"),
    ],
)  # fmt: skip
def test_a_senseless_request_is_refused_with_its_field(data: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        REGISTRY["stackferry.request-migration.v1"].load_data({"migration": MIGRATION, **data})
    assert field in caught.value.errors


@pytest.mark.parametrize("mode", ["run", "plan"])
def test_documents_may_stand_in_for_a_source(mode: str) -> None:
    request = {"migration": MIGRATION, "destination": {"cloud": "d"}}
    assert REGISTRY["stackferry.request-migration.v1"].load_data({**request, "parts": 2, "mode": mode})["parts"] == 2


def test_an_answer_carries_on_what_it_answers() -> None:
    question = golden("stackferry.check-cloud.v1")
    answer = REGISTRY["stackferry.answer.v1"].make("stackferry/importer", {"content": {}}, question)
    assert (answer.correlationid, answer.causationid, answer.traceparent) == (
        question.correlationid, question.id, question.traceparent,
    )  # fmt: skip
    first = Envelope(type=question.type, data=question.data, source="s")
    assert REGISTRY["stackferry.answer.v1"].make("s", {}, first).correlationid == first.id


def test_nobody_makes_an_invalid_message() -> None:
    with pytest.raises(InvalidMessage):
        REGISTRY["stackferry.control-migration.v1"].make("s", {"migration": "x", "action": "pause"})


@pytest.mark.parametrize("type_", sorted(REGISTRY))
def test_every_message_says_where_it_goes(type_: str) -> None:
    message: Any = REGISTRY[type_]
    if not issubclass(message, Event):  # it goes to whoever listens
        assert all(queue in (*topology.WORK_QUEUES, topology.HOST) for queue in message.queues)
    assert not issubclass(message, Fact) or message.key


@pytest.mark.parametrize("type_", sorted(REGISTRY))
def test_every_message_is_explained(type_: str) -> None:
    message: type[Message] = REGISTRY[type_]
    assert message.__doc__
    assert message.__doc__ != Message.__doc__


def test_every_field_is_described() -> None:
    every = [(type_, path, field) for type_ in sorted(REGISTRY) for path, field in walk(REGISTRY[type_])]
    assert [f"{type_}: {path}" for type_, path, field in every if not field.metadata.get("description")] == []


def test_golden_files_are_cloudevents_in_json() -> None:
    for path in GOLDEN.glob("*.json"):
        event = json.loads(path.read_text())
        assert (event["specversion"], event["datacontenttype"]) == ("1.0", "application/json")
