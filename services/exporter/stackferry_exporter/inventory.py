"""Reading a project: every selected resource as a document, in parts that fit a message."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stackferry import selection as select
from stackferry.pages import pages
from stackferry.resources import KINDS, order
from stackferry.resources.view import View
from stackferry_clouds.export import documents

Document = dict[str, Any]
PART_BYTES = 300_000
PART_DOCUMENTS = 200
#: notes that fit a message: so many, of so many letters, of so many bytes together
NOTES, NOTE_LENGTH, NOTE_BYTES = 500, 1000, 510_000


def inventory(view: View, selection: dict[str, Any] | None) -> Iterator[Document]:
    """Yield the documents that *selection* asks for, prerequisites first. The listings run side by side."""
    kinds = [kind for kind in order() if not KINDS[kind].nested and select.selects_kind(selection, kind)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(view.records, kinds))  # one call a kind; a failure is raised here
    for kind in kinds:
        for document in documents(kind, view):
            if select.selects(selection, document):
                yield document


def shortened(notes: list[str]) -> list[str]:
    """Notes that fit a message, and how many more there were."""
    kept = [note[:NOTE_LENGTH] for note in notes[:NOTES]]
    sizes = itertools.accumulate(len(json.dumps(note)) for note in kept)
    kept = [note for note, size in zip(kept, sizes, strict=True) if size <= NOTE_BYTES]
    more = len(notes) - len(kept)
    return [*kept, *([f"and {more} more"] if more > 0 else [])]


def parts(found: Iterator[Document]) -> Iterator[list[Document]]:
    """Yield documents in lists that fit a message."""
    return pages(found, PART_BYTES, PART_DOCUMENTS)
