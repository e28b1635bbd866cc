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
``patience``         how many seconds to wait for what the cloud goes on with by itself
``led``              see ``ways_out``
``made``             ids of what this migration has made of it
``replaced``         what is known of what updates replace: {id: {attribute: [before, afterwards]}}; an update that
                     would replace anything else says so instead (``differs``), and is asked for again
``automatic_rules``, ``prune``                   see ``security_group``
``marker``           see ``volume``, ``server``
``mode``, ``port_id``, ``device_id``             see ``floating_ip``, ``port``
``port_id``, ``sub_ports``                       see ``trunk``
``port_ids``, ``volume_ids``, ``boot_volume``, ``boot_volume_id``, ``device_tags`` see ``server``
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from marshmallow import ValidationError
from stackferry.errors import EndedInError
from stackferry.resources.comparing import body_of, differences, said, sendable
from stackferry.resources.hints import Hints
from stackferry.resources.kind import KINDS, Kind, Replaced
from stackferry.resources.marks import made_by_an_earlier_try
from stackferry.resources.nested import nested_in
from stackferry.resources.view import Ambiguous, Missing, Record, Taken, View

from .finding import find, not_ours
from .replacing import bring_back, stale, unrecorded
from .settling import await_end, settle

Document = dict[str, Any]
#: seconds that a try waits, after all its patience, until what failed is gone
CLEARING = 30.0


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
    results: dict[str, Any] = field(default_factory=dict)
    replaces: Replaced = field(default_factory=dict)


@dataclass(frozen=True)
class _Case:
    """A document held against the destination: what is wanted, what is there, what differs."""

    kind: type[Kind]
    params: dict[str, Any]
    initial: dict[str, Any]
    body: dict[str, Any]
    notes: list[str]
    found: Record | None
    changes: list[dict[str, Any]]
    surplus: list[str]

    def outcome(self, word: str, **more: Any) -> Outcome:
        """What came of it, about the resource that was found."""
        found: Record = self.found or {}
        more |= {"payload_missing": self.kind.payload_missing(found), "results": self.kind.results(found)}
        return Outcome(word, found["id"], notes=self.notes, **more)

    def holding(self, found: Record, view: View, hints: Hints) -> _Case:
        """The same, held against *found*."""
        found = self.kind.complete(view, found, self.params)
        changes = differences(self.kind, self.params, self.body, found)
        return dataclasses.replace(self, found=found, changes=changes + self.kind.extra_changes(view, found, hints))


def compare(kind_name: str, document: Document, view: View, hints: Hints) -> Outcome:
    """Say what :func:`ensure` would do; write nothing."""
    if why := KINDS[kind_name].unwanted(hints):
        return Outcome("unchanged", notes=[why])
    case = _examine(kind_name, document, view, hints, late=True)
    if isinstance(case, Outcome):
        return case
    if case.found is None:
        whole = _whole_body(case, document, view, hints)
        if isinstance(whole, Outcome):
            return whole
        notes = [*case.notes, *_notes_inside(case.kind, document, view), *case.kind.provisos(view, document)]
        return Outcome("created", None, notes=notes, payload_missing=case.kind.has_payload(document))
    if blocked := _blocked(case):
        return blocked
    return case.outcome("updated" if case.changes else "unchanged", changes=case.changes)


def _notes_inside(kind: type[Kind], document: Document, view: View) -> Iterator[str]:
    """What would be left out of the documents inside of one, such as a server's ports: each has steps of its own."""
    for name, inner in nested_in(kind).items():
        for part in document["params"].get(name) or ():
            try:
                params = said(inner, part)
                _, notes = inner.prepare(params, view)
            except (Missing, Ambiguous, Taken, ValidationError):
                continue  # that is told where it's looked for
            notes = [*notes, *inner.provisos(view, part)]
            yield from (f"{inner.kind.replace('_', ' ')} {inner.title(params)}: {note}" for note in notes)


def ensure(kind_name: str, document: Document, view: View, hints: Hints) -> Outcome:
    """Make the destination match the document: create it, or update only what differs."""
    if why := KINDS[kind_name].unwanted(hints):
        return Outcome("unchanged", notes=[why])
    case = _examine(kind_name, document, view, hints)
    if isinstance(case, Outcome):
        return case
    if hints.get("only_look"):
        ours = case.found is not None and made_by_an_earlier_try(case.found, hints)
        found_id = case.found["id"] if case.found else None
        return Outcome("created" if ours else "unchanged", found_id, also_made=case.surplus)
    if case.found is None:
        return _create(case, document, view, hints)
    ours = made_by_an_earlier_try(case.found, hints)
    if case.kind.gradual:
        try:
            case = case.holding(_made(case.kind, case.found, view, hints, ours), view, hints)
        except EndedInError as error:
            if ours:
                raise
            return case.outcome("conflict", reason=f"it exists here already, and is of no use: {error}")
    if blocked := _blocked(case):
        return blocked
    if unknown := {} if ours else unrecorded(case.kind, case.found or {}, case.body, case.changes, view, hints):
        return case.outcome("differs", changes=case.changes, replaces=unknown)
    if case.changes:
        _update(case, view, hints)
    if ours:
        return case.outcome("created", also_made=case.surplus)
    if case.changes:
        return case.outcome("updated", changes=case.changes)
    return case.outcome("unchanged", also_made=case.surplus)


