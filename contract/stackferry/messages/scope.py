"""Which project a message is about, and how much of it."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validates_schema

from ..selection import invalid_filters, unknown_kinds
from .fields import need, text


class Place(Schema):
    """One side of a migration: a cloud's name in ``clouds.yaml`` and, when it isn't the cloud's own, a project."""

    class Meta:
        unknown = RAISE

    cloud = need("name of the cloud in clouds.yaml; never a credential")
    project = text("name of the project; absent: the one that the credentials are for", allow_none=True)


class Selection(Schema):
    """What is to move: kinds, and filters on names as OS Migrate has them."""

    class Meta:
        unknown = RAISE

    kinds = fields.List(fields.String(), metadata={"description": "kinds to move; absent: all"})
    filters = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.Raw()),
        metadata={"description": "per kind, a list of exact names or {regex: <pattern>}; any match keeps"},
    )

    @validates_schema
    def _patterns(self, data: dict[str, Any], **_: Any) -> None:
        if errors := unknown_kinds(data) | invalid_filters(data):
            raise ValidationError(errors)


def nested_place(description: str, **kwargs: Any) -> fields.Nested:
    """A Place inside a message."""
    return fields.Nested(Place, metadata={"description": description}, **kwargs)


def nested_selection() -> fields.Nested:
    """A Selection inside a message."""
    return fields.Nested(Selection, allow_none=True, metadata={"description": "what of it; absent: everything"})
