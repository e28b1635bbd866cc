"""What a project has, object by object, read through the API: names, addresses, rules; no ids."""

from __future__ import annotations

from collections import Counter
from typing import Any


def inventory(connection: Any) -> Counter[Any]:
    """Return every network object and image of the project, with how often it's there."""
    network, project = connection.network, connection.current_project_id
    names: dict[str, str] = {}
    found: Counter[Any] = Counter()
    for item in network.networks(project_id=project):
        names[item.id] = item.name
        found["network", item.name, item.mtu] += 1
    for item in network.subnets(project_id=project):
        names[item.id] = item.name
        found["subnet", names[item.network_id], item.name, item.cidr, item.gateway_ip] += 1
    for item in network.routers(project_id=project):
        names[item.id] = item.name
        found["router", item.name, bool(item.external_gateway_info)] += 1
    for item in network.ports(project_id=project):
        owner = names.get(item.device_id, item.device_id)
        if item.device_owner != "network:router_gateway":
            found["port", item.device_owner, owner, tuple(sorted(ip["ip_address"] for ip in item.fixed_ips))] += 1
    for item in network.security_groups(project_id=project):
        names[item.id] = item.name
        found["security_group", item.name] += 1
    for item in network.security_group_rules(project_id=project):
        remote = names.get(item.remote_group_id)
        key = (item.direction, item.ether_type, item.protocol, item.port_range_min, item.port_range_max)
        found["rule", names[item.security_group_id], *key, item.remote_ip_prefix, remote] += 1
    for hidden in (False, True):
        for item in connection.image.images(owner=project, is_hidden=hidden):
            found["image", item.name, item.disk_format, item.status, item.hash_algo, item.hash_value] += 1
    return found
