"""What a client may ask for: by its role, and by the clouds, projects and labels that it may touch. Pure.

A viewer asks what is there. An operator moves: requests, feeds and controls migrations, drains hosts. An administrator
also takes away: undo deletes at the destination, cleanup-source at the source, a forgotten host is out of the fleet, a
forgotten migration can't be undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import RAISE, Schema, fields, validate

VIEWER, OPERATOR, ADMIN = ROLES = ("viewer", "operator", "admin")
#: requests that change something, or ask a cloud, and the lowest role that may
NEEDS = {
    "check-cloud": VIEWER,
    "request-migration": OPERATOR,
    "submit-documents": OPERATOR,
    "control-migration": OPERATOR,
    "control-host": OPERATOR,
    "clean-up-source": ADMIN,
    "forget-migrations": ADMIN,
    "describe-dead-letters": OPERATOR,
    "control-dead-letters": OPERATOR,
}
#: actions of those that only an administrator may ask for
TAKES_AWAY = ("undo", "forget", "drop")
#: requests about no migration that whoever is limited to labels may ask for, too
ABOUT_A_CLOUD = ("check-cloud",)
UNKNOWN = {"sender": "no such client is known to the coordinator; see STACKFERRY_CLIENTS"}


@dataclass(frozen=True, slots=True)
class Client:
    """A user of the broker. ``clouds``, ``projects``: the only ones that it may touch; None: all.

    ``labels``: what each migration that it may touch is labelled with.
    """

    role: str = ADMIN
    clouds: frozenset[str] | None = None
    projects: frozenset[str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def may_touch(self, places: Iterable[dict[str, Any] | None]) -> bool:
        """Whether it may touch all these places: {cloud, project}. A place that names no project is any project."""
        given = [place for place in places if place]
        clouds = self.clouds is None or all(place.get("cloud") in self.clouds for place in given)
        return clouds and (self.projects is None or all(place.get("project") in self.projects for place in given))

    @property
    def is_limited(self) -> bool:
        """Whether there's a cloud, a project or a label that it may not touch."""
        return self.clouds is not None or self.projects is not None or bool(self.labels)

    def may_see(self, migration: dict[str, Any]) -> bool:
        """Whether it may know of a migration: {source, destination, labels}."""
        labels = migration.get("labels") or {}
        labelled = all(labels.get(name) == value for name, value in self.labels.items())
        is_limited = self.clouds is not None or self.projects is not None
        if is_limited and not (migration.get("source") or migration.get("destination")):
            return False  # it isn't requested yet: nobody knows where it will be
        return labelled and self.may_touch((migration.get("source"), migration.get("destination")))


class ClientFields(Schema):
    """How a file says what somebody may ask for: ``{role, clouds, projects, labels}``."""

    class Meta:
        unknown = RAISE

    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    clouds = fields.List(fields.String(), load_default=None, allow_none=True)
    projects = fields.List(fields.String(), load_default=None, allow_none=True)
    labels = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)


def client(said: Mapping[str, Any]) -> Client:
    """The client of what :class:`ClientFields` has loaded."""
    clouds, projects = (None if said[few] is None else frozenset(said[few]) for few in ("clouds", "projects"))
    return Client(said["role"], clouds, projects, said["labels"])


@dataclass(frozen=True, slots=True)
class Places:
    """Where something is asked for: {cloud, project} each, for what isn't about a migration."""

    places: tuple[dict[str, Any] | None, ...]


#: what is about everybody's: nobody who is limited may ask for it
EVERYWHERE = Places(({"cloud": None, "project": None},))


def refused(
    client: Client | None, name: str, data: dict[str, Any], about: Iterable[dict[str, Any]] | Places
) -> dict[str, str] | None:
    """Why a client may not ask for this, by field; None when it may. *client* None: unknown.

    *about*: the migrations that it's about, or the places, where it's about none.
    """
    if client is None:
        return UNKNOWN
    needed = ADMIN if data.get("action") in TAKES_AWAY else NEEDS[name]
    if ROLES.index(client.role) < ROLES.index(needed):
        what = data.get("action") or name
        return {"sender": f"this client is {client.role}, and {what} is for the role {needed}"}
    if isinstance(about, Places):
        may = client.may_touch(about.places) and not (client.labels and name not in ABOUT_A_CLOUD)
    else:
        may = all(map(client.may_see, about))
    if not may:
        return {"sender": "this client may not touch that cloud, project or label; see STACKFERRY_CLIENTS"}
    return None
