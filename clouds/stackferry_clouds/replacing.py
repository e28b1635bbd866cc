"""What an update replaces: it's told before anything is written, so that ``undo`` can bring it back."""

from __future__ import annotations

from typing import Any

from stackferry.resources.fields import Portable
from stackferry.resources.hints import Hints
from stackferry.resources.kind import Kind, Replaced
from stackferry.resources.view import Record, View

Changes = list[dict[str, Any]]


def stale(kind: type[Kind], body: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """The SDK attributes that an update sets."""
    changed = {kind.attribute(c["field"]) for c in changes if c["field"] in kind.declared()}
    return {a: v for a, v in body.items() if a in changed}


def unrecorded(
    kind: type[Kind], found: Record, body: dict[str, Any], changes: Changes, view: View, hints: Hints
) -> Replaced:
    """What an update would replace, as far as ``hints.replaced`` doesn't tell; without it nobody will undo it."""
    if "replaced" not in hints or not changes or found["id"] in hints.get("made", ()):
        return {}
    recorded = hints["replaced"].get(found["id"], {})
    replaces = {a: [found.get(a), v] for a, v in stale(kind, body, changes).items()}
    replaces |= kind.also_replaced(view, found, hints)
    fields = kind.by_attribute()

    def known(attribute: str, was: Any, becomes: Any) -> bool:
        canonical = fields.get(attribute, Portable()).canonical
        before, afterwards = recorded.get(attribute, (None, None))
        return attribute in recorded and afterwards == becomes and bool(canonical(before) == canonical(was))

    return {a: pair for a, pair in replaces.items() if not known(a, *pair)}


def bring_back(kind: type[Kind], found: Record, view: View, replaced: Replaced) -> list[str]:
    """Set what was replaced, unless somebody has changed it since: that stays. Return what people should know."""
    found = kind.complete(view, kind.afresh(view, found) or found, kind.declared())
    body, kept = {}, []
    for attribute, (was, becomes) in replaced.items():
        field, now = kind.by_attribute().get(attribute, Portable()), found.get(attribute)
        earlier = field.earlier(was, becomes, now)
        if attribute in found and field.canonical(earlier) == field.canonical(now):
            continue
        if attribute in found and field.differs(becomes, now):
            kept.append(attribute)
        else:
            body[attribute] = earlier
    if body:
        kind.bring_back(view, found, body)
        kind.afresh(view, found)
    return [f"somebody has changed it since, so it stays: {', '.join(sorted(kept))}"] if kept else []
