"""Floating addresses come after the routers' legs by which their ports are reached. Pure.

Neutron leads no floating IP to a port, and forwards nothing to it, before a router with a gateway stands in its subnet.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .graph import Node

#: kinds that need them, and the link to the port
REACH = {"free_floating_ip": "port_ref", "port_forwarding": "internal_port_ref"}


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
