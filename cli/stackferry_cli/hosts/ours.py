"""What `hosts deploy` has made in a project, known by its marks; what isn't marked is never changed or deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stackferry.resources.conversion import MARK, METADATA


def found(connection: Any, plural: str) -> Iterator[Any]:
    """Our resources of one type of Neutron's: networks, subnets, routers, ports, ips, security_groups ..."""
    listed = getattr(connection.network, plural)(project_id=connection.current_project_id)
    return (resource for resource in listed if resource.description == MARK)


def named(connection: Any, plural: str, name: str) -> Any | None:
    """Our resource of this name; the oldest, should there be several."""
    mine = [resource for resource in found(connection, plural) if resource.name == name]
    return min(mine, key=lambda r: (r.created_at or "", r.id), default=None)


def servers(connection: Any) -> list[Any]:
    """Our servers, by name."""
    mine = [s for s in connection.compute.servers() if METADATA.items() <= (s.metadata or {}).items()]
    return sorted(mine, key=lambda s: (s.name, s.id))
