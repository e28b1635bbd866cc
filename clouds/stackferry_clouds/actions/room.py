"""Whether everything that a migration is to move fits into a project, before anything is touched."""

from __future__ import annotations

from typing import Any

from stackferry.errors import EndedInError
from stackferry.resources import quotas
from stackferry.resources.room import together
from stackferry.resources.view import View

from .done import Done


def room(view: View, project: str, known: dict[str, Any]) -> Done:
    """Raise EndedInError when the resources of ``known.demands`` don't fit into the quotas together.

    At a source, which is asked about ``known.servers``: results ``refused`` says of each that can't be read why (by its
    key), if it were the only one.
    """
    if "servers" in known:
        said = ((server["key"], unreadable(view, server["name"], server["needed"])) for server in known["servers"])
        return Done({"refused": {key: why for key, why in said if why}})
    for kind in {*(wanted["kind"] for wanted in known["demands"]), "floating_ip"}:
        view.forget(kind)
    if short := together(view, known["demands"]):
        raise EndedInError(f"together they don't fit: {'; '.join(short)}. Raise the quotas there, or select less")
    return Done()


def unreadable(view: View, name: str, needed: dict[str, int]) -> str | None:
    """Why the source has no room for what reading a server's disks takes; None when it has."""
    if short := quotas.beyond(view, needed):
        return f"server {name!r} is read from snapshots: {'; '.join(short)}. Raise the quotas of the source"
    return None
