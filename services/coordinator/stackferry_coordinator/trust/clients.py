"""The file that says what each client may ask for (``STACKFERRY_CLIENTS``); it's read again when it has changed.

clients:
  night-shift: {role: operator, clouds: [old, new], projects: [web, shop], labels: {team: web}}
  dashboard: {role: viewer}
"""

from __future__ import annotations

from pathlib import Path

from marshmallow import RAISE, Schema, fields
from stackferry import topology
from stackferry.roles import Client, ClientFields, client
from stackferry_runtime.reread import Reread, loaded

SERVICES = {queue.service for queue in topology.WORK_QUEUES}


class _File(Schema):
    class Meta:
        unknown = RAISE

    clients = fields.Dict(keys=fields.String(), values=fields.Nested(ClientFields), required=True)


class Clients:
    """``clients(user)``: what a user may ask for; None for one that the file doesn't name.

    Without a file, every client may ask for everything. Raises Error at the beginning when the file can't be used;
    later, one that can't changes nothing.
    """

    def __init__(self, file: str = "") -> None:
        self._file = Reread(Path(file), read) if file else None

    def __call__(self, user: str) -> Client | None:
        if self._file is not None:
            return self._file.now().get(user)
        return Client() if _is_client(user) else None


def _is_client(user: str) -> bool:
    """Whether this may be a client: no service, no host, and not somebody of whom the broker says nothing."""
    return bool(user) and user not in SERVICES and topology.Enrolled.read(user) is None


def read(file: Path) -> dict[str, Client]:
    """Return the clients of a file; raise Error naming what is wrong."""
    return {user: client(said) for user, said in loaded(file, _File, "STACKFERRY_CLIENTS")["clients"].items()}
