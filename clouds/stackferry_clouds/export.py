"""From a project of a cloud to documents."""

from __future__ import annotations

from typing import Any

from stackferry.resources import KINDS, Kind, source_id
from stackferry.resources.conversion import serves
from stackferry.resources.export import document
from stackferry.resources.staying import Staying
from stackferry.resources.view import Record, View

Document = dict[str, Any]


def documents(kind_name: str, view: View) -> list[Document]:
    """Return the documents of every resource of one kind in the view's project, oldest first."""
    kind = KINDS[kind_name]
    records = sorted(_able(kind, view), key=lambda r: (str(r.get("created_at") or ""), str(r["id"])))
    names = [_scoped_name(kind, r) for r in records]
    return [
        document(kind, record, view, twin=names.count(name) > 1 or not record.get("name"))
        for record, name in zip(records, names, strict=True)
    ]


def _able(kind: type[Kind], view: View) -> list[Record]:
    """The resources that can cross; of each of the others it's noted why it stays, but for what serves migrations."""
    able = []
    for record in view.records(kind.kind):
        if not kind.stands_alone(view, record) or serves(kind, record, view):
            continue
        fault = source_id.fault(record["id"])
        if why := f"its id {fault}" if fault else kind.obstacle(view, record):
            view.staying.append(Staying(kind.kind.replace("_", " "), record["id"], record["name"], why, kind.kind))
        else:
            able.append(record)
    return able


def _scoped_name(kind: type[Kind], record: Record) -> Any:
    if "name" not in kind.declared():
        return record["id"]
    scope = record.get(kind.attribute(kind.scope)) if kind.scope else None
    return (scope, record["name"] or "")
