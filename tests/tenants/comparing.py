"""What differs between two projects, object by object and field by field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .pairing import pair
from .reading import Object, Reading, links, plain, without

NOTHING = "nothing"


@dataclass(frozen=True)
class Difference:
    """One field of one object that isn't at the destination as it was; ``missing`` and ``surplus`` are whole objects."""

    about: Object
    field: str
    expected: Any
    seen: Any
    because: tuple[str, ...] = ()  # it only lacks what these objects are, which didn't arrive

    def __str__(self) -> str:
        return (
            f"{self.about} ({self.about.id}) {self.field}: expected {_short(self.expected)}, seen {_short(self.seen)}"
        )


def differences(source: Reading, destination: Reading, before: Reading) -> Iterator[Difference]:
    """Yield what differs; *before*: what the destination had, which is no surplus."""
    counterparts = pair(source, destination)
    called = {**counterparts, **{one.id: one.id for one in destination.values()}}
    for one in source.values():
        other = destination.get(counterparts.get(one.id, ""))
        if other is None:
            yield Difference(one, "missing", _told(one, source), NOTHING)
            continue
        for name, value in one.fields.items():
            lost = tuple(id_ for id_ in links(value) if id_ not in called and id_ in source)
            expected = plain(value, lambda id_: called.get(id_, f"(no counterpart of {source.get(id_, id_)})"))
            seen = plain(other.fields.get(name), str)
            if expected != seen:
                because = lost if lost and plain(without(value, set(lost)), lambda i: called.get(i, i)) == seen else ()
                yield Difference(one, name, _readable(expected, destination), _readable(seen, destination), because)
    taken = set(counterparts.values())
    for other in destination.values():
        if other.id not in taken and other.id not in before:
            yield Difference(other, "surplus", NOTHING, _told(other, destination))


def _told(one: Object, reading: Reading) -> Any:
    return plain({n: v for n, v in one.fields.items() if v not in ("", None)}, lambda id_: str(reading.get(id_, id_)))


def _readable(value: Any, reading: Reading) -> Any:
    """A value with names in the place of ids."""
    if isinstance(value, str):
        return str(reading.get(value, value)) if value in reading else value
    if isinstance(value, dict):
        return {n: _readable(v, reading) for n, v in value.items()}
    return [_readable(v, reading) for v in value] if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}..."
