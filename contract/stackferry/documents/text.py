"""The text of a data file: YAML without surprises, of a version that we can read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import yaml

from ..errors import InvalidDocument
from .document import Document
from .old_forms import upgrade

#: what we write: OS Migrate's format, with fields that it doesn't have
VERSION = "1.0.5"
_READABLE = re.compile(r"(\d{1,4})\.(\d{1,4})(\.|$)", re.ASCII)


class _Dumper(yaml.SafeDumper):
    """Plain YAML without anchors, which other readers may not resolve."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(documents: Iterable[Document], version: str = VERSION) -> str:
    """Return the text of a data file: keys sorted, resources in the given order."""
    content = {"os_migrate_version": version, "resources": list(documents)}
    return yaml.dump(content, Dumper=_Dumper, default_flow_style=False, allow_unicode=True)


def load(text: str, name: str = "data") -> list[Document]:
    """Return the documents of one file in today's form; raise InvalidDocument."""
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidDocument([f"{name}{where}: not valid YAML: {getattr(error, 'problem', None) or error}"]) from None
    if not isinstance(content, dict) or not isinstance(content.get("resources"), list):
        raise InvalidDocument([f"{name}: expected the keys os_migrate_version and resources (a list)"])
    version = content.get("os_migrate_version")
    if not isinstance(version, str) or not _readable(version):
        raise InvalidDocument([f"{name}: os_migrate_version is {version!r}; versions from 0.13 on can be read"])
    return [upgrade(document) if isinstance(document, dict) else document for document in content["resources"]]


def _readable(version: str) -> bool:
    found = _READABLE.match(version)
    return found is not None and (int(found[1]), int(found[2])) >= (0, 13)


class _Loader(yaml.SafeLoader):
    """A SafeLoader of what JSON has too, since documents travel as JSON; the rest is refused where it stands.

    A key that stands twice is refused as well: the first one would be lost in silence.
    """

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            # deep: what contains itself is then found out
            value = super().construct_object(node, deep=True)  # type: ignore[no-untyped-call]
            if isinstance(value, str):
                value.encode()  # half a surrogate pair can't be
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError
        except (ValueError, KeyError):
            raise _unusable(f"{node.value!r} is nothing that a message can carry", node) from None
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if not isinstance(key, str):
                raise _unusable(f"the key {key!r} is no text", key_node)
            if key in seen:
                raise _unusable(f"the key {key!r} stands twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _unusable(problem: str, node: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


# neither bytes nor sets nor ordered mappings; a timestamp stays the text that it is
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
} | {"tag:yaml.org,2002:timestamp": yaml.SafeLoader.construct_yaml_str}
