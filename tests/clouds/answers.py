"""Answers as their JSON Schemas promise them: nothing missing, and nothing that isn't written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from stackferry.messages import Command

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def wrong(question: type[Command], content: dict[str, Any]) -> list[str]:
    """What of an answer's content its schema doesn't allow, or doesn't know."""
    schema = json.loads((SCHEMAS / f"{question.type}.json").read_text("utf-8"))
    whole = {**_strict(schema["$defs"]["Answer"]), "$defs": {n: _strict(d) for n, d in schema["$defs"].items()}}
    return [f"{list(error.path)}: {error.message}" for error in Draft202012Validator(whole).iter_errors(content)]


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "additionalProperties": False}
