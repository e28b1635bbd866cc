"""Reading a project: every selected resource as a document, in parts that fit a message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stackferry import selection as select
from stackferry.resources import KINDS, order
from stackferry.resources.export import documents
from stackferry.resources.view import View

Document = dict[str, Any]
PART_BYTES = 300_000
PART_DOCUMENTS = 200


def inventory(view: View, selection: dict[str, Any] | None) -> Iterator[Document]:
    """Yield the documents that *selection* asks for, prerequisites first. The listings run side by side."""
    kinds = [kind for kind in order() if select.selects_kind(selection, kind)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(view.records, kinds))  # one call a kind; a failure is raised here
    for kind in kinds:
        for document in documents(kind, view):
            if kept(kind, document, selection):
                yield document


def kept(kind: str, document: Document, selection: dict[str, Any] | None) -> bool:
    """Whether the filters keep a document; one without a name of its own goes with what it belongs to."""
    items, name = select.filter_of(selection, kind), document["params"].get("name")
    owner = KINDS[kind].filtered_by
    if owner is not None:
        ref = document["params"].get(owner) or {}
        name = ref.get("name")
        if items is None:
            field: Any = KINDS[kind].declared()[owner]
            items = select.filter_of(selection, field.kind)
    return select.keeps(items, name)


def parts(found: Iterator[Document]) -> Iterator[list[Document]]:
    """Yield documents in lists that fit a message."""
    part: list[Document] = []
    size = 0
    for document in found:
        cost = len(json.dumps(document, ensure_ascii=False, default=str).encode())
        if part and (size + cost > PART_BYTES or len(part) >= PART_DOCUMENTS):
            yield part
            part, size = [], 0
        part.append(document)
        size += cost
    if part:
        yield part
