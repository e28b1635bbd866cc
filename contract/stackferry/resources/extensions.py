"""What a cloud's Neutron offers, beyond what every Neutron has. Source: Networking API v2.0, "Extensions"."""

from __future__ import annotations

from .view import View


def offered(view: View, alias: str) -> bool:
    """Whether this cloud has an extension; all of them are listed once."""
    return alias in view.once("extensions", lambda: {e.alias for e in view.proxy("network").extensions()})
