"""References to ports: their names are mostly empty, so that their addresses say which is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fields import Ref
from .port import addresses
from .view import PENDING, Ambiguous, Missing

if TYPE_CHECKING:
    from .view import View

FREE_PORT = "free_port"


class PortRef(Ref):
    """A link to a port: ``{name, project_name, domain_name, addresses}``, the last being its MAC and IP addresses."""

    def __init__(self, description: str, **kwargs: Any) -> None:
        super().__init__(FREE_PORT, description, **{"attribute": "port_id", **kwargs})

    def export(self, value: Any, view: View) -> Any:
        found = view.get(self.kind, value) if value else None
        ref = super().export(value, view)
        return {**ref, "addresses": sorted(addresses(found))} if found else ref

    def resolve(self, value: Any, view: View) -> Any:
        """By id, else by name and an address; a name alone is enough where no port has one of the addresses."""
        wanted = set((value or {}).get("addresses") or ())
        if value and value.get("id") == PENDING:
            # A server's port, of which a plan doesn't know whether it's there: then it's the one with its MAC address.
            there = [port["id"] for port in view.records(self.kind) if port["mac_address"] in wanted]
            return there[0] if len(there) == 1 else PENDING
        if value is None or value.get("id"):
            return super().resolve(value, view)
        name = value.get("name")
        named = [port for port in view.records(self.kind) if not name or port["name"] == name]
        near = [port for port in named if addresses(port) & wanted]
        found = near or (named if name else [])
        what = name or ", ".join(sorted(wanted))
        if not found:
            raise Missing("port", what)
        if len(found) > 1:
            raise Ambiguous(f"{len(found)} ports here could be {what!r}")
        return str(found[0]["id"])
