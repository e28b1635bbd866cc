"""From a document to a cloud: compare, ensure, finish, remove.

Each takes a kind's name, a document whose references the coordinator has resolved as far as it could, the view
of the destination, and *hints*:

``destination_id``   what this document became earlier
``claimed``          ids of the destination that belong to other documents of this migration
``twins``            how many documents of the migration share this one's name
``look``             an earlier try may have worked: look afresh before creating
``new_id``           the id to create it with, when its kind lets us choose
``only_look``        say whether an earlier try has made it; write nothing
``first_asked``      with ``look``: when the first try was asked for, in seconds since the epoch
``automatic_rules``  see ``security_group``
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError

from .kind import KINDS, Kind
from .view import Ambiguous, Missing, Record, View

Document = dict[str, Any]
Hints = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of it; ``outcome`` is one of ``stackferry.messages.OUTCOMES``."""

    outcome: str
    destination_id: str | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reason: str | None = None
    also_made: list[str] = field(default_factory=list)
    payload_missing: bool = False


@dataclass(frozen=True)
class _Case:
    """A document held against the destination: what is wanted, what is there, what differs."""

    kind: type[Kind]
    params: dict[str, Any]
    body: dict[str, Any]
    notes: list[str]
    found: Record | None
    changes: list[dict[str, Any]]
    surplus: list[str]

    def outcome(self, word: str, **more: Any) -> Outcome:
        """What came of it, about the resource that was found."""
        found: Record = self.found or {}
        return Outcome(word, found["id"], notes=self.notes, payload_missing=self.kind.payload_missing(found), **more)


def compare(kind_name: str, document: Document, view: View, hints: Hints) -> Outcome:
    """Say what :func:`ensure` would do; write nothing."""
    case = _examine(kind_name, document, view, hints, late=True)
    if isinstance(case, Outcome):
        return case
    if case.found is None:
        return Outcome("created", None, notes=case.notes, payload_missing=case.kind.has_payload(document))
    if blocked := _blocked(case):
        return blocked
    return case.outcome("updated" if case.changes else "unchanged", changes=case.changes)


def ensure(kind_name: str, document: Document, view: View, hints: Hints) -> Outcome:
    """Make the destination match the document: create it, or update only what differs."""
    case = _examine(kind_name, document, view, hints)
    if isinstance(case, Outcome):
        return case
    if hints.get("only_look"):
        ours = case.found is not None and _made_by_an_earlier_try(case.found, hints)
        found_id = case.found["id"] if case.found else None
        return Outcome("created" if ours else "unchanged", found_id, also_made=case.surplus)
    if case.found is None:
        body = {a: v for a, v in case.body.items() if v not in ("", [], {}) and _sendable(case.kind, a, v)}
        try:
            made = view.remember(kind_name, case.kind.create(view, body, hints))
        except Exception as error:
            if getattr(error, "status_code", None) == 409 and not hints.get("look"):
                return ensure(kind_name, document, view, {**hints, "look": True})  # somebody was faster: who?
            raise
        missing = case.kind.payload_missing(made)
        return Outcome("created", made["id"], notes=case.notes, payload_missing=missing)
    if blocked := _blocked(case):
        return blocked
    ours = _made_by_an_earlier_try(case.found, hints)
    if not case.changes:
        return case.outcome("created" if ours else "unchanged", also_made=case.surplus)
    stale = {case.kind.attribute(c["field"]) for c in case.changes if c["field"] in case.kind.declared()}
    body = {a: v for a, v in case.body.items() if a in stale}
    if updated := case.kind.update(view, case.found, body, hints):
        view.remember(kind_name, updated)
    if ours:
        return case.outcome("created", also_made=case.surplus)
    return case.outcome("updated", changes=case.changes)


def _made_by_an_earlier_try(found: Record, hints: Hints) -> bool:
    """Whether an earlier try, whose answer was lost, made it: then undo must remove it.

    It's ours when it has the id that we chose, or is younger than the first try. Clocks may differ, but only a
    namesake that somebody else made in the seconds between could be mistaken.
    """
    if found["id"] == hints.get("new_id"):
        return True
    first_asked, created_at = hints.get("first_asked"), found.get("created_at")
    if first_asked is None or not created_at or found["id"] == hints.get("destination_id"):
        return False
    created = datetime.fromisoformat(str(created_at)).replace(tzinfo=UTC).timestamp()
    return created >= int(first_asked)


def finish(kind_name: str, document: Document, view: View, hints: Hints) -> Outcome:
    """Set the late fields of a resource that exists (``hints.destination_id``)."""
    kind = KINDS[kind_name]
    params = {n: v for n, v in document["params"].items() if n in kind.late}
    found = view.get(kind_name, hints["destination_id"])
    if found is None:
        return Outcome("missing", reason=f"{kind.title(document['params'])} is gone from the destination")
    body = _body(kind, params, view)
    changes = _differences(kind, params, body, found)
    if not changes:
        return Outcome("unchanged", found["id"])
    view.remember(kind_name, kind.update(view, found, body, hints))
    return Outcome("updated", found["id"], changes)


def remove(kind_name: str, document: Document, view: View, hints: Hints) -> Outcome:
    """Delete what this migration created; gone already is fine."""
    kind, id_ = KINDS[kind_name], hints["destination_id"]
    found = view.own(kind_name, id_) or view.get(kind_name, id_)
    if found is not None:
        kind.delete(view, found)
        view.forget(kind_name, id_)
    return Outcome("removed", id_)


