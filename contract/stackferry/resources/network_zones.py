"""Neutron's availability zones. Source: Networking API v2.0, "Availability zones"."""

from __future__ import annotations

from typing import Any

from .view import View


def missing(view: View, resource: str, hints: Any) -> list[str]:
    """Say which of the zones that a network or a router (*resource*) should be in aren't there."""
    known = view.once("availability zones of networks", lambda: _known(view)) if hints else None
    if known is None:
        return []
    return [f"there is no availability zone of {resource}s named {name!r} here"
            for name in hints if (resource, name) not in known]  # fmt: skip


def _known(view: View) -> set[tuple[str, str]] | None:
    """(resource, name) of each; None where the cloud doesn't tell."""
    try:
        return {(zone.resource, zone.name) for zone in view.proxy("network").availability_zones()}
    except Exception as error:
        if getattr(error, "status_code", None) == 403 or view.is_absent(error):
            return None
        raise
