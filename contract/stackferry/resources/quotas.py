"""How much of a project's quotas is left. Source: the quota calls of Compute, Networking and Block Storage."""

from __future__ import annotations

from typing import Any

from .view import View

#: what we count → the service that limits it
SERVICES = {
    "instances": "compute", "cores": "compute", "ram": "compute", "ports": "network", "floating_ips": "network",
    "volumes": "block_storage", "snapshots": "block_storage", "gigabytes": "block_storage",
}  # fmt: skip


def beyond(view: View, needed: dict[str, int]) -> list[str]:
    """Say which quotas would not suffice; a cloud that doesn't tell is asked no more."""
    wanted = {name: many for name, many in needed.items() if many}
    found: dict[str, int | None] = {}
    for service in sorted({SERVICES[name] for name in wanted}):
        found |= _left(view, service, [name for name in wanted if SERVICES[name] == service])
    return [
        f"the quota has {left} {name.replace('_', ' ')} left, and {wanted[name]} are needed"
        for name in wanted
        if (left := found.get(name)) is not None and left < wanted[name]
    ]


def _left(view: View, service: str, names: list[str]) -> dict[str, int | None]:
    proxy = view.proxy(service)
    try:
        if service == "network":
            details = proxy.get_quota(view.project_id, details=True)
            return {n: _difference(getattr(details, n, None) or {}) for n in names}
        known = proxy.get_quota_set(view.project_id, usage=True)
    except Exception as error:
        if getattr(error, "status_code", None) in (403, 404):
            return {}
        raise
    used, reserved = known.usage or {}, known.reservation or {}
    parts = {n: {"limit": getattr(known, n, None), "used": used.get(n), "reserved": reserved.get(n)} for n in names}
    return {n: _difference(part) for n, part in parts.items()}


def _difference(part: dict[str, Any]) -> int | None:
    """What is left; None: as much as one likes."""
    limit = part.get("limit")
    if limit is None or int(limit) < 0:
        return None
    return max(0, int(limit) - int(part.get("used") or 0) - int(part.get("reserved") or 0))
