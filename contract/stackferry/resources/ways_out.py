"""Whether floating IPs can lead to ports of a server: through a router's leg in the port's network.

Source: Neutron's "External gateway": a floating IP is refused when no router leads from its port to its network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from .server_parts import port_of
from .view import PENDING, Ambiguous, Missing, Record, View

Document = dict[str, Any]


def ways_missing(view: View, document: Document, led: Any = ()) -> Iterator[str]:
    """Say from which networks no router leads to a floating IP's. *led*: ids of floating IPs for which one is planned.

    Routers of networks that belong to others can't be seen: Neutron will tell.
    """
    for part in document["params"].get("floating_ips") or ():
        leg = port_of(document, part)
        if leg is None or (part.get("_info") or {}).get("id") in led:
            continue
        inside = document["params"][f"{leg[0]}s"][leg[1]]["params"].get("network_ref") or {}
        outside = part["params"].get("floating_network_ref") or {}
        try:
            ids = view.resolve("network", inside), view.resolve("network", outside)
        except (Missing, Ambiguous):
            continue  # said elsewhere
        address = part["params"].get("fixed_ip_address")
        if _is_visible(view, ids[0]) and not (_leads(view, *ids, address) or _leads_now(view, *ids, address)):
            yield f"no router here leads from network {inside.get('name')!r} to {outside.get('name')!r}"


def _is_visible(view: View, network: str) -> bool:
    if network == PENDING:
        return True
    found = view.get("network", network)
    return view.is_admin or (found is not None and found["project_id"] == view.project_id)


def _leads_now(view: View, *way: Any) -> bool:
    """The same, looked at afresh: somebody may have made it meanwhile."""
    for kind in ("router_interface", "router"):
        view.forget(kind)
    return _leads(view, *way)


def _leads(view: View, inside: str, outside: str, address: str | None) -> bool:
    legs = [leg for leg in view.records("router_interface") if leg["network_id"] == inside]
    routers = [view.get("router", leg["device_id"]) for leg in legs if _reaches(view, leg, address)]
    return any(((router or {}).get("external_gateway_info") or {}).get("network_id") == outside for router in routers)


def _reaches(view: View, leg: Record, address: str | None) -> bool:
    """Whether a leg is in the range of an address."""
    subnets = [view.get("subnet", ip["subnet_id"]) for ip in leg["fixed_ips"] or ()]
    ranges = [ipaddress.ip_network(subnet["cidr"]) for subnet in subnets if subnet]
    return not address or any(ipaddress.ip_address(address) in range_ for range_ in ranges)
