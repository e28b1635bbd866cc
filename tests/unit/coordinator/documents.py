"""Small documents for tests of the coordinator."""

from __future__ import annotations

from typing import Any

OWN = {"project_name": "%auth%", "domain_name": "%auth%"}


def ref(name: str) -> dict[str, Any]:
    return {"name": name, **OWN}


def document(type_: str, id_: str, params: dict[str, Any], **source_ids: str) -> dict[str, Any]:
    info = {"id": id_, **({"source_ids": source_ids} if source_ids else {})}
    return {"type": type_, "params": params, "_info": info, "_migration_params": {}}


def network(name: str, id_: str | None = None) -> dict[str, Any]:
    return document("openstack.network.Network", id_ or f"n-{name}", {"name": name})


def subnet(name: str, net: str) -> dict[str, Any]:
    params = {"name": name, "network_ref": ref(net), "cidr": "10.0.0.0/24", "ip_version": 4}
    return document("openstack.subnet.Subnet", f"s-{name}", params, network_ref=f"n-{net}")


def router(name: str, routes: bool = False) -> dict[str, Any]:
    found = [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}] if routes else []
    return document("openstack.network.Router", f"r-{name}", {"name": name, "routes": found})


def interface(router_name: str, net: str, sub: str) -> dict[str, Any]:
    ips = [{"ip_address": "10.0.0.1", "subnet_ref": ref(sub)}]
    params = {"device_ref": ref(router_name), "network_ref": ref(net), "fixed_ips_refs": ips}
    return document("openstack.network.RouterInterface", f"i-{router_name}-{sub}", params)


def forwarding(to: str) -> dict[str, Any]:
    """What comes after a server, by its port."""
    params = {"internal_port_ref": ref("p"), "protocol": "tcp", "internal_port": 22, "external_port": 22}
    return document("openstack.network.PortForwarding", f"pf-{to}", params, internal_port_ref=f"port-{to}")


def image(name: str, kernel: str | None = None, size: int | None = 3) -> dict[str, Any]:
    params = {"name": name, **({"kernel_ref": ref(kernel)} if kernel else {})}
    found = document("openstack.image.Image", f"i-{name}", params)
    return {**found, "_info": {**found["_info"], "size": size}}


def stack(number: int) -> list[dict[str, Any]]:
    """A network, a subnet, and a router with a leg in it and a static route."""
    net, sub, rtr = f"net{number}", f"sub{number}", f"rtr{number}"
    return [network(net), subnet(sub, net), router(rtr, routes=True), interface(rtr, net, sub)]


def volume(id_: str, size: int = 1, **info: Any) -> dict[str, Any]:
    found = document("openstack.network.ServerVolume", id_, {"name": id_})
    return {**found, "_info": {**found["_info"], "size": size, **info}}


def server(
    name: str, volumes: int = 1, status: str = "ACTIVE", net: str | None = None, size: int = 1
) -> dict[str, Any]:
    """A server with so many disks (of *size* GiB), a port and a floating IP."""
    link = {"network_ref": ref(net)} if net else {}
    port = document(
        "openstack.network.ServerPort", f"port-{name}", link, **({"network_ref": f"n-{net}"} if net else {})
    )
    address = document("openstack.network.ServerFloatingIP", f"fip-{name}", {"floating_network_ref": ref("ext")})
    address["_info"]["port_id"] = f"port-{name}"
    params = {"name": name, "flavor_ref": ref("small"), "ports": [port], "floating_ips": [address],
              "volumes": [volume(f"{name}-disk{n}", size, is_bootable=n == 0) for n in range(volumes)]}  # fmt: skip
    found = document("openstack.compute.Server", name, params)
    return {**found, "_info": {**found["_info"], "status": status}}


def trunked(found: dict[str, Any]) -> dict[str, Any]:
    """The same server, whose port carries another one in a trunk."""
    name, mac = found["_info"]["id"], "fa:16:3e:00:00:01"
    (port,) = found["params"]["ports"]
    port = {**port, "params": {**port["params"], "mac_address": mac.upper()}}
    place = {"segmentation_id": 7, "segmentation_type": "vlan", "trunk_mac_address": mac}
    inside = document("openstack.network.ServerSubPort", f"inside-{name}", place)
    trunk = document("openstack.network.ServerTrunk", f"trunk-{name}", {"mac_address": mac})
    return {**found, "params": {**found["params"], "ports": [port], "sub_ports": [inside], "trunks": [trunk]}}


def awaited(found: dict[str, Any]) -> dict[str, Any]:
    """The same server, which nobody stops but who runs it."""
    return {**found, "_migration_params": {**found["_migration_params"], "shutdown": "wait"}}


def as_found(found: dict[str, Any]) -> dict[str, Any]:
    """The same server, which is stopped at the destination if it was at the source."""
    return {**found, "_migration_params": {**found["_migration_params"], "power": "source"}}


def warm(found: dict[str, Any], **how: Any) -> dict[str, Any]:
    """The same server, copied while it runs."""
    return {**found, "_migration_params": {"mode": "warm", **how}}
