"""Documents inside messages: checked for their form, passed on with all their keys."""

from __future__ import annotations

from functools import cache
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from ..resources import BY_TYPE, source_id
from ..resources.nested import nested_in
from .fields import need


class DocumentSchema(Schema):
    """A resource as a portable document (OS Migrate's form); keys that we don't know are kept."""

    class Meta:
        unknown = EXCLUDE

    type = need("type of the resource, such as openstack.network.Network")
    params = fields.Dict(required=True, metadata={"description": "what to create"})
    _info = fields.Dict(metadata={"description": "facts of the source"})
    _migration_params = fields.Dict(metadata={"description": "how to move it"})


class DocumentsField(fields.List):
    """A list of documents, each of them checked."""

    def __init__(self) -> None:
        super().__init__(
            DocumentField(), required=True, metadata={"description": "documents, as in OS Migrate's `resources`"}
        )


class DocumentField(fields.Field):
    """A document: checked by DocumentSchema, passed on with all its keys."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("metadata", {"description": "the resource's document"})
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if errors := _errors(value):
            raise ValidationError(errors)
        if wrong := _wrong_parts(value):
            raise ValidationError({"params": wrong})
        return value


@cache
def _schema() -> DocumentSchema:
    """One instance: building a schema costs more than using it."""
    return DocumentSchema()


def _errors(value: Any) -> dict[str, Any]:
    """What is wrong with the form of a document, by field."""
    errors: dict[str, Any] = _schema().validate(value if isinstance(value, dict) else {"": value})
    if not errors and (wrong := source_id.fault((value.get("_info") or {}).get("id"))):
        errors["_info"] = {"id": [wrong]}
    return errors


def _wrong_parts(document: dict[str, Any]) -> dict[str, Any]:
    """Return list → number → errors of the documents inside of one: whoever plans relies on their form."""
    kind, params = BY_TYPE.get(document["type"]), document["params"]
    errors: dict[str, Any] = {}
    for name in nested_in(kind) if kind else ():
        parts = params.get(name)
        if not isinstance(parts, list | None):
            errors[name] = ["expected a list"]
            continue
        wrong = {number: _errors(part) for number, part in enumerate(parts or ())}
        errors |= {name: found} if (found := {number: said for number, said in wrong.items() if said}) else {}
    return errors
