"""The plain fields that messages are made of, each with a description of what it holds."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate

from ..envelope import SHORT


def text(description: str, **kwargs: Any) -> fields.String:
    """A text that may be absent."""
    return fields.String(metadata={"description": description}, **kwargs)


def need(description: str, **kwargs: Any) -> fields.String:
    """A text that must be there, and say something."""
    return text(description, required=True, validate=validate.Length(1, 512), **kwargs)


def answer_key() -> fields.String:
    """Where an answer goes."""
    about = {"description": "routing key on stackferry.replies that the answer goes to"}
    return fields.String(required=True, metadata=about, validate=[validate.Length(1), _short])


def _short(value: str) -> None:
    if len(value.encode("utf-8", "replace")) > SHORT:
        raise ValidationError(f"longer than {SHORT} bytes")


def number(description: str, **kwargs: Any) -> fields.Integer:
    """A whole number."""
    return fields.Integer(strict=True, metadata={"description": description}, **kwargs)


def flag(description: str, **kwargs: Any) -> fields.Boolean:
    """Yes or no."""
    return fields.Boolean(metadata={"description": description}, **kwargs)


def seconds_taken() -> fields.Float:
    """How long something took."""
    return fields.Float(allow_none=True, metadata={"description": "how many seconds it took"})


def migration_id() -> fields.UUID:
    """The migration that a message belongs to."""
    return TextUUID(required=True, metadata={"description": "id of the migration (UUID)"})


class TextUUID(fields.UUID):
    """A UUID that is checked, and stays text."""

    def _deserialize(self, *args: Any, **kwargs: Any) -> Any:
        return str(super()._deserialize(*args, **kwargs))
