"""How much of a project's quotas is left. Source: the quota calls of Compute, Networking and Block Storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from .view import View

#: what we count → the service that limits it; Cinder also counts by volume type (``gigabytes_fast``)
SERVICES = {
    "instances": "compute", "cores": "compute", "ram": "compute", "server_groups": "compute",
    "networks": "network", "subnets": "network", "routers": "network", "ports": "network", "floating_ips": "network",
    "security_groups": "network", "security_group_rules": "network",
    "volumes": "block_storage", "snapshots": "block_storage", "gigabytes": "block_storage",
    "per_volume_gigabytes": "block_storage",
}  # fmt: skip
#: what limits each by itself: nothing of it is ever used up
EACH = "per_volume_gigabytes"


def of_type(name: str, volume_type: str) -> str:
    """What Cinder calls a quota for the volumes of one type."""
    return f"{name}_{volume_type}"


def _service(name: str) -> str:
    return SERVICES.get(name, "block_storage")


Part = dict[str, Any]


def beyond(view: View, needed: Mapping[str, int]) -> list[str]:
    """Say which quotas would not suffice; a cloud that doesn't tell is asked no more."""
    return [
        _too_big(part, needed[name]) if name == EACH
        else f"the quota has {_left(part)} {name.replace('_', ' ')} left, and {needed[name]} are needed"
        for name, part in _short(view, needed)
    ]  # fmt: skip


def shortfalls(view: View, needed: Mapping[str, int]) -> list[str]:
    """The same, with what is used and the limit."""
    return [
        _too_big(part, needed[name]) if name == EACH
        else f"{needed[name]} {name.replace('_', ' ')} are needed, {_used(part)} of {part['limit']} are used"
        for name, part in _short(view, needed)
    ]  # fmt: skip


def _too_big(part: Part, size: int) -> str:
    return f"a volume may have {part['limit']} GiB, and one has {size}"


def _short(view: View, needed: Mapping[str, int]) -> Iterator[tuple[str, Part]]:
    wanted = {name: many for name, many in needed.items() if many}
    for service in sorted({_service(name) for name in wanted}):
        mine = {name: many for name, many in wanted.items() if _service(name) == service}
        known = view.lately(f"quotas of {service}", partial(_known, view, service), partial(_suffice, mine))
        yield from _lacking(mine, known)


def _suffice(wanted: Mapping[str, int], known: Any) -> bool:
    return not any(_lacking(wanted, known))


def _lacking(wanted: Mapping[str, int], known: Any) -> Iterator[tuple[str, Part]]:
    for name, many in wanted.items():
        part = _part(known, name)
        left = _left(part)
        if left is not None and left < many:
            yield name, part


def _known(view: View, service: str) -> Any:
    """The quotas of a service, as openstacksdk has them; None when a cloud doesn't tell."""
    proxy = view.proxy(service)
    try:
        if service == "network":
            return proxy.get_quota(view.project_id, details=True)
        return proxy.get_quota_set(view.project_id, usage=True)
    except Exception as error:
        if getattr(error, "status_code", None) in (403, 404):
            return None
        raise


def _part(known: Any, name: str) -> Part:
    """What is known of one quota: Networking says that of each in one, the others in three places."""
    limit = getattr(known, name, None)
    if known is None or _service(name) == "network":
        return limit or {}
    used, reserved = known.usage or {}, known.reservation or {}
    return {"limit": limit, "used": used.get(name), "reserved": reserved.get(name)}


def _used(part: Part) -> int:
    return int(part.get("used") or 0) + int(part.get("reserved") or 0)


def _left(part: Part) -> int | None:
    """What is left; None: as much as one likes."""
    limit = part.get("limit")
    return None if limit is None or int(limit) < 0 else max(0, int(limit) - _used(part))
