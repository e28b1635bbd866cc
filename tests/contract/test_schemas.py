"""The JSON Schemas of the messages: as strict, and as lenient, as what reads them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stackferry.messages import REGISTRY, Command

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
GOLDEN = Path(__file__).parent / "golden"


def validator(type_: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{type_}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def golden(type_: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{type_}.json").read_text())
    return found


@pytest.mark.parametrize("type_", sorted(REGISTRY))
def test_every_message_has_a_schema_that_its_example_fits(type_: str) -> None:
    assert [error.message for error in validator(type_).iter_errors(golden(type_))] == []


@pytest.mark.parametrize("type_", sorted(REGISTRY))
def test_what_a_message_must_have_its_schema_demands(type_: str) -> None:
    schema = validator(type_)
    for name, field in REGISTRY[type_]._declared_fields.items():
        event = copy.deepcopy(golden(type_))
        del event["data"][name]
        assert schema.is_valid(event) == (not field.required), name


@pytest.mark.parametrize("type_", sorted(REGISTRY))
def test_a_field_that_nobody_knows_is_refused_where_it_may_be_a_typing_error(type_: str) -> None:
    event = golden(type_)
    event["data"]["typo"] = 1
    assert validator(type_).is_valid(event) == (not issubclass(REGISTRY[type_], Command))


@pytest.mark.parametrize("type_", sorted(REGISTRY))
def test_another_messages_type_is_refused(type_: str) -> None:
    assert not validator(type_).is_valid({**golden(type_), "type": "stackferry.other.v1"})
