"""Which resources are meant: kinds, and filters on names as OS Migrate has them.

A filter is a list; an item is a string (the exact name) or ``{regex: <pattern>}``, matched anywhere in the name
(``re.search``). A resource is kept when any item matches. A resource without a name counts as named ``""``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .resources import BY_TYPE, KINDS


def invalid_filters(selection: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return field → problems of a selection's filters; empty when all is well."""
    errors: dict[str, list[str]] = {}
    for kind, items in (selection.get("filters") or {}).items():
        problems = [problem for item in items if (problem := _problem(item))]
        if problems:
            errors[f"filters.{kind}"] = problems
    return errors


def _problem(item: Any) -> str | None:
    if isinstance(item, str):
        return None
    if not (isinstance(item, dict) and set(item) == {"regex"} and isinstance(item["regex"], str)):
        return f"{item!r}: expected a name or {{regex: <pattern>}}"
    try:
        re.compile(item["regex"])
    except (re.error, OverflowError, RecursionError) as error:
        return f"regex {item['regex']!r} can't be used: {error}"
    return None


def keeps(items: list[Any] | None, name: str | None) -> bool:
    """Whether a filter keeps a resource of this name; no filter keeps everything."""
    if items is None:
        return True
    name = name or ""
    return any(item == name if isinstance(item, str) else re.search(item["regex"], name) for item in items)


def selects_kind(selection: Mapping[str, Any] | None, kind: str) -> bool:
    """Whether a selection asks for resources of this kind."""
    kinds = (selection or {}).get("kinds")
    return kinds is None or kind in kinds


def selects(selection: Mapping[str, Any] | None, document: Mapping[str, Any]) -> bool:
    """Whether a selection keeps a document; one without a name of its own goes with what it belongs to."""
    kind, params = BY_TYPE[document["type"]], document["params"]
    items, name = filter_of(selection, kind.kind), kind.called(params)
    if kind.filtered_by is not None:
        name = (params.get(kind.filtered_by) or {}).get("name")
        owner: Any = kind.declared()[kind.filtered_by]
        items = filter_of(selection, owner.kind) if items is None else items
    return selects_kind(selection, kind.kind) and keeps(items, name)


def unmatched(selection: Mapping[str, Any] | None, found: Iterable[tuple[str, str | None]]) -> list[str]:
    """What of a selection matches nothing among (kind, name) pairs: kinds that were asked for, and items of filters.

    What has no name of its own is filtered by what it belongs to, which these pairs don't say: it isn't looked at.
    """
    names: dict[str, list[str | None]] = {}
    for kind, name in found:
        names.setdefault(kind, []).append(name)
    missing = [f"kind {kind}" for kind in (selection or {}).get("kinds") or () if kind not in names]
    for kind, items in ((selection or {}).get("filters") or {}).items():
        if KINDS[kind].filtered_by is not None or not selects_kind(selection, kind):
            continue
        for item in items:
            means_all = isinstance(item, dict) and keeps([item], "")  # such as `.*`
            if not means_all and not any(keeps([item], name) for name in names.get(kind, ())):
                missing.append(f"{kind}={item}" if isinstance(item, str) else f"{kind}~{item['regex']}")
    return missing


def selectable() -> set[str]:
    """Return the kinds that can be asked for."""
    return {name for name, kind in KINDS.items() if not kind.nested}


def unknown_kinds(selection: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return field → problems of kinds that don't exist: a typing error must not select nothing in silence."""
    errors, known = {}, selectable()
    for field in ("kinds", "filters"):
        if unknown := sorted(set(selection.get(field) or ()) - known):
            errors[field] = [f"{', '.join(unknown)}: no such kind; known are {', '.join(sorted(known))}"]
    return errors


def filter_of(selection: Mapping[str, Any] | None, kind: str) -> list[Any] | None:
    """Return the filter for a kind, or None."""
    found: list[Any] | None = ((selection or {}).get("filters") or {}).get(kind)
    return found
