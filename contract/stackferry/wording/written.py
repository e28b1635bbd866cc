"""What people write in a line to say what is meant: filters, mappings, labels. Pure.

Every face takes the same: ``network=web``, ``network~^web-``; ``flavor:m1.small=s.1``; ``team=web``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import Error
from ..mapping import invalid
from ..selection import invalid_filters, selectable


def known_kind(kind: str) -> str:
    """Return the kind; raise Error when there's none that can be selected."""
    if kind not in (known := selectable()):
        raise Error(f"{kind!r} is no kind; known are {', '.join(sorted(known))}")
    return kind


def filters(texts: Iterable[str]) -> dict[str, list[Any]]:
    """What is kept: kind → names, or ``{regex}``; raise Error naming the text that can't be understood."""
    found: dict[str, list[Any]] = {}
    for text in texts:
        kind, operator, pattern = _split(text)
        item: Any = pattern if operator == "=" else {"regex": pattern}
        if wrong := invalid_filters({"filters": {known_kind(kind): [item]}}):
            raise Error(f"{text!r}: {_lines(wrong)}")
        found.setdefault(kind, []).append(item)
    return found


def mapping(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """What is called otherwise at the destination: kind → name → name there; raise Error as above."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        kind, colon, names = text.partition(":")
        old, equals, new = names.partition("=")
        if not (colon and equals and kind and old and new):
            raise Error(f"{text!r}: expected KIND:OLD=NEW, such as flavor:m1.small=s.1")
        if wrong := invalid({kind: {old: new}}):
            raise Error(f"{text!r}: {_lines(wrong)}")
        if found.setdefault(kind, {}).setdefault(old, new) != new:
            raise Error(f"{text!r}: {kind} {old!r} was mapped to {found[kind][old]!r} already")
    return found


def labels(texts: Iterable[str]) -> dict[str, str]:
    """Key → value; raise Error as above."""
    found: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key or key in found:
            raise Error(f"{text!r}: " + ("it's given twice" if key in found else "expected KEY=VALUE"))
        found[key] = value
    return found


def _split(text: str) -> tuple[str, str, str]:
    for operator in ("=", "~"):
        kind, found, pattern = text.partition(operator)
        if found and kind.isidentifier():
            return kind, operator, pattern
    raise Error(f"{text!r}: expected KIND=NAME or KIND~REGEX")


def _lines(wrong: dict[str, list[str]]) -> str:
    return "; ".join(line for lines in wrong.values() for line in lines)
