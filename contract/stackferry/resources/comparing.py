"""What a document says in the terms of one destination, and how that differs from what is there."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError

from .kind import Kind
from .nested import within_owners
from .view import WITHIN, Record, View

Document = dict[str, Any]


def said(kind: type[Kind], document: Document) -> dict[str, Any]:
    """The params that say something: known ones, without nulls that mean nothing."""
    fields = kind.declared()
    params = {n: v for n, v in kind.told(document).items() if n in fields and (v is not None or fields[n].nullable)}
    errors = kind().validate({n: v for n, v in params.items() if v is not None}, partial=True)
    errors |= {n: ["missing"] for n, field_ in fields.items() if field_.required and params.get(n) is None}
    if errors:
        raise ValidationError(errors)  # type: ignore[arg-type]
    return within_owners(kind, params)


def body_of(kind: type[Kind], params: dict[str, Any], view: View) -> dict[str, Any]:
    """SDK attributes with ids of this destination."""
    return {kind.attribute(n): kind.declared()[n].resolve(v, view) for n, v in params.items()}


def sendable(kind: type[Kind], attribute: str, value: Any) -> bool:
    """Whether a create must carry it: null and what is empty only where that is a value."""
    fields = [f for n, f in kind.declared().items() if kind.attribute(n) == attribute]
    if value is None:
        return any(f.nullable for f in fields)
    return value not in ("", [], {}) or any(f.empty for f in fields)


def same(kind: type[Kind], body: dict[str, Any], record: Record) -> bool:
    """Whether a candidate equals the document in every field that it says."""
    fields = kind.declared()
    said = [n for n in fields if kind.attribute(n) in body]
    return not any(fields[n].differs(body[kind.attribute(n)], record.get(kind.attribute(n))) for n in said)


def differences(kind: type[Kind], params: Document, body: dict[str, Any], found: Record) -> list[dict[str, Any]]:
    """Return the fields in which they differ: [{field, from, to}]."""
    changes = []
    for name in params:
        field_, attribute = kind.declared()[name], kind.attribute(name)
        if field_.differs(body[attribute], found.get(attribute)):
            changes.append({"field": name, "from": _shown(found.get(attribute)), "to": _shown(params[name])})
    return changes


def _shown(value: Any) -> Any:
    """A value for people: references without what only the importer needs."""
    if isinstance(value, dict):
        return {k: _shown(v) for k, v in value.items() if not (k in ("id", WITHIN) and "name" in value)}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return value
