"""What a client may ask for: by its role, and by the clouds and projects that it may touch. Pure.

A viewer asks what is there. An operator moves: requests, feeds and controls migrations, drains hosts. An administrator
also takes away: undo deletes at the destination, cleanup-source at the source, a forgotten host is out of the fleet, a
forgotten migration can't be undone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

VIEWER, OPERATOR, ADMIN = ROLES = ("viewer", "operator", "admin")
#: requests that change something, and the lowest role that may
NEEDS = {
    "request-migration": OPERATOR,
    "submit-documents": OPERATOR,
    "control-migration": OPERATOR,
    "control-host": OPERATOR,
    "clean-up-source": ADMIN,
    "forget-migrations": ADMIN,
}
#: actions of those that only an administrator may ask for
TAKES_AWAY = ("undo", "forget")


@dataclass(frozen=True, slots=True)
class Client:
    """A user of the broker. ``clouds``, ``projects``: the only ones that it may touch; None: all."""

    role: str = ADMIN
    clouds: frozenset[str] | None = None
    projects: frozenset[str] | None = None

    def may_touch(self, places: Iterable[dict[str, Any] | None]) -> bool:
        """Whether it may touch all these places: {cloud, project}. A place that names no project is any project."""
        given = [place for place in places if place]
        clouds = self.clouds is None or all(place.get("cloud") in self.clouds for place in given)
        return clouds and (self.projects is None or all(place.get("project") in self.projects for place in given))


def refused(
    client: Client | None, name: str, data: dict[str, Any], places: Iterable[dict[str, Any] | None]
) -> dict[str, str] | None:
    """Why a client may not ask for this about these places, by field; None when it may. *client* None: unknown."""
    if client is None:
        return {"sender": "no such client is known to the coordinator; see STACKFERRY_CLIENTS"}
    needed = ADMIN if data.get("action") in TAKES_AWAY else NEEDS[name]
    if ROLES.index(client.role) < ROLES.index(needed):
        what = data.get("action") or name
        return {"sender": f"this client is {client.role}, and {what} is for the role {needed}"}
    if not client.may_touch(places):
        return {"sender": "this client may not touch that cloud or project; see STACKFERRY_CLIENTS"}
    return None
