"""The text of a data file: YAML without surprises, of a version that we can read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml

from ..errors import InvalidDocument
from .document import Document
from .old_forms import upgrade
from .values import parse

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
    return resources(content_of(text, name), name)


def content_of(text: str, name: str) -> Any:
    """Return what a file holds, whatever it is; raise InvalidDocument."""
    try:
        return parse(text)
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidDocument([f"{name}{where}: not valid YAML: {getattr(error, 'problem', None) or error}"]) from None


def resources(content: Any, name: str) -> list[Document]:
    """Return the documents in the content of a file; raise InvalidDocument."""
    if not isinstance(content, dict) or not isinstance(content.get("resources"), list):
        raise InvalidDocument([f"{name}: expected the keys os_migrate_version and resources (a list)"])
    version = content.get("os_migrate_version")
    if not isinstance(version, str) or not _readable(version):
        raise InvalidDocument([f"{name}: os_migrate_version is {version!r}; versions from 0.13 to 2.x can be read"])
    return [upgrade(document) if isinstance(document, dict) else document for document in content["resources"]]


def _readable(version: str) -> bool:
    found = _READABLE.match(version)
    return found is not None and (0, 13) <= (int(found[1]), int(found[2])) < (3, 0)
