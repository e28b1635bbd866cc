"""Routing keys of ``stackferry.events``: ``<source>.<destination>.<migration>.<event>``. Pure.

Source and destination are words for places: a cloud's name, with ``/`` and the project where the migration names one;
``-`` where there is none. RabbitMQ lets a user bind only to keys that its topic permissions allow, so that a client can
be kept to the migrations between its own clouds and projects.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Any

#: events that the stream ``stackferry.history`` keeps: not that a step began, nor how far it is
KEPT = ("migration-changed", "workload-changed", "step-ended", "export-ended", "request-refused",
        "dead-letters-dropped")  # fmt: skip
NOWHERE = "-"
#: what would be read as a part of a key, or of a word; as in a URI
_ESCAPED = str.maketrans({sign: f"%{ord(sign):02X}" for sign in "%.*#/"})
LONGEST = 80  # bytes of a word; a key has at most 255 (AMQP 0-9-1, 4.2.5.3), and two words, an id and an event


def word(place: dict[str, Any] | None) -> str:
    """The word for a place, {cloud, project}; ``sha256:`` and 32 hexadecimal digits for one that is too long."""
    if not place:
        return NOWHERE
    said = _name(place["cloud"])
    if project := place.get("project"):
        said += f"/{_name(project)}"
    raw = said.encode()
    return said if len(raw) <= LONGEST else f"sha256:{hashlib.sha256(raw).hexdigest()[:32]}"


def key(source: dict[str, Any] | None, destination: dict[str, Any] | None, migration: str | None, event: str) -> str:
    """The key of an event of a migration; *event* may be ``*``: then it's what to bind for all of them."""
    return ".".join((word(source), word(destination), migration or NOWHERE, event))


def permitted(clouds: Collection[str] | None, projects: Collection[str] | None) -> str:
    """A regular expression of the keys that a client of these clouds and projects may bind; None: any.

    One side may be missing, never both. A place whose word is a hash is nobody's who is limited.
    """
    if clouds is None and projects is None:
        return ".*"
    cloud = _some(clouds) if clouds is not None else r"[^./*#]+"
    place = rf"{cloud}(/[^./*#]+)?" if projects is None else f"{cloud}/{_some(projects)}"
    return rf"({place}\.({place}|{NOWHERE})|{NOWHERE}\.{place})\..*"


def _some(names: Collection[str]) -> str:
    return f"({'|'.join(re.escape(_name(name)) for name in sorted(names))})"


def _name(name: str) -> str:
    said = name.translate(_ESCAPED)
    return "%2D" if said == NOWHERE else said
