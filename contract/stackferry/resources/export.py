"""From a record of a resource to its document."""

from __future__ import annotations

from typing import Any

from .kind import Kind
from .migration_params import defaults
from .view import Record, View

Document = dict[str, Any]


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
