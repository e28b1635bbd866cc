"""The last step of a workload at the destination: our marks come off."""

from __future__ import annotations

from typing import Any

from stackferry.resources.view import View
from stackferry.resources.volume import unmark

from .done import Done


def settle(view: View, server: str, known: dict[str, Any]) -> Done:
    """Take our mark off the volumes of a server that has arrived."""
    for volume in known.get("volumes") or ():
        unmark(view, volume)
    return Done()
