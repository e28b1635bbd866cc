"""The file that says what each client may ask for (``STACKFERRY_CLIENTS``); it's read again when it has changed.

clients:
  night-shift: {role: operator, clouds: [old, new], projects: [web, shop], labels: {team: web}}
  dashboard: {role: viewer}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from marshmallow import RAISE, Schema, ValidationError, fields, validate
from stackferry import topology
from stackferry.errors import Error
from stackferry.roles import ROLES, Client
from stackferry_runtime.logs import logger

log = logger(__name__)
SERVICES = {queue.service for queue in topology.WORK_QUEUES}


class _Client(Schema):
    class Meta:
        unknown = RAISE

    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    clouds = fields.List(fields.String(), load_default=None, allow_none=True)
    projects = fields.List(fields.String(), load_default=None, allow_none=True)
    labels = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)


class _File(Schema):
    class Meta:
        unknown = RAISE

    clients = fields.Dict(keys=fields.String(), values=fields.Nested(_Client), required=True)


class Clients:
    """``clients(user)``: what a user may ask for; None for one that the file doesn't name.

    Without a file, every client may ask for everything. Raises Error at the beginning when the file can't be used;
    later, one that can't changes nothing.
    """

    def __init__(self, file: str = "") -> None:
        self.file = Path(file) if file else None
        self.known: dict[str, Client] = {}
        self.stamp = self._stamp()
        if self.file is not None:
            self.known = read(self.file)

    def __call__(self, user: str) -> Client | None:
        if self.file is None:
            return Client() if _is_client(user) else None
        if (stamp := self._stamp()) != self.stamp:
            self.stamp = stamp
            try:
                self.known = read(self.file)
                log.info("clients were read again", known=len(self.known))
            except Error as error:
                log.error("clients stay as they were", error=str(error))
        return self.known.get(user)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self.file.stat() if self.file is not None else None
        except OSError:
            found = None
        return (found.st_mtime_ns, found.st_size) if found else None


def _is_client(user: str) -> bool:
    """Whether this may be a client: no service, no host, and not somebody of whom the broker says nothing."""
    return bool(user) and user not in SERVICES and topology.Enrolled.read(user) is None


def read(file: Path) -> dict[str, Client]:
    """Return the clients of a file; raise Error naming what is wrong."""
    try:
        content: Any = yaml.safe_load(file.read_text("utf-8"))
        found: dict[str, Any] = _File().load(content)["clients"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Error(f"STACKFERRY_CLIENTS: {file} can't be read: {error}") from None
    except ValidationError as error:
        raise Error(f"STACKFERRY_CLIENTS: {file}: {error.normalized_messages()}") from None
    return {
        user: Client(one["role"], _some(one["clouds"]), _some(one["projects"]), one["labels"])
        for user, one in found.items()
    }


def _some(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
