"""What floating IPs wait for: the routers' legs in the networks of their ports. Pure.

Neutron leads no floating IP to a port, and forwards nothing to it, before a router with a gateway stands in its subnet.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from stackferry.resources.server_parts import port_of

from .node import Node

#: kinds that need a leg, and the link to the port
REACH = {"free_floating_ip": "port_ref", "port_forwarding": "internal_port_ref"}


def awaited(nodes: list[Node]) -> dict[str, dict[str, bool]]:
    """The legs that each server's floating IPs wait for (server → leg → hard), and so does the look whether one can be.

    What will only be compared is told for which floating IPs there'll be one (``led``).
    """
    by_key, by_network = {node.key: node for node in nodes}, defaultdict(list)
    for node in nodes:
        if node.kind.kind == "router_interface":
            by_network[_network_of(node, "network_ref")].append(node)
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for server in (node for node in nodes if node.kind.kind == "server" and by_network):
        led = []
        for part in server.document["params"].get("floating_ips") or ():
            if place := port_of(server.document, part):
                legs = by_network.get(_network_of(server, f"{place[0]}s.{place[1]}.params.network_ref"), [])
                found[server.key] |= dict.fromkeys((leg.key for leg in legs), False)
                routers = [by_key[leg.links["device_ref"]] for leg in legs if "device_ref" in leg.links]
                outside = (part["params"].get("floating_network_ref") or {}).get("name")
                if len(routers) < len(legs) or any(_gateway(router) == outside for router in routers):
                    led.append(str((part.get("_info") or {}).get("id")))
        if not server.group and led:
            server.planned = replace(server.planned, led=tuple(led))
    return found


def _network_of(node: Node, path: str) -> Any:
    """The network that a link of a document leads to: its document, or else its name."""
    found = next((ref for at, _, ref in node.kind.links(node.document["params"]) if at == path), {})
    return node.links.get(path) or found.get("name")


def _gateway(router: Node) -> str | None:
    gateway = router.document["params"].get("external_gateway_refinfo") or {}
    name: str | None = (gateway.get("network_ref") or {}).get("name")
    return name


def come_first(nodes: list[Node]) -> None:
    """Let what leads to a port come after all legs in its network; a leg that fails holds nothing up."""
    by_key = {node.key: node for node in nodes}
    by_network: dict[str | None, list[str]] = defaultdict(list)
    for node in nodes:
        if node.kind.kind == "router_interface":
            by_network[node.links.get("network_ref")].append(node.key)
    for node in nodes:
        for network in _networks(node, by_key):
            for leg in by_network.get(network, ()):
                node.after.setdefault(leg, False)


def _networks(node: Node, by_key: dict[str, Node]) -> set[str | None]:
    """The networks in which its port may be; a server's port is in one of the server's."""
    if node.kind.kind not in REACH:
        return set()
    if port := by_key.get(node.links.get(REACH[node.kind.kind], "")):
        return {port.links.get("network_ref")}
    servers = [by_key[key] for key in node.after if key in by_key and by_key[key].kind.kind == "server"]
    return {key for server in servers for path, key in server.links.items() if path.endswith(".network_ref")}
