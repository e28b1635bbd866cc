"""An event on its way: as it was told, and where it stands in the stream."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import unquote

MEDIA = "application/cloudevents+json"


class Place(NamedTuple):
    """How far something is: the number of an event, and its id, by which another stream's is told from it."""

    number: int
    id: str | None = None


@dataclass(frozen=True)
class Event:
    """``number``: its offset in ``stackferry.history``; ``key``: its routing key; ``body``: the CloudEvent as JSON."""

    number: int
    key: str
    body: bytes

    @cached_property
    def words(self) -> tuple[str, str, str, str]:
        """Source, destination, migration and name of the event, as its key has them."""
        source, destination, migration, name = (*self.key.split("."), "", "", "", "")[:4]
        return unquote(source), unquote(destination), migration, name

    @property
    def migration(self) -> str:
        """The migration that it's about: what other systems keep the order by."""
        return self.words[2]

    @property
    def name(self) -> str:
        """What has happened, such as ``step-ended``."""
        return self.words[3]

    @cached_property
    def envelope(self) -> dict[str, Any]:
        """The CloudEvent."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.number, self.id)

    @property
    def id(self) -> str:
        """Its id: with its source it names the event, however often it's carried."""
        return str(self.envelope.get("id") or self.number)
