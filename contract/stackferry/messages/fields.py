"""The plain fields that messages are made of, each with a description of what it holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import ValidationError, fields, validate

from ..envelope import SHORT

LABEL = "a label's key has 1 to 63 letters, digits, hyphens, dots, slashes or underscores, and no sign at its ends"


def text(description: str, **kwargs: Any) -> fields.String:
    """A text that may be absent."""
    return fields.String(metadata={"description": description}, **kwargs)


def need(description: str, **kwargs: Any) -> fields.String:
    """A text that must be there, and say something."""
    return text(description, required=True, validate=validate.Length(1, 512), **kwargs)


def answer_key(required: bool = True) -> fields.String:
    """Where an answer goes: to a request it says that it was taken, or why not."""
    about = {"description": "routing key on stackferry.replies that the answer goes to"}
    return fields.String(required=required, metadata=about, validate=[validate.Length(1), _short])


def _short(value: str) -> None:
    if len(value.encode("utf-8", "replace")) > SHORT:
        raise ValidationError(f"longer than {SHORT} bytes")


def number(description: str, **kwargs: Any) -> fields.Integer:
    """A whole number."""
    return fields.Integer(strict=True, metadata={"description": description}, **kwargs)


def called() -> fields.String:
    """What people call a migration."""
    about = {"description": "what people call the migration; not unique"}
    return fields.String(allow_none=True, metadata=about, validate=validate.Length(1, 255))


def labels() -> fields.Dict:
    """What programs find a migration by."""
    return fields.Dict(
        keys=fields.String(validate=validate.Regexp(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?\Z", error=LABEL)),
        values=fields.String(validate=validate.Length(0, 255)),
        validate=validate.Length(max=64),
        metadata={"description": "labels of the migration: {key: value}, at most 64"},
    )


def words(description: str, known: Iterable[str] = ()) -> fields.List:
    """Some words, perhaps of those that are known."""
    one = fields.String(validate=[validate.Length(1, 64), *([validate.OneOf(tuple(known))] if known else [])])
    return fields.List(one, validate=validate.Length(1, 64), metadata={"description": description})


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
    """A UUID that is checked, and stays text: in its one canonical form (RFC 9562), since it's a part of keys."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        found = str(super()._deserialize(value, *args, **kwargs))
        if found != value:
            raise ValidationError(f"Not a UUID as it's written here: in lower case, with hyphens, {found}")
        return found