def _examine(kind_name: str, document: Document, view: View, hints: Hints, late: bool = False) -> _Case | Outcome:
    """Hold a document against the destination; *late* fields too, when asked (emptying them can be done at once)."""
    kind = KINDS[kind_name]
    if hints.get("look"):
        view.forget(kind_name)
    try:
        params, notes = kind.prepare(_said(kind, document), view)
        early = {n: v for n, v in params.items() if late or not v or n not in kind.late}
        body = _body(kind, early, view)
        found, surplus = _find(kind, document, body, view, hints)
    except Missing as error:
        return Outcome("missing", reason=str(error))
    except (Ambiguous, ValidationError) as error:
        return Outcome("conflict", reason=str(error))
    changes = []
    if found is not None:
        found = kind.complete(view, found, early)
        changes = _differences(kind, early, body, found) + kind.extra_changes(view, found, hints)
    return _Case(kind, early, body, notes, found, changes, surplus)


def _said(kind: type[Kind], document: Document) -> dict[str, Any]:
    """The params that say something: known ones, without nulls that mean nothing."""
    fields = kind.declared()
    params = {n: v for n, v in document["params"].items() if n in fields and (v is not None or fields[n].nullable)}
    errors = kind().validate({n: v for n, v in params.items() if v is not None}, partial=True)
    errors |= {n: ["missing"] for n, field_ in fields.items() if field_.required and params.get(n) is None}
    if errors:
        raise ValidationError(errors)  # type: ignore[arg-type]
    return params


def _body(kind: type[Kind], params: dict[str, Any], view: View) -> dict[str, Any]:
    """SDK attributes with ids of this destination."""
    return {kind.attribute(n): kind.declared()[n].resolve(v, view) for n, v in params.items()}


def _sendable(kind: type[Kind], attribute: str, value: Any) -> bool:
    """Whether a create must carry it: null only where null is a value."""
    return value is not None or any(kind.attribute(n) == attribute and f.nullable for n, f in kind.declared().items())


def _find(
    kind: type[Kind], document: Document, body: dict[str, Any], view: View, hints: Hints
) -> tuple[Record | None, list[str]]:
    """The resource that this document is here (by the id map, by name, then by what tells it apart), and surplus."""
    if (known := hints.get("destination_id")) and (found := view.own(kind.kind, known)):
        return found, []
    claimed = set(hints.get("claimed") or ())
    candidates = [c for c in kind.candidates(view, body) if c["id"] not in claimed]
    ours = [c for c in candidates if _made_by_an_earlier_try(c, hints) and _same(kind, body, c)]
    if ours:  # by age; more than one when several tries were lost
        first, *surplus = sorted(ours, key=lambda c: str(c["created_at"]))
        return first, [c["id"] for c in surplus]
    return _choose(kind, document, body, view, candidates, hints.get("twins", 1)), []


def _choose(
    kind: type[Kind], document: Document, body: dict[str, Any], view: View, candidates: list[Record], twins: int
) -> Record | None:
    """The candidate that this document is; None when it's none of them; raise Ambiguous when nothing decides."""
    alone = twins <= 1 and (body.get("name") or "name" not in kind.declared())
    if not candidates or (alone and len(candidates) == 1):
        return candidates[0] if candidates else None
    mark = document.get("_info", {}).get("tells_apart")
    marks = {c["id"]: kind.fingerprint(view, c) for c in candidates} if mark is not None else {}
    kin = [c for c in candidates if mark is None or _kin(mark, marks[c["id"]] or [])]
    exact = [c for c in kin if _same(kind, body, c) and (mark is None or marks[c["id"]] == mark)]
    if len(exact) == 1 or (exact and len(exact) <= twins):
        return exact[0]  # several that nothing tells apart: any is as right as the other, each is taken once
    if not exact and len(kin) == 1 and mark is not None:
        return kin[0]
    if kin:
        what = f"{len(exact or kin)} {kind.kind.replace('_', ' ')}s"
        raise Ambiguous(f"{what} here could be {kind.title(document['params'])!r}")
    return None


def _kin(one: list[str], other: list[str]) -> bool:
    """Whether what tells twins apart has something in common; nothing on one side says nothing."""
    return not one or not other or bool(set(one) & set(other))


def _same(kind: type[Kind], body: dict[str, Any], record: Record) -> bool:
    """Whether a candidate equals the document in every field that it says."""
    fields = kind.declared()
    said = [n for n in fields if kind.attribute(n) in body]
    return not any(fields[n].differs(body[kind.attribute(n)], record.get(kind.attribute(n))) for n in said)


def _differences(kind: type[Kind], params: Document, body: dict[str, Any], found: Record) -> list[dict[str, Any]]:
    changes = []
    for name in params:
        field_, attribute = kind.declared()[name], kind.attribute(name)
        if field_.differs(body[attribute], found.get(attribute)):
            changes.append({"field": name, "from": _shown(found.get(attribute)), "to": _shown(params[name])})
    return changes


def _shown(value: Any) -> Any:
    """A value for people: references without what only the importer needs."""
    if isinstance(value, dict):
        return {k: _shown(v) for k, v in value.items() if not (k == "id" and "name" in value)}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return value


def _blocked(case: _Case) -> Outcome | None:
    assert case.found is not None  # noqa: S101 - for the type checker
    fixed = [change for change in case.changes if change["field"] in case.kind.fixed]
    if not fixed:
        return None
    names = ", ".join(change["field"] for change in fixed)
    reason = f"{case.kind.title(case.params)} exists here with another {names}, which no API can change"
    return Outcome("conflict", case.found["id"], case.changes, case.notes, reason)
