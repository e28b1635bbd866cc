"""Create a seed's server groups and servers, with their ports, disks and floating IPs."""

import base64
from collections.abc import Callable
from typing import Any

from openstack.connection import Connection

from stackferry_sandbox.disks import Disks
from stackferry_sandbox.rest import call, create
from stackferry_sandbox.seed.contents import fill

Attributes = dict[str, Any]
Ids = dict[tuple[str, str], str]
"""By the collection and the key that the description uses."""

NOT_ATTRIBUTES = ("image", "flavor", "group", "disks", "ports", "root", "stopped", "user_data")
NOT_OF_PORTS = ("network", "fixed_ips", "security_groups", "floating_ip", "tags")
MICROVERSION = "2.90"
WAIT_SECONDS = 300


class ServerBuilder:
    """Creates servers; networks, images and volumes are there already."""

    def __init__(self, connection: Connection, disks: Disks, ids: Ids) -> None:
        """Build as a member of a project.

        Args:
            connection: to the cloud.
            disks: where root disks are.
            ids: of what is there.
        """
        self.connection = connection
        self.compute: Any = connection.compute
        self.network: Any = connection.network
        self.disks = disks
        self.ids = dict(ids)

    def group(self, key: str, attributes: Attributes) -> None:
        """Create a server group."""
        told = {"name": key} | attributes
        made = create(self.compute, "os-server-groups", told, microversion=MICROVERSION)
        self.ids["server-groups", key] = made["id"]

    def server(self, key: str, attributes: Attributes) -> str:
        """Ask for a server, after its ports; returns its id."""
        told = {"name": key} | {name: value for name, value in attributes.items() if name not in NOT_ATTRIBUTES}
        told["flavorRef"] = self.compute.find_flavor(attributes["flavor"], ignore_missing=False).id
        told["networks"] = [{"port": self.port(port)} for port in attributes["ports"]]
        if image := attributes.get("image"):
            told["imageRef"] = self.ids["images", image]
        if text := attributes.get("user_data"):
            told["user_data"] = base64.b64encode(text.encode()).decode()
        if disks := attributes.get("disks"):
            told["block_device_mapping_v2"] = [self.disk(disk) for disk in disks]
        body: Attributes = {"server": told}
        if group := attributes.get("group"):
            body["os:scheduler_hints"] = {"group": self.ids["server-groups", group]}
        return str(call(self.compute, "POST", "/servers", body, microversion=MICROVERSION)["server"]["id"])

    def disk(self, disk: Attributes) -> Attributes:
        """What nova is told about a volume."""
        told = {"boot_index": -1, "source_type": "volume", "destination_type": "volume"} | disk
        return told | {"uuid": self.ids["volumes", told.pop("volume")]}

    def port(self, port: Attributes) -> str:
        """Create a port and its floating IP; returns the port's id."""
        told = {name: value for name, value in port.items() if name not in NOT_OF_PORTS}
        told["network_id"] = self.ids["networks", port["network"]]
        told["fixed_ips"] = [
            {name: value for name, value in ip.items() if name != "subnet"}
            | {"subnet_id": self.ids["subnets", ip["subnet"]]}
            for ip in port["fixed_ips"]
        ]
        if "security_groups" in port:
            told["security_groups"] = [self.ids["security-groups", group] for group in port["security_groups"]]
        made = self.tagged("ports", told, port.get("tags"))
        if (wanted := port.get("floating_ip")) is not None:
            public = self.network.find_network("public", ignore_missing=False).id
            address = {name: value for name, value in wanted.items() if name != "tags"}
            self.tagged("floatingips", address | {"floating_network_id": public, "port_id": made}, wanted.get("tags"))
        return made

    def tagged(self, collection: str, told: Attributes, tags: list[str] | None) -> str:
        """Create something of neutron and tag it; returns its id."""
        made = str(create(self.network, collection, told)["id"])
        if tags:
            call(self.network, "PUT", f"/{collection}/{made}/tags", {"tags": tags})
        return made

    def complete(self, key: str, server: str, attributes: Attributes) -> None:
        """Wait for a server, write into its root disk, switch it off if it is to be."""
        found = self.wait(self.compute.get_server(server), "ACTIVE")
        if root := attributes.get("root"):
            fill(self.disks.root(server), key, root)
        if attributes.get("stopped"):
            self.compute.stop_server(found)
            self.wait(found, "SHUTOFF")

    def wait(self, server: Any, status: str) -> Any:
        """Wait for a status."""
        return self.compute.wait_for_server(server, status, interval=0.1, wait=WAIT_SECONDS)


def build(
    connection: Connection, disks: Disks, ids: Ids, description: dict[str, Any], tell: Callable[[str], None]
) -> None:
    """Create server groups and servers; nova works at all servers at once."""
    builder = ServerBuilder(connection, disks, ids)
    for key, attributes in description["server_groups"].items():
        builder.group(key, attributes)
    made = {key: builder.server(key, attributes) for key, attributes in description["servers"].items()}
    for key, server in made.items():
        builder.complete(key, server, description["servers"][key])
        tell(f"server {key}")
