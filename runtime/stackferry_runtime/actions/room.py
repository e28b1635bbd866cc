"""Whether everything that a migration is to move fits into a project, before anything is touched."""

from __future__ import annotations

from typing import Any

from stackferry.errors import EndedInError
from stackferry.resources.room import together
from stackferry.resources.view import View

from .done import Done


def room(view: View, project: str, known: dict[str, Any]) -> Done:
    """Raise EndedInError when the resources of ``known.demands`` don't fit into the quotas together."""
    for kind in {*(wanted["kind"] for wanted in known["demands"]), "floating_ip"}:
        view.forget(kind)
    if short := together(view, known["demands"]):
        raise EndedInError(f"together they don't fit: {'; '.join(short)}. Raise the quotas there, or select less")
    return Done()
