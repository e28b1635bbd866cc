"""From a data directory to what a request asks for; whatever of it won't have an effect is named."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from stackferry import documents
from stackferry.client import Client
from stackferry.resources import BY_TYPE, KINDS
from stackferry.selection import selects

from . import options, output, rules

ALIKE = 5  # of what is left out for the same reason, so many are named
Document = dict[str, Any]
Place = dict[str, Any]


def read(directory: Path) -> list[Document]:
    """Every document of a data directory; files that hold none are named."""
    found = documents.read_directory(directory)
    for name in found.unread:
        output.errors.print(f"warning: {name}: not read: it holds no resources")
    return found.documents


def wanted(ferry: Client, directory: Path, source: Place | None, chosen: dict[str, Any]) -> list[Document]:
    """The documents that a request is about. *source*: where their disks are read, and what they don't say is asked."""
    found = _movable(_selected(read(directory), chosen), source is not None, chosen)
    for line in without_effect(found):
        output.errors.print(f"note: {line}")
    return rules.closed(ferry, found, source, chosen)


def blobs(directory: Path, said: dict[str, Any]) -> str | None:
    """The folder of the images' payloads, when there is one."""
    folder = options.image_blobs(directory, said)
    return str(folder) if folder.is_dir() else None


def _selected(found: list[Document], chosen: dict[str, Any]) -> list[Document]:
    """The documents that kinds and filters keep; those of kinds that we don't import are named and left out."""
    kept = []
    for document in found:
        kind = BY_TYPE.get(document["type"])
        if kind is None or kind.nested:
            output.errors.print(f"left out: {documents.label(document)}: not imported by this version")
        elif selects(chosen, document):
            kept.append(document)
    return kept


def _movable(found: list[Document], source: bool, chosen: dict[str, Any]) -> list[Document]:
    """Without a source cloud, servers and volumes are left out, unless they're asked for: then it's reported."""
    if source or chosen.get("kinds"):
        return found
    kept = []
    for document in found:
        if BY_TYPE[document["type"]].by_workload:
            output.errors.print(f"left out: {documents.label(document)}: its disks are read at the source (--source)")
        else:
            kept.append(document)
    return kept


def warnings(found: list[Document]) -> list[str]:
    """Keys in params that nobody reads: most often a typing error."""
    expected = {name for names in documents.EXPECTED.values() for name in names}
    return [
        f"{KINDS[kind.kind].file}.yml: {documents.label(document)}: params.{name} is not known, and kept unread"
        for document in found
        if (kind := BY_TYPE.get(document["type"]))
        for name in document["params"]
        if name not in kind.declared() and name not in expected
    ]


def without_effect(found: list[Document]) -> list[str]:
    """What documents say of how they're moved, and nothing here does."""
    return [
        f"{documents.label(document)}: _migration_params.{name} has no effect: {documents.UNREAD_PARAMS[name]}"
        for document in found
        for name, said in (document.get("_migration_params") or {}).items()
        if said and name in documents.UNREAD_PARAMS
    ]


def for_os_migrate(found: list[Document]) -> list[Document]:
    """The documents that OS Migrate can be given; the others are named, and so are the fields that it doesn't know."""
    refused = documents.obstacles_for_os_migrate(found)
    for number, why in refused.items():
        output.errors.print(f"left out: {documents.label(found[number])}: {why}")
    kept = [document for number, document in enumerate(found) if number not in refused]
    fields: dict[tuple[str, str], list[str]] = defaultdict(list)
    for document in kept:
        for field in dict.fromkeys(documents.left_out(document)):
            fields[(BY_TYPE[document["type"]].kind, field)].append(BY_TYPE[document["type"]].title(document["params"]))
    for (kind, field), titles in fields.items():
        more = f" and {len(titles) - ALIKE} more" if len(titles) > ALIKE else ""
        names = ", ".join(map(repr, titles[:ALIKE]))
        output.errors.print(f"left out: {field} of {kind.replace('_', ' ')} {names}{more}: OS Migrate doesn't know it")
    return kept


def name_refused(directory: Path) -> None:
    """Say which resources that were in a data directory before OS Migrate's ``validate_data_dir`` won't accept."""
    found = [one for one in documents.read_directory(directory).documents if one["type"] in BY_TYPE]
    for number, why in documents.obstacles_for_os_migrate(found).items():
        output.errors.print(
            f"warning: OS Migrate won't accept {documents.label(found[number])}, which was here before: {why}"
        )
