"""Server-sent events, from bytes. Source: the HTML standard, 9.2.6, "Interpreting an event stream"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_END = re.compile(rb"\r\n|\n|\r")


class Frame(NamedTuple):
    """A block of a stream: the fields that it has. *id* stays, for the listener, until another one comes."""

    event: str | None
    data: str | None
    id: str | None


def frames(parts: Iterable[bytes]) -> Iterator[Frame]:
    """Yield the blocks of a stream, wherever its parts begin and end. Comments, and a last half block, are dropped."""
    fields: dict[str, list[str]] = {}
    for line in _lines(parts):
        if not line:
            if fields:
                yield Frame(_last(fields, "event"), _joined(fields), _last(fields, "id"))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))


def _last(fields: dict[str, list[str]], name: str) -> str | None:
    return fields[name][-1] if name in fields else None


def _joined(fields: dict[str, list[str]]) -> str | None:
    return "\n".join(fields["data"]) if "data" in fields else None


def _lines(parts: Iterable[bytes]) -> Iterator[str]:
    """Lines by the three ends that there are. (``str.splitlines`` knows more, which may stand inside JSON.)"""
    rest = b""
    for part in parts:
        rest += part
        held = rest.endswith(b"\r")  # its "\n" may come next
        *lines, rest = _END.split(rest[:-1] if held else rest)
        rest += b"\r" if held else b""
        yield from (line.decode("utf-8", "replace") for line in lines)
