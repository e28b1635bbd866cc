"""A data directory: one file a kind (``networks.yml`` ...), read whole and written without losing anything."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import InvalidDocument
from ..resources import BY_TYPE, KINDS
from .checking import lines, problems, wrong_form
from .document import Document, identity
from .os_migrate import for_os_migrate, obstacle_for_os_migrate
from .text import dump, load


def read_directory(directory: Path) -> list[Document]:
    """Return every document of a data directory; raise InvalidDocument with all that is wrong in it."""
    files = sorted(p for p in directory.glob("*.y*ml") if p.stem in {k.file for k in KINDS.values()})
    if not directory.is_dir() or not files:
        raise InvalidDocument([f"{directory}: no data files here (networks.yml ...)"])
    named: list[tuple[str, Document]] = []
    wrong: list[str] = []
    for file in files:
        try:
            named += [(file.name, document) for document in _read(file)]
        except InvalidDocument as error:
            wrong += error.problems
    if wrong := wrong + problems(named):
        raise InvalidDocument(wrong)
    return [document for _, document in named]


def unread_files(directory: Path) -> list[str]:
    """Names of YAML files in a data directory that no kind of ours has: of other tools, or mistyped."""
    return sorted(p.name for p in directory.glob("*.y*ml") if p.stem not in {k.file for k in KINDS.values()})


def _read(file: Path) -> list[Document]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDocument([f"{file.name}: can't be read: {error}"]) from None
    return load(text, file.name)


def write_directory(directory: Path, documents: Iterable[Document], compatible: bool = False) -> list[Path]:
    """Write documents into one file a kind; return the files. Files of kinds without documents are not touched.

    A resource that is in a file already is replaced in its place (same type and ``_info.id``), others are added.
    *compatible*: only what OS Migrate 1.0.5 accepts; :func:`obstacle_for_os_migrate` says what that leaves out.
    """
    by_kind: dict[str, list[Document]] = {}
    for document in documents:
        if compatible and obstacle_for_os_migrate(document):
            continue
        kind = BY_TYPE[document["type"]].kind
        by_kind.setdefault(kind, []).append(for_os_migrate(document) if compatible else document)
    directory.mkdir(parents=True, exist_ok=True)
    # all are merged before one is written: what is in the way is found while nothing has changed
    paths = {directory / f"{KINDS[kind].file}.yml": fresh for kind, fresh in by_kind.items()}
    merged = {path: _merge(_kept(path), fresh) for path, fresh in paths.items()}
    for path, content in merged.items():
        new = path.with_suffix(".yml.new")
        new.write_text(dump(content), "utf-8")
        new.replace(path)
    return list(merged)


def _kept(path: Path) -> list[Document]:
    """The documents that are in a file already, of whatever type; raise InvalidDocument when some are none."""
    old = _read(path) if path.exists() else []
    if wrong := [line for document in old for line in lines(path.name, document, wrong_form(document))]:
        raise InvalidDocument(wrong)
    return old


def _merge(old: list[Document], fresh: list[Document]) -> list[Document]:
    def key(document: Document) -> Any:
        return identity(document) or id(document)

    by_key = {key(document): document for document in fresh}
    return [by_key.pop(key(document), document) for document in old] + list(by_key.values())
