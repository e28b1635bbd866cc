"""From a cloud's resource to its document."""

from __future__ import annotations

from typing import Any

from .conversion import serves
from .kind import KINDS, Kind
from .migration_params import defaults
from .staying import Staying
from .view import Record, View

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
        if why := kind.obstacle(view, record):
            view.staying.append(Staying(kind.kind.replace("_", " "), record["id"], record["name"], why, kind.kind))
        else:
            able.append(record)
    return able


def document(kind: type[Kind], record: Record, view: View, twin: bool = False) -> Document:
    """Return one document; a *twin* shares its name with others, or has none, so it carries what tells it apart.

    ``_info.source_ids`` holds the source's id behind each reference, by path: a document stays linked to the
    right one of two resources of one name, and after a rename.
    """
    record = kind.complete(view, record, kind.declared())
    view.notes += kind.remarks(view, record)
    params = {name: field.export(record.get(kind.attribute(name)), view) for name, field in kind.declared().items()}
    ids: dict[str, str] = {}
    for path, _, ref in kind.links(params):
        if id_ := ref.get("_id"):
            ids[path] = id_
    params = kind.map_links(params, lambda _, ref: {k: v for k, v in ref.items() if k != "_id"})
    info = {name: record.get(name) for name in kind.info}
    if ids:
        info["source_ids"] = ids
    if twin and (fingerprint := kind.fingerprint(view, record)) is not None:
        info["tells_apart"] = fingerprint
    how = defaults(kind.choices) | kind.choose(view, record)
    return {"type": kind.type, "params": params, "_info": info, "_migration_params": how}


def _scoped_name(kind: type[Kind], record: Record) -> Any:
    if "name" not in kind.declared():
        return record["id"]
    scope = record.get(kind.attribute(kind.scope)) if kind.scope else None
    return (scope, record["name"] or "")
