"""What a kind asks of a cloud: one project as one migration sees it. ``stackferry_clouds`` has one that asks clouds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .staying import Staying

Record = dict[str, Any]
OWN = "%auth%"
#: of a reference: another one, to what its name is unique within
WITHIN = "within"
#: key in a reference: the source's thing belongs to another project, though nobody could say which
FOREIGN = "is_foreign"
#: stands for the id of something that a plan would create
PENDING = "(to be created)"


class Missing(Exception):
    """A reference that leads nowhere at this cloud."""

    def __init__(self, kind: str, name: str | None, whose: str = "") -> None:
        super().__init__(f"there is no {kind.replace('_', ' ')} named {name!r} here{whose}")


class Ambiguous(Exception):
    """More than one resource answers a description."""


class Taken(Exception):
    """What a document wants belongs to somebody else here."""


class View(Protocol):
    """Listings and look-ups of one project. Records are plain dictionaries, by the names of openstacksdk's attributes.

    ``is_admin`` says what its user may set; ``notes``: what an export leaves out of what crosses, and why; ``staying``:
    what doesn't cross at all.
    """

    connection: Any
    project_id: str
    is_admin: bool
    cloud: str
    notes: list[str]
    staying: list[Staying]

    def proxy(self, service: str) -> Any:
        """openstacksdk's proxy of a service."""

    def records(self, kind: str) -> list[Record]:
        """Every resource of *kind* in the project; listed once."""

    def records_of(self, kind: str, attribute: str, owner_id: str) -> list[Record]:
        """The resources that belong to one other; an owner younger than the listing is listed by itself."""

    def remember(self, kind: str, resource: Any) -> Record:
        """Take in what a create or an update returned."""

    def forget(self, kind: str, id_: str | None = None) -> None:
        """Look afresh next time: at one resource that is gone, or at the whole kind."""

    def own(self, kind: str, id_: str) -> Record | None:
        """One of the project's resources, by way of the listing; None when it's not there."""

    def get(self, kind: str, id_: str) -> Record | None:
        """One resource by id, the project's own or any that is visible; None when there's none."""

    def refresh(self, kind: str, id_: str) -> Record | None:
        """One resource as it is now; None when it's gone, not when the cloud refuses to say."""

    def waiting(self, kind: str, id_: str) -> Callable[[], Record | None]:
        """What refreshes one resource, for somebody who looks again and again."""

    def lately(self, question: str, ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        """The answer to a question that was asked in the last seconds, if it's still *good*; else a new one."""

    def once(self, question: str, ask: Callable[[], Any]) -> Any:
        """The answer to a question that this cloud is asked once."""

    def reference(self, kind: str, id_: str) -> dict[str, Any]:
        """Return the portable reference to a resource; ``_id`` in it is for the exporter only."""

    def resolve(self, kind: str, ref: dict[str, Any]) -> str:
        """Return the id here of what a document refers to; raise Missing or Ambiguous."""

    def named(self, kind: str, name: str) -> list[Record]:
        """Anything visible of this name; an administrator sees strangers' things, too."""

    def is_absent(self, error: Exception) -> bool:
        """Whether a cloud says that it doesn't have an API at all: no such path, or no such service."""
