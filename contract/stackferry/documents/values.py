"""From YAML text to plain values, as JSON has them too, without what YAML can do to whoever reads it.

Events are taken one by one, so that depth and repetition are known before they cost anything.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

DEPTH = 100  # of lists and mappings in one another
REPEATED = 200_000  # values that aliases may repeat, all together
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_PLAIN = ("null", "bool", "int", "float", "str", "timestamp", "merge")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVERS: dict[str, list[Any]] = yaml.SafeLoader.yaml_implicit_resolvers
_CONSTRUCT = yaml.SafeLoader("")


def parse(text: str) -> Any:
    """Return the one document of a text; raise YAMLError, with a mark where that is known.

    Neither bytes nor sets nor ordered mappings: documents travel as JSON. A timestamp stays the text that it is. A key
    that stands twice is refused, since one of the two would be lost in silence.
    """
    return _Building().run(text)


class _Open:
    """A list or a mapping that isn't complete."""

    def __init__(self, event: Any) -> None:
        self.event = event
        self.value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.key: str | None = None
        self.merged: list[dict[str, Any]] = []
        self.merging = False
        self.size = 1


class _Building:
    """What was built so far."""

    def __init__(self) -> None:
        self.open: list[_Open] = []
        self.anchors: dict[str, tuple[Any, int] | None] = {}
        self.roots: list[Any] = []
        self.repeated = 0

    def run(self, text: str) -> Any:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.ScalarEvent):
                self._add(event, *_scalar(event))
            elif isinstance(event, yaml.AliasEvent):
                self._repeat(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end()
            elif isinstance(event, yaml.DocumentStartEvent) and self.roots:
                raise _unusable("a second document begins here", event)
        return self.roots[0] if self.roots else None

    def _begin(self, event: Any) -> None:
        wanted = "map" if isinstance(event, yaml.MappingStartEvent) else "seq"
        if event.tag not in (None, "!", f"{_TAG}{wanted}"):
            raise _unusable(f"{event.tag} is nothing that a message can carry", event)
        if len(self.open) >= DEPTH:
            raise _unusable(f"lists and mappings in one another, more than {DEPTH} deep", event)
        if event.anchor:
            self.anchors[event.anchor] = None
        self.open.append(_Open(event))

    def _end(self) -> None:
        done = self.open.pop()
        for merged in done.merged:
            done.value = {**merged, **done.value}
        if done.event.anchor:
            self.anchors[done.event.anchor] = (done.value, done.size)
        self._add(done.event, done.value, f"{_TAG}map", done.size)

    def _repeat(self, event: Any) -> None:
        known = self.anchors.get(event.anchor, ())
        if not known:
            why = "contains itself" if known is None else "is not defined before"
            raise _unusable(f"what {event.anchor!r} stands for {why}", event)
        value, size = known
        self.repeated += size
        if self.repeated > REPEATED:
            raise _unusable(f"aliases repeat more than {REPEATED} values", event)
        self._add(event, value, "", size)

    def _add(self, event: Any, value: Any, tag: str, size: int = 1) -> None:
        if isinstance(event, yaml.ScalarEvent) and event.anchor:
            self.anchors[event.anchor] = (value, size)
        if not self.open:
            self.roots.append(value)
            return
        into = self.open[-1]
        into.size += size
        if isinstance(into.value, list):
            into.value.append(value)
        elif into.merging:
            into.merged += self._mappings(event, value)
            into.merging = False
        elif into.key is None:
            if tag == _MERGE:
                into.merging = True
                return
            if not isinstance(value, str):
                raise _unusable(f"the key {value!r} is no text" if size == 1 else "a key is no text", event)
            if value in into.value:
                raise _unusable(f"the key {value[:80]!r} stands twice", event)
            into.key = value
        else:
            into.value[into.key], into.key = value, None

    def _mappings(self, event: Any, value: Any) -> list[dict[str, Any]]:
        """What is merged, so that the first one counts."""
        found = value if isinstance(value, list) else [value]
        if not all(isinstance(one, dict) for one in found):
            raise _unusable("only mappings can be merged", event)
        return found


def _scalar(event: Any) -> tuple[Any, str]:
    """A value, and its tag."""
    tag = event.tag
    if tag in (None, "!"):
        tag = _resolved(event.value) if event.implicit[0] else f"{_TAG}str"
    short = tag.removeprefix(_TAG)
    if short not in _PLAIN:
        raise _unusable(f"{tag} is nothing that a message can carry", event)
    value = event.value
    try:
        if short in ("null", "bool", "int", "float"):
            node = yaml.ScalarNode(tag, event.value)
            value = getattr(_CONSTRUCT, f"construct_yaml_{short}")(node)
        if isinstance(value, str):
            value.encode()  # half a surrogate pair can't be
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError
    except (ValueError, KeyError, IndexError):
        raise _unusable(f"{event.value[:80]!r} is nothing that a message can carry", event) from None
    return value, tag


def _resolved(text: str) -> str:
    for tag, pattern in _RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            return str(tag)
    return f"{_TAG}str"


def _unusable(problem: str, event: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, event.start_mark)
