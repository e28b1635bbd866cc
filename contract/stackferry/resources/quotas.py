"""How much of a project's quotas is left. Source: the quota calls of Compute, Networking and Block Storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .view import View

#: what we count → the service that limits it
SERVICES = {
    "instances": "compute", "cores": "compute", "ram": "compute", "ports": "network", "floating_ips": "network",
    "volumes": "block_storage", "snapshots": "block_storage", "gigabytes": "block_storage",
}  # fmt: skip


Part = dict[str, Any]


def beyond(view: View, needed: Mapping[str, int]) -> list[str]:
    """Say which quotas would not suffice; a cloud that doesn't tell is asked no more."""
    return [
        f"the quota has {_left(part)} {name.replace('_', ' ')} left, and {needed[name]} are needed"
        for name, part in _short(view, needed)
    ]


def shortfalls(view: View, needed: Mapping[str, int]) -> list[str]:
    """The same, with what is used and the limit."""
    return [
        f"{needed[name]} {name.replace('_', ' ')} are needed, {_used(part)} of {part['limit']} are used"
        for name, part in _short(view, needed)
    ]


def _short(view: View, needed: Mapping[str, int]) -> Iterator[tuple[str, Part]]:
    wanted = {name: many for name, many in needed.items() if many}
    found: dict[str, Part] = {}
    for service in sorted({SERVICES[name] for name in wanted}):
        found |= _parts(view, service, [name for name in wanted if SERVICES[name] == service])
    for name, many in wanted.items():
        left = _left(found.get(name) or {})
        if left is not None and left < many:
            yield name, found[name]


def _parts(view: View, service: str, names: list[str]) -> dict[str, Part]:
    proxy = view.proxy(service)
    try:
        if service == "network":
            details = proxy.get_quota(view.project_id, details=True)
            return {n: getattr(details, n, None) or {} for n in names}
        known = proxy.get_quota_set(view.project_id, usage=True)
    except Exception as error:
        if getattr(error, "status_code", None) in (403, 404):
            return {}
        raise
    used, reserved = known.usage or {}, known.reservation or {}
    return {n: {"limit": getattr(known, n, None), "used": used.get(n), "reserved": reserved.get(n)} for n in names}


def _used(part: Part) -> int:
    return int(part.get("used") or 0) + int(part.get("reserved") or 0)


def _left(part: Part) -> int | None:
    """What is left; None: as much as one likes."""
    limit = part.get("limit")
    return None if limit is None or int(limit) < 0 else max(0, int(limit) - _used(part))
