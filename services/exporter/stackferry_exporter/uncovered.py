"""The types of objects that tenants have and no kind covers: a table of how each is listed, and why it stays.

A type is only asked for where the service catalogue has its service, and Neutron its extension.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NOT_MOVED = "Stackferry does not move them"
BY_NAME = "others refer to it by its name: make it at the destination first"
NETWORK, STORAGE = "network", "block-storage"


def _name(item: Any) -> str:
    return str(getattr(item, "name", None) or "")


def _never(item: Any) -> bool:
    return False


@dataclass(frozen=True)
class Uncovered:
    """One type: what people call one of it, its service as in the catalogue, and openstacksdk's call that lists it."""

    type: str
    service: str
    plural: str
    reason: str = NOT_MOVED
    #: of Neutron
    extension: str = ""
    #: what the listing is asked for; services that don't filter by themselves want the project
    query: dict[str, Any] = field(default_factory=dict)
    wants_project: bool = False
    #: kinds whose resources it belongs to: it's told with them when kinds are selected
    of: frozenset[str] = frozenset()
    name: Callable[[Any], str] = _name
    #: what the cloud, or a migration, made by itself
    automatic: Callable[[Any], bool] = _never


def _net(type_: str, plural: str, extension: str, reason: str = NOT_MOVED, of: str = "", **more: Any) -> Uncovered:
    kinds = frozenset(of.split())
    return Uncovered(type_, NETWORK, plural, reason, extension, wants_project=True, of=kinds, **more)


def _made_by_us(snapshot: Any) -> bool:
    return "stackferry" in (snapshot.metadata or {})


def _said_by_its_network(policy: Any) -> bool:
    """A network's own fields say that it's for everybody: they cross, or are noted."""
    return policy.object_type == "network" and policy.target_project_id == "*"


def _policy(policy: Any) -> str:
    return f"{policy.object_type} {policy.object_id} {policy.action} {policy.target_project_id}"


TABLE = (
    _net("RBAC policy", "rbac_policies", "rbac-policies", "share it again at the destination",
         "network qos_policy security_group address_group", name=_policy, automatic=_said_by_its_network),
    _net("QoS policy", "qos_policies", "qos", BY_NAME, "network router server"),
    _net("subnet pool", "subnet_pools", "subnet_allocation", BY_NAME, "subnet"),
    _net("address scope", "address_scopes", "address-scope", of="subnet"),
    _net("local IP", "local_ips", "local_ip"),
    _net("VPN service", "vpn_services", "vpnaas", of="router"),
    _net("VPN connection", "vpn_ipsec_site_connections", "vpnaas", of="router"),
    _net("VPN endpoint group", "vpn_endpoint_groups", "vpn-endpoint-groups", of="router"),
    _net("firewall group", "firewall_groups", "fwaas_v2", automatic=lambda group: group.name == "default"),
    _net("firewall policy", "firewall_policies", "fwaas_v2"),
    _net("metering label", "metering_labels", "metering"),
    _net("NDP proxy", "ndp_proxies", "l3-ndp-proxy", of="router"),
    _net("BGP speaker", "bgp_speakers", "bgp"),
    _net("BGP VPN", "bgpvpns", "bgpvpn", of="network router"),
    _net("service function chain", "sfc_port_chains", "sfc"),
    _net("tap service", "tap_services", "taas"),
    Uncovered("volume snapshot", STORAGE, "snapshots", "a volume crosses as it is now, without its snapshots",
              of=frozenset(("volume", "server")), automatic=_made_by_us),
    Uncovered("volume backup", STORAGE, "backups", of=frozenset(("volume", "server"))),
    Uncovered("volume group", STORAGE, "groups", of=frozenset(("volume", "server"))),
    Uncovered("metadata namespace", "image", "metadef_namespaces"),
    Uncovered("load balancer", "load-balancer", "load_balancers", wants_project=True),
    Uncovered("DNS zone", "dns", "zones"),
    Uncovered("share", "shared-file-system", "shares"),
    Uncovered("share network", "shared-file-system", "share_networks"),
    Uncovered("share snapshot", "shared-file-system", "share_snapshots"),
    Uncovered("secret", "key-manager", "secrets"),
    Uncovered("secret container", "key-manager", "containers"),
    Uncovered("stack", "orchestration", "stacks", "what it made crosses as single resources, without the stack"),
    Uncovered("object container", "object-store", "containers"),
    Uncovered("container cluster", "container-infrastructure-management", "clusters"),
    Uncovered("cluster template", "container-infrastructure-management", "cluster_templates"),
    Uncovered("database", "database", "instances"),
    Uncovered("workflow", "workflow", "workflows"),
    Uncovered("cron trigger", "workflow", "cron_triggers"),
    Uncovered("message queue", "message", "queues"),
)  # fmt: skip

#: services that have nothing of a tenant's, or whose objects are all covered or listed above
KNOWN = frozenset({
    "accelerator", "bare-metal", "baremetal", "baremetal-introspection", "cloudformation", "compute", "compute_legacy",
    "ec2", "event", "identity", "image", "instance-ha", "meter", "metering", "metric", "monitoring",
    "monitoring-events", "network", "placement", "rating", "resource-optimization", "root-cause-analysis", "s3",
    *(row.service for row in TABLE),
})  # fmt: skip
