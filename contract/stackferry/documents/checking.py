"""What is wrong with documents, said so that people find the place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..resources import BY_TYPE, source_id
from ..resources.migration_params import wrong_choices
from .document import KNOWN_TYPES, Document, identity

MAX_DOCUMENT = 900 << 10  # bytes: a message stays under 1 MiB


def problems(named: Iterable[tuple[str, Any]]) -> list[str]:
    """Return what is wrong with (file, document) pairs taken together, one line each."""
    found: list[str] = []
    seen: Counter[tuple[str, str]] = Counter()
    for file, document in named:
        wrong = wrong_form(document)
        if not wrong and (size := len(json.dumps(document))) > MAX_DOCUMENT:
            wrong = [f"has {size >> 10} KiB; a message carries {MAX_DOCUMENT >> 10} at most"]
        elif not wrong:
            wrong = _wrong_fields(document)
            if one := identity(document):
                seen[one] += 1
                if seen[one] == 2:
                    wrong.append(f"stands twice (_info.id {one[1]}); remove one")
        found += lines(file, document, wrong)
    return found


def lines(file: str, document: Any, wrong: list[str]) -> list[str]:
    """Return what is wrong with one document as lines that name its file and itself."""
    return [f"{file}: {label(document)}: {problem}" for problem in wrong]


def label(document: Any) -> str:
    """What people call a document: its kind and title; its name or id while something is wrong with it."""
    if not isinstance(document, dict):
        return repr(document)[:60]
    kind = BY_TYPE.get(str(document.get("type")))
    params, info = ({} if not isinstance(part := document.get(n), dict) else part for n in ("params", "_info"))
    if kind and not wrong_form(document) and not _wrong_fields(document):
        title: Any = kind.title(params)
    else:
        title = params.get("name") or info.get("id") or "?"
    return f"{kind.kind if kind else document.get('type')} {title!r}"


def wrong_form(document: Any) -> list[str]:
    """What is wrong with the parts that every document has, whatever its type."""
    if not isinstance(document, dict):
        return ["expected an object with type and params"]
    wrong = []
    if not isinstance(document.get("type"), str):
        wrong.append(_unknown_type(document))
    if not isinstance(document.get("params"), dict):
        wrong.append("params is missing, or not an object")
    wrong += [
        f"{n} is not an object" for n in ("_info", "_migration_params") if not isinstance(document.get(n, {}), dict)
    ]
    if not wrong and (fault := source_id.fault(document.get("_info", {}).get("id"))):
        wrong.append(f"_info.id {fault}")
    return wrong


def _wrong_fields(document: Document) -> list[str]:
    """What is wrong with the params of a document whose form is right."""
    kind = BY_TYPE.get(document["type"])
    if kind is None:
        return [] if document["type"] in KNOWN_TYPES else [_unknown_type(document)]
    if kind.nested:
        return [f"{document['type']} belongs inside of a server's document"]
    said = {n: v for n, v in document["params"].items() if v is not None and n in kind.declared()}
    wrong = flatten({"params": kind().validate(said)})
    wrong += flatten({"_migration_params": dict(wrong_choices(kind.choices, document.get("_migration_params", {})))})
    return [f"{path}: {text}" for path, text in wrong]


def _unknown_type(document: Document) -> str:
    return f"type is {document.get('type')!r}; known are {', '.join(sorted(BY_TYPE))}"


def flatten(errors: Any, path: str = "") -> list[tuple[str, str]]:
    """Return (path, text) of each message in marshmallow's nested errors."""
    if isinstance(errors, dict):
        return [pair for key, value in errors.items() for pair in flatten(value, f"{path}.{key}".lstrip("."))]
    if isinstance(errors, list):
        return [pair for value in errors for pair in flatten(value, path)]
    return [(path, str(errors))]
