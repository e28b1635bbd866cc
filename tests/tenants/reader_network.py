"""Read what a project has in Neutron. Source: Networking API v2.0; the answers as they are, no library in between."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from .reading import Bag, Link, Object, bag, link

Answer = dict[str, Any]
PLAIN = {
    "network": ("name", "description", "mtu", "port_security_enabled", "admin_state_up", "dns_domain", "shared",
                "router:external", "vlan_transparent"),
    "subnet": ("name", "description", "cidr", "ip_version", "gateway_ip", "enable_dhcp", "ipv6_address_mode", "ipv6_ra_mode",
               "dns_nameservers", "dns_publish_fixed_ip"),
    "router": ("name", "description", "admin_state_up", "distributed", "ha"),
    "port": ("name", "description", "admin_state_up", "mac_address", "port_security_enabled", "dns_name", "dns_domain",
             "binding:vnic_type", "propagate_uplink_status"),
    "security_group": ("name", "description", "stateful", "shared"),
    "rule": ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "description"),
    "address_group": ("name", "description"),
    "trunk": ("name", "description", "admin_state_up"),
    "floating_ip": ("description", "fixed_ip_address", "floating_ip_address", "dns_name", "dns_domain"),
    "port_forwarding": ("internal_ip_address", "internal_port", "internal_port_range", "external_port",
                        "external_port_range", "protocol", "description"),
    "rbac_policy": ("object_type", "action", "target_tenant"),
}  # fmt: skip
LEGS = ("network:router_interface", "network:ha_router_replicated_interface", "network:router_interface_distributed")


def read(service: Any, project: str) -> Iterator[Object]:
    """Yield every object of the project; what it has only in others' networks, too."""

    def listing(collection: str) -> list[Answer]:
        answer = service.get(f"/{collection}?project_id={project}").json()
        return list(answer[collection.replace("-", "_")])

    outside = {n["id"]: n["name"] for n in service.get("/networks?router:external=true").json()["networks"]}
    for found in listing("networks"):
        yield _object("network", found, tags=bag(found["tags"]), zones=bag(found["availability_zone_hints"]),
                      qos=link(found.get("qos_policy_id")))  # fmt: skip
    for found in listing("subnets"):
        yield _object(
            "subnet", found, network=link(found["network_id"]), tags=bag(found["tags"]),
            pools=bag(found["allocation_pools"]), host_routes=bag(found["host_routes"]),
            service_types=bag(found["service_types"]), subnetpool=found["subnetpool_id"],
        )  # fmt: skip
    for found in listing("routers"):
        gateway = found["external_gateway_info"]
        told = {"network": outside.get(gateway["network_id"], gateway["network_id"]), "enable_snat": gateway["enable_snat"],
                "qos": gateway.get("qos_policy_id")} if gateway else None  # fmt: skip
        yield _object("router", found, tags=bag(found["tags"]), routes=bag(found["routes"]), gateway=told,
                      gateway_addresses=bag(_outside(gateway)),
                      zones=bag(found["availability_zone_hints"]))  # fmt: skip
    for found in listing("ports"):
        if found["device_owner"] != "network:dhcp":
            yield _port(found)
    for found in listing("security-groups"):
        yield _object("security_group", found, tags=bag(found["tags"]))
        for rule in found["security_group_rules"]:
            rule = {**rule, "description": rule["description"] or ""}  # Neutron's own have none at all
            yield _object("rule", rule, group=link(rule["security_group_id"]), remote_group=link(rule["remote_group_id"]),
                          remote_address_group=link(rule["remote_address_group_id"]))  # fmt: skip
    for found in listing("address-groups"):
        yield _object("address_group", found, addresses=bag(str(ipaddress.ip_network(a)) for a in found["addresses"]))
    for found in listing("trunks"):
        inside = [{"port": link(s["port_id"]), "type": s["segmentation_type"], "id": s["segmentation_id"]}
                  for s in found["sub_ports"]]  # fmt: skip
        yield _object("trunk", found, port=link(found["port_id"]), sub_ports=bag(inside), tags=bag(found["tags"]))
    for found in listing("floatingips"):
        yield _object("floating_ip", found, port=link(found["port_id"]), tags=bag(found["tags"]),
                      network=outside.get(found["floating_network_id"]), qos=found.get("qos_policy_id"))  # fmt: skip
        for rule in service.get(f"/floatingips/{found['id']}/port_forwardings").json()["port_forwardings"]:
            yield _object("port_forwarding", rule, floating_ip=link(found["id"]), port=link(rule["internal_port_id"]))
    for found in listing("rbac-policies"):
        yield _object("rbac_policy", found, object=link(found["object_id"]))


def _outside(gateway: Answer | None) -> list[str]:
    return [ip["ip_address"] for ip in (gateway or {}).get("external_fixed_ips") or ()]


def _object(kind: str, found: Answer, **more: Any) -> Object:
    told = {name: found[name] for name in PLAIN[kind] if name in found}
    return Object(kind, str(found["id"]), told | more)


def _port(found: Answer) -> Object:
    ips = Bag(tuple({"subnet": link(ip["subnet_id"]), "address": ip["ip_address"]} for ip in found["fixed_ips"]))
    owner = found["device_owner"]
    owner = "network:router_interface" if owner in LEGS else owner
    return _object(
        "port", found, network=link(found["network_id"]), fixed_ips=ips, tags=bag(found["tags"]), owner=owner,
        device=Link(found["device_id"]) if found["device_id"] else None, qos=found.get("qos_policy_id"),
        security_groups=bag(link(id_) for id_ in found["security_groups"]),
        address_pairs=bag(_pair(found, pair) for pair in found["allowed_address_pairs"]),
        dhcp_options=bag(found["extra_dhcp_opts"]),
    )  # fmt: skip


def _pair(port: Answer, pair: Answer) -> Answer:
    """An address pair; one without a MAC address of its own has that of its port."""
    return pair | {"mac_address": "own" if pair["mac_address"] == port["mac_address"] else pair["mac_address"]}
