"""Build many equal stacks of network, subnet, router and security group, for benchmarks and kill tests."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openstack.connection import Connection

from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.rest import call, create

THREADS = 8
PER_SECOND_BYTE = 250
"""Stacks whose subnets share the second byte of their addresses."""

RULES: tuple[dict[str, Any], ...] = (
    {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "10.0.0.0/8"},
    {"protocol": "tcp", "port_range_min": 443, "port_range_max": 443},
    {"protocol": "icmp"},
    {"protocol": "udp", "port_range_min": 53, "port_range_max": 53, "ethertype": "IPv6"},
)


def cidr_of(number: int) -> str:
    """The addresses of a stack's subnet: every stack has its own."""
    return f"10.{128 + number // PER_SECOND_BYTE}.{number % PER_SECOND_BYTE}.0/24"


def seed_stacks(
    connection: Connection, n: int, prefix: str = "stack", *, tell: Callable[[str], None] = lambda _line: None
) -> None:
    """Build stacks ``<prefix>-000`` and so on; each resource of a stack has the stack's name.

    Args:
        connection: as a member of the project.
        n: how many.
        prefix: how their names begin.
        tell: called with a line of text for each stack.
    """
    network = connection.network
    names = {each.name for each in network.networks(project_id=connection.current_project_id)}
    if any(name.startswith(f"{prefix}-") for name in names):
        raise SandboxError(f"the project has networks named {prefix}-... already; choose another prefix")
    external = network.find_network("public", ignore_missing=False).id
    with ThreadPoolExecutor(THREADS) as pool:
        for name in pool.map(lambda number: build_stack(network, number, prefix, external), range(n)):
            tell(name)


def build_stack(network: Any, number: int, prefix: str, external: str) -> str:
    """Build one stack; returns its name."""
    name = f"{prefix}-{number:03}"
    made = create(network, "networks", {"name": name})
    subnet = {"name": name, "network_id": made["id"], "ip_version": 4, "cidr": cidr_of(number)}
    subnet = create(network, "subnets", subnet)
    router = create(network, "routers", {"name": name, "external_gateway_info": {"network_id": external}})
    call(network, "PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    group = create(network, "security-groups", {"name": name})
    rules = [{"security_group_id": group["id"], "direction": "ingress"} | rule for rule in RULES]
    call(network, "POST", "/security-group-rules", {"security_group_rules": rules})
    return name
