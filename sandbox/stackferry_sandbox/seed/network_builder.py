"""Create a seed's address groups, security groups, networks and routers."""

import ipaddress
from collections.abc import Callable
from typing import Any

from openstack.connection import Connection

from stackferry_sandbox.rest import call, create

Attributes = dict[str, Any]
Tell = Callable[[str], None]

NOT_ATTRIBUTES = (
    "tags",
    "rules",
    "remove",
    "subnets",
    "interfaces",
    "routes",
    "admin",
    "external_gateway_info",
)
"""What a description says of a resource that isn't told when it is created, but in requests of their own."""


def asked(key: str, attributes: Attributes, **more: Any) -> Attributes:
    """What an API is asked to create."""
    told = {name: value for name, value in attributes.items() if name not in NOT_ATTRIBUTES}
    return {"name": key} | told | more


class NetworkBuilder:
    """Creates what a description says, and remembers the ids by key."""

    def __init__(self, connection: Connection, admin: Connection) -> None:
        """Build as a member of a project, with an administrator's help."""
        self.member = connection.network
        self.admin = admin.network
        self.project = connection.current_project_id
        self.ids: dict[tuple[str, str], str] = {}
        self.network_of_subnet: dict[str, str] = {}

    def make(self, collection: str, key: str, attributes: Attributes, **more: Any) -> Attributes:
        """Create one resource, and tag it: only then, since POST takes no tags."""
        made = create(self.member, collection, asked(key, attributes, **more))
        self.ids[collection, key] = made["id"]
        if tags := attributes.get("tags"):
            call(self.member, "PUT", f"/{collection}/{made['id']}/tags", {"tags": tags})
        return made

    def security_group(self, key: str, attributes: Attributes) -> None:
        """Create a security group, or find the default one; without the automatic rules to be removed."""
        if key == "default":
            query = f"/security-groups?name=default&project_id={self.project}"
            (group,) = call(self.member, "GET", query)["security_groups"]
            self.ids["security-groups", key] = group["id"]
        else:
            group = self.make("security-groups", key, attributes)
        for unwanted in attributes.get("remove", ()):
            for rule in group["security_group_rules"]:
                if unwanted.items() <= rule.items():
                    call(self.member, "DELETE", f"/security-group-rules/{rule['id']}")

    def rules(self, key: str, attributes: Attributes) -> None:
        """Create the rules of a group. All groups must exist: rules refer to them."""
        for rule in attributes.get("rules", ()):
            told = {"direction": "ingress", "security_group_id": self.ids["security-groups", key]} | rule
            if group := told.pop("remote_group", None):
                told["remote_group_id"] = self.ids["security-groups", group]
            if addresses := told.pop("remote_address_group", None):
                told["remote_address_group_id"] = self.ids["address-groups", addresses]
            create(self.member, "security-group-rules", told)

    def network(self, key: str, attributes: Attributes) -> None:
        """Create a network and its subnets."""
        network = self.make("networks", key, attributes)["id"]
        for name, subnet in attributes.get("subnets", {}).items():
            self.make("subnets", name, {"ip_version": 4} | subnet, network_id=network)
            self.network_of_subnet[name] = network

    def router(self, key: str, attributes: Attributes) -> None:
        """Create a router, its gateway, its legs, then its routes, whose next hops need the legs."""
        more = {}
        if gateway := attributes.get("external_gateway_info"):
            more = {"external_gateway_info": self.gateway(gateway)}
        router = self.make("routers", key, attributes, **more)["id"]
        for leg in attributes.get("interfaces", ()):
            call(self.member, "PUT", f"/routers/{router}/add_router_interface", self.leg(leg))
        if routes := attributes.get("routes"):
            call(self.member, "PUT", f"/routers/{router}", {"router": {"routes": routes}})
        if gateway := attributes.get("admin", {}).get("external_gateway_info"):
            change = {"router": {"external_gateway_info": self.gateway(gateway)}}
            call(self.admin, "PUT", f"/routers/{router}", change)

    def gateway(self, gateway: Attributes) -> Attributes:
        """What neutron is told about a router's gateway."""
        told = dict(gateway)
        network = self.admin.find_network(told.pop("network"), ignore_missing=False)
        if number := told.pop("host_number", None):
            subnet = next(self.admin.subnets(network_id=network.id, ip_version=4))
            address = ipaddress.ip_network(subnet.cidr)[number]
            told["external_fixed_ips"] = [{"subnet_id": subnet.id, "ip_address": str(address)}]
        return told | {"network_id": network.id}

    def leg(self, leg: Attributes) -> Attributes:
        """What neutron is told about a leg: a subnet, or a port if the leg has an address of its own."""
        subnet = self.ids["subnets", leg["subnet"]]
        if "ip_address" not in leg:
            return {"subnet_id": subnet}
        fixed_ips = [{"subnet_id": subnet, "ip_address": leg["ip_address"]}]
        network = self.network_of_subnet[leg["subnet"]]
        port = create(self.member, "ports", {"network_id": network, "fixed_ips": fixed_ips})
        return {"port_id": port["id"]}


def build(
    connection: Connection, admin: Connection, description: dict[str, dict[str, Attributes]], tell: Tell
) -> dict[tuple[str, str], str]:
    """Create everything, in an order in which references can be resolved; returns ids by collection and key."""
    builder = NetworkBuilder(connection, admin)
    for section, step in (
        ("address_groups", lambda key, each: builder.make("address-groups", key, each)),
        ("security_groups", builder.security_group),
        ("security_groups", builder.rules),
        ("networks", builder.network),
        ("routers", builder.router),
    ):
        for key, attributes in description[section].items():
            step(key, attributes)
            tell(f"{section.replace('_', ' ').removesuffix('s')} {key}")
    return builder.ids
