"""The last step of a workload at the destination: our marks come off."""

from __future__ import annotations

from typing import Any

from stackferry.resources import server as servers
from stackferry.resources import volume as volumes
from stackferry.resources.view import View

from .done import Done


def settle(view: View, resource: str, known: dict[str, Any]) -> Done:
    """Take our mark off what has arrived: a server (``known.server``) and its volumes, or a volume by itself."""
    for volume in known.get("volumes") or ():
        volumes.unmark(view, volume)
    if known.get("server"):
        servers.unmark(view, resource)
    return Done()
