"""A data directory: one file a kind (``networks.yml`` ...), read whole and written without losing anything."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Error, InvalidDocument
from ..resources import BY_TYPE, KINDS
from .checking import lines, problems, wrong_form
from .document import Document, identity
from .old_forms import complete
from .os_migrate import for_os_migrate, obstacles_for_os_migrate
from .reading import read_text
from .text import content_of, dump, resources

FILES = {kind.file for kind in KINDS.values()}
SUFFIXES = (".yml", ".yaml")
ALONGSIDE = ("clouds",)  # files that OS Migrate keeps in a data directory, too
MAX_RESOURCES = 50_000  # of one data directory


@dataclass(frozen=True)
class Contents:
    """What a data directory holds: its documents, and the names of YAML files that hold none."""

    documents: list[Document]
    unread: list[str]


def read_directory(directory: Path) -> Contents:
    """Return what is in a data directory; raise InvalidDocument with all that is wrong in it.

    As OS Migrate does, every YAML file is read, whatever it's called. Folders (payloads, logs) are not looked into.
    """
    files = sorted(p for p in directory.glob("*.y*ml") if p.suffix in SUFFIXES and not p.is_dir())
    named: list[tuple[str, Document]] = []
    wrong: list[str] = []
    unread: list[str] = []
    for file in files:
        try:
            found = _read(file)
        except InvalidDocument as error:
            wrong += error.problems
            continue
        if found is None:
            unread += [file.name] if file.stem not in ALONGSIDE else []
        else:
            named += [(file.name, document) for document in found]
        if len(named) > MAX_RESOURCES:
            raise InvalidDocument([f"{directory}: more than {MAX_RESOURCES} resources; use several directories"])
    if not wrong and len(unread) + sum(file.stem in ALONGSIDE for file in files) == len(files):
        raise InvalidDocument([f"{directory}: no data files here (networks.yml ...)"])
    complete([document for _, document in named])
    if wrong := wrong + problems(named):
        raise InvalidDocument(wrong)
    return Contents([document for _, document in named], unread)


def _read(file: Path) -> list[Document] | None:
    """The documents of a file; None when it's of another tool. One that is called as a kind's file is never that."""
    try:
        text = read_text(file)
    except Error as error:
        raise InvalidDocument([f"{file.name}: {error}"]) from None
    ours = file.stem in FILES
    try:
        content = content_of(text, file.name)
    except InvalidDocument:
        if ours or "resources" in text:
            raise
        return None  # such as variables with a !vault
    if not ours and not (isinstance(content, dict) and "resources" in content):
        return None
    return resources(content, file.name)


def write_directory(directory: Path, documents: Iterable[Document], compatible: bool = False) -> list[Path]:
    """Write documents into one file a kind; return the files. Files of kinds without documents are not touched.

    A resource that is in a file already is replaced in its place (same type and ``_info.id``), others are added.
    *compatible*: only what OS Migrate 1.0.5 accepts; ``obstacles_for_os_migrate`` and ``left_out`` say what that leaves
    out.
    """
    by_kind: dict[str, list[Document]] = {}
    documents = list(documents)
    refused = obstacles_for_os_migrate(documents) if compatible else {}
    for number, document in enumerate(documents):
        if number in refused:
            continue
        kind = BY_TYPE[document["type"]].kind
        by_kind.setdefault(kind, []).append(for_os_migrate(document) if compatible else document)
    directory.mkdir(parents=True, exist_ok=True)
    # all are merged before one is written: what is in the way is found while nothing has changed
    paths = {directory / f"{KINDS[kind].file}.yml": fresh for kind, fresh in by_kind.items()}
    merged = {path: _merge(_kept(path), fresh) for path, fresh in paths.items()}
    for path, content in merged.items():
        new = path.with_suffix(".yml.new")
        new.unlink(missing_ok=True)
        # user data often holds passwords, and nova shows it to nobody but its owner
        is_private = any(document["params"].get("user_data") for document in content)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if is_private else 0o666)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(dump(content))
        new.replace(path)
    return list(merged)


def _kept(path: Path) -> list[Document]:
    """The documents that are in a file already, of whatever type; raise InvalidDocument when some are none."""
    old = (_read(path) or []) if path.exists() else []
    if wrong := [line for document in old for line in lines(path.name, document, wrong_form(document))]:
        raise InvalidDocument(wrong)
    return old


def _merge(old: list[Document], fresh: list[Document]) -> list[Document]:
    def key(document: Document) -> Any:
        return identity(document) or id(document)

    by_key = {key(document): document for document in fresh}
    return [by_key.pop(key(document), document) for document in old] + list(by_key.values())