def _create(case: _Case, document: Document, view: View, hints: Hints) -> Outcome:
    """Make it, wait until it's there, and set what could only be set then."""
    kind = case.kind
    whole = _whole_body(case, document, view, hints)
    if isinstance(whole, Outcome):
        return whole
    body = {a: v for a, v in whole.items() if sendable(kind, a, v)}
    try:
        made = view.remember(kind.kind, kind.create(view, body, hints))
    except Exception as error:
        if getattr(error, "status_code", None) == 409 and not hints.get("look"):
            return ensure(kind.kind, document, view, {**hints, "look": True})  # somebody was faster: who?
        raise
    if kind.gradual:
        case = case.holding(_made(kind, made, view, hints, ours=True), view, hints)
        if case.changes:
            _update(case, view, hints)
    missing, results = kind.payload_missing(made), kind.results(made)
    return Outcome("created", made["id"], notes=case.notes, payload_missing=missing, results=results)


def _made(kind: type[Kind], record: Record, view: View, hints: Hints, ours: bool) -> Record:
    """The record once it's ready; what we began and the cloud failed to make is removed, or nobody would."""
    try:
        return settle(kind, record, view, hints)
    except EndedInError:
        if ours and view.refresh(kind.kind, record["id"]):
            kind.delete(view, record)
            await_end(kind, record, view, {**hints, "patience": CLEARING})
        raise


def _whole_body(case: _Case, document: Document, view: View, hints: Hints) -> dict[str, Any] | Outcome:
    """What a creation needs; or everything that this cloud lacks for it, at once."""
    try:
        reasons = case.kind.lacks(view, document, case.body, hints)
    except Taken as error:
        return Outcome("conflict", notes=case.notes, reason=str(error))
    try:
        initial = body_of(case.kind, case.initial, view) if not reasons else {}
    except Missing as error:
        reasons = [str(error)]
    except Ambiguous as error:
        return Outcome("conflict", notes=case.notes, reason=str(error))
    if reasons:
        return Outcome("missing", notes=case.notes, reason="; ".join(reasons))
    return {**case.body, **initial}


def _update(case: _Case, view: View, hints: Hints) -> None:
    found, body = case.found or {}, stale(case.kind, case.body, case.changes)
    if updated := case.kind.update(view, found, body, hints):
        view.remember(case.kind.kind, updated)


def finish(kind_name: str, document: Document, view: View, hints: Hints) -> Outcome:
    """Set the late fields of a resource that exists (``hints.destination_id``)."""
    kind = KINDS[kind_name]
    params = {n: v for n, v in document["params"].items() if n in kind.late}
    found = view.get(kind_name, hints["destination_id"])
    if found is None:
        return Outcome("missing", reason=f"{kind.title(document['params'])} is gone from the destination")
    body = body_of(kind, params, view)
    changes = differences(kind, params, body, found)
    if not changes:
        return Outcome("unchanged", found["id"])
    if unknown := unrecorded(kind, found, body, changes, view, hints):
        return Outcome("differs", found["id"], changes, replaces=unknown)
    view.remember(kind_name, kind.update(view, found, body, hints))
    return Outcome("updated", found["id"], changes)


def remove(kind_name: str, document: Document, view: View, hints: Hints) -> Outcome:
    """Delete what this migration created, or bring back what it has replaced (``hints.replaced``); gone already is
    fine.

    What can't have been made by this migration stays, and is a conflict.
    """
    kind, id_ = KINDS[kind_name], hints["destination_id"]
    found = view.own(kind_name, id_) or view.get(kind_name, id_)
    if replaced := (hints.get("replaced") or {}).get(id_):
        notes = bring_back(kind, found, view, replaced) if found is not None else ["it's gone by now"]
        return Outcome("restored", id_, notes=notes)
    if found is not None and (why := not_ours(found, hints)):
        return Outcome("conflict", id_, reason=f"{kind.kind} {id_} stays: {why}")
    if found is not None:
        kind.take_back(view, found, hints)
        if kind.gradual:
            await_end(kind, found, view, hints)
        view.forget(kind_name, id_)
    return Outcome("removed", id_)


def _examine(kind_name: str, document: Document, view: View, hints: Hints, late: bool = False) -> _Case | Outcome:
    """Hold a document against the destination; *late* fields too, when asked (emptying them can be done at once)."""
    kind = KINDS[kind_name]
    if hints.get("look"):  # afresh, also at what it refers to: somebody may have made what was missing
        for name in (kind_name, *kind.needs()):
            view.forget(name)
    try:
        params, notes = kind.prepare(said(kind, document), view)
        initial = {n: v for n, v in params.items() if n in kind.initial}
        early = {n: v for n, v in params.items() if n not in initial and (late or not v or n not in kind.late)}
        body = body_of(kind, early, view)
        found, surplus = find(kind, document, body, view, hints)
    except Missing as error:
        return Outcome("missing", reason=str(error))
    except (Ambiguous, Taken, ValidationError) as error:
        return Outcome("conflict", reason=str(error))
    case = _Case(kind, early, initial, body, notes, None, [], surplus)
    return case if found is None else case.holding(found, view, hints)


def _blocked(case: _Case) -> Outcome | None:
    assert case.found is not None  # noqa: S101 - for the type checker
    fixed = [change for change in case.changes if change["field"] in case.kind.fixed]
    if not fixed:
        return None
    names = ", ".join(change["field"] for change in fixed)
    reason = f"{case.kind.title(case.params)} exists here with another {names}, which no API can change"
    return Outcome("conflict", case.found["id"], case.changes, case.notes, reason)
