"""Which resource of a destination a document is: by the id map, by name, then by what tells namesakes apart."""

from __future__ import annotations

from typing import Any

from stackferry.resources import Kind
from stackferry.resources.comparing import same
from stackferry.resources.hints import Hints
from stackferry.resources.marks import MARK, made_by_an_earlier_try, marked, unix
from stackferry.resources.view import Ambiguous, Record, View

Document = dict[str, Any]
CLOCKS = 3600.0  # seconds that a cloud's clock may differ from the coordinator's


def find(
    kind: type[Kind], document: Document, body: dict[str, Any], view: View, hints: Hints
) -> tuple[Record | None, list[str]]:
    """Return the resource that this document is here, and the ids of what lost tries made besides."""
    if (known := hints.get("destination_id")) and (found := view.own(kind.kind, known)):
        return found, []
    claimed = set(hints.get("claimed") or ())
    candidates = [c for c in kind.candidates(view, body, hints) if c["id"] not in claimed]
    ours = [c for c in candidates if marked(c, hints) or (made_by_an_earlier_try(c, hints) and same(kind, body, c))]
    if ours:  # by age; more than one when several tries were lost
        first, *surplus = sorted(ours, key=lambda c: str(c["created_at"]))
        return first, [c["id"] for c in surplus]
    return _choose(kind, document, body, view, candidates, hints.get("twins", 1)), []


def not_ours(record: Record, hints: Hints) -> str | None:
    """Why what is to be deleted can't be this migration's; None when nothing says so.

    Its maker's word alone isn't enough: it must not carry another document's mark, nor be older than the migration
    (``hints.since``, Unix time in seconds). Clocks may differ by an hour.
    """
    if hints.get("marker") and (mark := (record.get("metadata") or {}).get(MARK)) and mark != hints["marker"]:
        return f"it isn't ours: it carries the mark of {mark}"
    since, created_at = hints.get("since"), record.get("created_at")
    if since and created_at and unix(created_at) < since - CLOCKS:
        return f"it isn't ours: it was made {created_at}, before this migration was requested"
    return None


def _choose(
    kind: type[Kind], document: Document, body: dict[str, Any], view: View, candidates: list[Record], twins: int
) -> Record | None:
    """The candidate that this document is; None when it's none of them; raise Ambiguous when nothing decides."""
    alone = kind.certain or (twins <= 1 and (body.get("name") or "name" not in kind.declared()))
    if not candidates or (alone and len(candidates) == 1):
        return candidates[0] if candidates else None
    mark = document.get("_info", {}).get("tells_apart")
    marks = {c["id"]: kind.fingerprint(view, c) for c in candidates} if mark is not None else {}
    kin = [c for c in candidates if mark is None or _kin(mark, marks[c["id"]] or [])]
    exact = [c for c in kin if same(kind, body, c) and (mark is None or marks[c["id"]] == mark)]
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
