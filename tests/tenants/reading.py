"""What a project has, as objects that refer to each other: the form in which two projects are compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Link:
    """In a field: another object of the reading, by its id."""

    id: str


@dataclass(frozen=True)
class Bag:
    """In a field: things whose order means nothing."""

    items: tuple[Any, ...]


@dataclass(frozen=True)
class Object:
    """One object of a project with every field that can be carried; ``label`` is what people call it."""

    kind: str
    id: str
    fields: dict[str, Any] = field(hash=False)

    @property
    def name(self) -> str:
        return str(self.fields.get("name") or "")

    def __str__(self) -> str:
        shown = self.name or next((str(self.fields[n]) for n in LABELS if self.fields.get(n)), "(no name)")
        return f"{self.kind} {shown[:60]!r}"


LABELS = ("cidr", "mac_address", "floating_ip_address", "protocol", "external_port", "direction")
Reading = dict[str, Object]  # by id


def bag(items: Any) -> Bag:
    """Things whose order means nothing."""
    return Bag(tuple(items or ()))


def link(id_: str | None) -> Link | None:
    """Another object, or none."""
    return Link(id_) if id_ else None


def plain(value: Any, called: Callable[[str], Any]) -> Any:
    """A value as JSON would have it, each link replaced by what the object is *called*."""
    if isinstance(value, Link):
        return called(value.id)
    if isinstance(value, Bag):
        return sorted((plain(v, called) for v in value.items), key=lambda v: json.dumps(v, sort_keys=True))
    if isinstance(value, dict):
        return {name: plain(v, called) for name, v in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [plain(v, called) for v in value]
    return value


def links(value: Any) -> Iterator[str]:
    """The ids that a value refers to."""
    if isinstance(value, Link):
        yield value.id
    elif isinstance(value, dict):
        for one in value.values():
            yield from links(one)
    elif isinstance(value, Bag | list | tuple):
        for one in value.items if isinstance(value, Bag) else value:
            yield from links(one)


def without(value: Any, lost: set[str]) -> Any:
    """A field without these objects, as if nothing had ever referred to them."""
    if isinstance(value, Link):
        return None if value.id in lost else value
    if isinstance(value, Bag | list):
        items = value.items if isinstance(value, Bag) else value
        kept = [one for one in items if not set(links(one)) & lost]
        return Bag(tuple(kept)) if isinstance(value, Bag) else kept
    return value


def raw(reading: Reading) -> dict[str, Any]:
    """The reading with its ids: equal before and after, when nothing was touched."""
    return {id_: {"kind": one.kind, **plain(one.fields, str)} for id_, one in sorted(reading.items())}


def colours(reading: Reading, rounds: int = 4) -> list[dict[str, str]]:
    """For each round, what an object looks like from so far: its own fields, those of what it refers to, and so on."""
    found = [
        {id_: json.dumps([one.kind, plain(one.fields, lambda _: "?")], sort_keys=True) for id_, one in reading.items()}
    ]
    back: dict[str, list[str]] = {id_: [] for id_ in reading}
    for id_, one in reading.items():
        for other in links(one.fields):
            back.setdefault(other, []).append(id_)
    for _ in range(rounds):
        last, numbers = found[-1], {}
        for id_, one in reading.items():
            seen = [
                last[id_],
                plain(one.fields, lambda i, last=last: last.get(i, "")),
                sorted(last[i] for i in back[id_]),
            ]
            numbers[id_] = str(hash_of(json.dumps(seen, sort_keys=True)))
        found.append(numbers)
    return found


def hash_of(text: str) -> str:
    """A short form of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
