"""What every cloud offers from the start: an external network, flavors, and a tenant.

Each step looks first whether it was done: a start may have been killed half way.
"""

import json

from openstack.connection import Connection

from stackferry_sandbox.clouds import Cloud
from stackferry_sandbox.connections import TENANT, connect_admin
from stackferry_sandbox.files import write_atomically
from stackferry_sandbox.tenants import ensure_tenant

EXTERNAL_NETWORK = "public"

FLAVORS = (
    {"name": "m1.tiny", "ram": 512, "vcpus": 1, "disk": 1},
    {"name": "m1.small", "ram": 2048, "vcpus": 1, "disk": 20},
    {"name": "m1.medium", "ram": 4096, "vcpus": 2, "disk": 40},
    {"name": "v1.small", "ram": 2048, "vcpus": 2, "disk": 0, "description": "for servers that boot from a volume"},
    {"name": "v1.large", "ram": 8192, "vcpus": 4, "disk": 0, "swap": 512, "description": "the same, larger"},
)


def external_prefix(number: int) -> str:
    """The first two bytes of a cloud's external addresses: 10.100 for the first cloud, then 10.101 ..."""
    return f"10.{100 + number}"


def is_furnished(cloud: Cloud) -> bool:
    """Whether a cloud has everything that is offered today."""
    path = cloud.paths.furnished
    return path.exists() and path.read_text(encoding="utf-8") == json.dumps(FLAVORS)


def furnish(cloud: Cloud) -> None:
    """Make what is missing."""
    with connect_admin(cloud) as admin:
        make_external_network(admin, external_prefix(cloud.number))
        for flavor in FLAVORS:
            if not admin.compute.find_flavor(flavor["name"]):
                admin.compute.create_flavor(**flavor)
        ensure_tenant(admin, TENANT, cloud.credentials.tenant)
    write_atomically(cloud.paths.furnished, json.dumps(FLAVORS))


def make_external_network(admin: Connection, prefix: str) -> None:
    """Make the network from which gateways and floating IPs come."""
    network = admin.network.find_network(EXTERNAL_NETWORK) or admin.network.create_network(
        name=EXTERNAL_NETWORK,
        is_router_external=True,
        is_shared=False,
        provider_network_type="flat",
        provider_physical_network=EXTERNAL_NETWORK,
    )
    name = f"{EXTERNAL_NETWORK}-subnet"
    if not admin.network.find_subnet(name, network_id=network.id):
        admin.network.create_subnet(
            name=name,
            network_id=network.id,
            ip_version=4,
            cidr=f"{prefix}.0.0/16",
            gateway_ip=f"{prefix}.0.1",
            is_dhcp_enabled=False,
        )
