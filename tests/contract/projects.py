"""A project with one resource of every kind, what both clouds have anyway, and a migration without a bus."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import Any

from openstack.block_storage.v3.availability_zone import AvailabilityZone as VolumeZone
from openstack.block_storage.v3.type import Type as VolumeType
from openstack.compute.v2.availability_zone import AvailabilityZone
from openstack.compute.v2.flavor import Flavor as ComputeFlavor
from openstack.compute.v2.keypair import Keypair
from openstack.compute.v2.server_group import ServerGroup
from openstack.identity.v3.project import Project
from openstack.network.v2.address_group import AddressGroup
from openstack.network.v2.availability_zone import AvailabilityZone as NetworkZone
from openstack.network.v2.flavor import Flavor
from openstack.network.v2.floating_ip import FloatingIP
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from openstack.network.v2.port_forwarding import PortForwarding
from openstack.network.v2.qos_policy import QoSPolicy
from openstack.network.v2.router import Router
from openstack.network.v2.security_group import SecurityGroup
from openstack.network.v2.security_group_rule import SecurityGroupRule
from openstack.network.v2.segment import Segment
from openstack.network.v2.subnet import Subnet
from openstack.network.v2.subnet_pool import SubnetPool
from openstack.network.v2.trunk import Trunk
from stackferry.resources import KINDS
from stackferry.resources.answer import checked
from stackferry.resources.view import View
from stackferry_clouds import apply
from stackferry_clouds.apply import Outcome
from stackferry_clouds.export import documents as documents_of
from stackferry_clouds.view import ProjectView
from stackferry_coordinator.commands.resources import planned_hints
from stackferry_coordinator.plan.node import Node

from ..graphs import build
from .fake_cloud import Cloud
from .fake_glance import BINARY, seed_image

Document = dict[str, Any]
#: every kind that this contract is about; what belongs to servers has tests of its own
NAMES = sorted(name for name, kind in KINDS.items() if not kind.by_workload)
#: what images hold, by the hash that their documents say
PAYLOADS = {
    hashlib.sha512(payload).hexdigest(): payload for payload in (b"kernel", b"ramdisk", b"disk", b"one", b"two")
}


def infrastructure() -> Cloud:
    """A cloud without tenants' resources: what operators provide, called the same everywhere."""
    cloud = Cloud()
    theirs = {"project_id": cloud.operators["id"]}
    for policy in ("gold", "silver"):
        cloud.seed(QoSPolicy, name=policy, is_shared=True, **theirs)
    for number, name in enumerate(("public", "public2")):
        outside = cloud.seed(Network, name=name, is_router_external=True, **theirs)
        cloud.seed(
            Subnet, name=f"{name}-v4", network_id=outside["id"], cidr=f"203.0.{number}.0/24", ip_version=4,
            gateway_ip=f"203.0.{number}.1", allocation_pools=[{"start": f"203.0.{number}.9", "end": "203.0.1.99"}],
            **theirs,
        )  # fmt: skip
    cloud.seed(Segment, name="rack1")
    cloud.seed(Segment, name="rack2")
    cloud.seed(SubnetPool, name="pool1")
    cloud.seed(SubnetPool, name="pool2")
    cloud.seed(Flavor, name="big")
    cloud.seed(Flavor, name="small")
    for zone in ("nova", "z2"):
        cloud.seed(AvailabilityZone, name=zone)
        cloud.seed(VolumeZone, name=zone)
    for resource in ("network", "router"):
        for zone in "abz":
            cloud.seed(NetworkZone, name=zone, resource=resource)
    for name in ("__DEFAULT__", "gold"):
        cloud.seed(VolumeType, name=name)
    cloud.seed(ComputeFlavor, name="m1", vcpus=2, ram=1024, disk=10)
    seed_image(cloud, "base", b"base", visibility="public", owner_id=cloud.operators["id"], min_disk=5, min_ram=512)
    for project in ("partner", "partner2", "partner3"):
        cloud.seed(Project, name=project, domain_id=cloud.project["domain_id"])
    seed_image(cloud, "cirros", b"cirros", visibility="public", owner_id=cloud.operators["id"])
    return cloud


def by_name(cloud: Cloud, cls: type, name: str) -> str:
    return next(row["id"] for row in cloud.all(cls) if row["name"] == name)


def populated(admin: bool) -> Cloud:
    """A project with every kind, every field said; as an administrator would make it, or as a tenant can."""
    cloud = infrastructure()
    gold = by_name(cloud, QoSPolicy, "gold")
    net = cloud.seed(
        Network, name="net", description="the net", availability_zone_hints=["b", "a"], dns_domain="example.org.",
        is_admin_state_up=False, is_default=admin, is_port_security_enabled=False, is_router_external=False,
        is_shared=admin, is_vlan_transparent=True, mtu=1400, tags=["t2", "t1"], qos_policy_id=gold,
        provider_network_type="vlan" if admin else None, provider_physical_network="physnet" if admin else None,
        provider_segmentation_id=456 if admin else None,
        segments=[{"provider:network_type": "vlan", "provider:segmentation_id": 7}] if admin else None,
    )  # fmt: skip
    subnet = cloud.seed(
        Subnet, name="subnet", description="the subnet", network_id=net["id"], cidr="10.0.0.0/24", ip_version=4,
        gateway_ip="10.0.0.1", allocation_pools=[{"start": "10.0.0.50", "end": "10.0.0.60"},
                                                 {"start": "10.0.0.10", "end": "10.0.0.20"}],
        dns_nameservers=["9.9.9.9", "1.1.1.1"], is_dhcp_enabled=False, dns_publish_fixed_ip=True,
        host_routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}], tags=["b", "a"],
        service_types=["compute:nova"], segment_id=by_name(cloud, Segment, "rack1") if admin else None,
        subnet_pool_id=by_name(cloud, SubnetPool, "pool1"),
    )  # fmt: skip
    cloud.seed(
        Subnet, name="subnet6", network_id=net["id"], cidr="2001:db8::/64", ip_version=6, gateway_ip=None,
        allocation_pools=[{"start": "2001:db8::2", "end": "2001:db8::ffff"}],
        ipv6_address_mode="slaac", ipv6_ra_mode="slaac",
    )  # fmt: skip
    public, outside = by_name(cloud, Network, "public"), by_name(cloud, Subnet, "public-v4")
    router = cloud.seed(
        Router, name="router", description="the router", availability_zone_hints=["z"], is_admin_state_up=False,
        is_distributed=admin, is_ha=admin, flavor_id=by_name(cloud, Flavor, "big"), tags=["r"],
        external_gateway_info={
            "network_id": public, "enable_snat": not admin, "qos_policy_id": gold,
            "external_fixed_ips": [{"subnet_id": outside, "ip_address": "203.0.0.9"}],
        },
        routes=[{"destination": "10.77.0.0/16", "nexthop": "10.0.0.7"}],
    )  # fmt: skip
    cloud.seed(
        Port, network_id=net["id"], device_id=router["id"], device_owner="network:router_interface", name="leg of it", description="the way out", tags=["leg"],
        fixed_ips=[{"subnet_id": subnet["id"], "ip_address": "10.0.0.2"}], mac_address="fa:16:3e:00:00:01",
    )  # fmt: skip
    group = cloud.seed(
        SecurityGroup, name="group", description="the group", stateful=False, is_shared=False, tags=["g"]
    )
    other = cloud.seed(SecurityGroup, name="other")
    cloud.seed(SecurityGroup, name="third")
    addresses = cloud.seed(
        AddressGroup, name="addresses", description="the addresses", addresses=["10.1.0.0/24", "10.2.0.1/32"]
    )
    for rule in (
        {"direction": "egress", "ether_type": "IPv6"},
        {"direction": "ingress", "remote_group_id": group["id"], "description": "each other"},
        {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 23,
         "remote_ip_prefix": "10.3.0.0/16", "description": "log in"},
        {"direction": "ingress", "protocol": "6", "port_range_min": 80, "port_range_max": 80,
         "remote_address_group_id": addresses["id"]},
    ):  # fmt: skip
        cloud.seed(SecurityGroupRule, security_group_id=group["id"], **rule)
    cloud.seed(SecurityGroupRule, security_group_id=other["id"], direction="ingress", remote_group_id=group["id"])
    cloud.seed(
        Keypair, name="key", public_key="ssh-ed25519 AAAA user@host", type="ssh", user_id="user", fingerprint="aa:bb"
    )
    cloud.seed(ServerGroup, name="apart", policy="anti-affinity", rules={"max_server_per_host": 2}, user_id="user")
    populate_images(cloud, admin)
    populate_free_ports(cloud, admin, net["id"], subnet["id"], [group["id"], other["id"]])
    return cloud


def populate_free_ports(cloud: Cloud, admin: bool, net: str, subnet: str, groups: list[str]) -> None:
    """Ports, floating IPs, a forwarded port and a trunk that belong to no server."""
    gold, public = by_name(cloud, QoSPolicy, "gold"), by_name(cloud, Network, "public")

    def port(number: int, **more: Any) -> dict[str, Any]:
        addresses = [{"subnet_id": subnet, "ip_address": f"10.0.0.{number}"}]
        own = {"mac_address": f"fa:16:3e:00:02:{number}", "security_group_ids": groups[:1], "fixed_ips": addresses}
        return cloud.seed(Port, network_id=net, **{**own, **more})

    vip = port(
        30, name="vip", description="the VIP", tags=["q", "p"], security_group_ids=groups,
        allowed_address_pairs=[{"ip_address": "10.0.0.99", "mac_address": "fa:16:3e:00:01:02"}],
        binding_profile={"capabilities": ["switchdev"]} if admin else None, dns_domain="example.org.", dns_name="vip",
        extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}], is_admin_state_up=False,
        fixed_ips=[{"subnet_id": subnet, "ip_address": "10.0.0.30"}, {"subnet_id": subnet, "ip_address": "10.0.0.31"}],
        propagate_uplink_status=True, qos_policy_id=gold,
    )  # fmt: skip
    port(32, name="vip2")
    parent, inside = port(33), port(34)
    place = {"port_id": inside["id"], "segmentation_id": 7, "segmentation_type": "vlan"}
    trunk = cloud.seed(Trunk, name="free trunk", description="of no server", is_admin_state_up=False, tags=["t"],
                       port_id=parent["id"], sub_ports=[place])  # fmt: skip
    inside.update(device_id=trunk["id"], device_owner="trunk:subport")
    cloud.seed(
        FloatingIP, floating_network_id=public, floating_ip_address="203.0.0.50", port_id=vip["id"], tags=["f"],
        fixed_ip_address="10.0.0.31", description="to the VIP", dns_domain="example.org.", dns_name="door",
        qos_policy_id=gold,
    )  # fmt: skip
    unattached = [
        cloud.seed(FloatingIP, floating_network_id=public, floating_ip_address=f"203.0.0.{n}") for n in (51, 52)
    ]
    cloud.seed(
        PortForwarding, floatingip_id=unattached[0]["id"], internal_port_id=vip["id"], internal_ip_address="10.0.0.30",
        internal_port=22, external_port=2222, protocol="tcp", description="log in",
    )  # fmt: skip


def populate_images(cloud: Cloud, admin: bool) -> None:
    """One with every property said; one that a server was made into; what one boots with."""
    kernel = seed_image(cloud, "kernel", b"kernel", disk_format="aki", container_format="aki", visibility="private")
    ramdisk = seed_image(cloud, "ramdisk", b"ramdisk", disk_format="ari", container_format="ari", visibility="private")
    seed_image(
        cloud, "image", b"disk", disk_format="qcow2", kernel_id=kernel["id"], ramdisk_id=ramdisk["id"],
        is_hidden=True, is_protected=True, min_disk=1, min_ram=256, tags=["t2", "t1"], visibility="shared",
        members=[by_name(cloud, Project, name) for name in ("partner2", "partner")],
        properties={"com.example/owner~1": "Ольга", "hw_firmware_type": "uefi"},
        architecture="x86_64", has_auto_disk_config="true", hw_cpu_cores="2", hw_cpu_policy="dedicated",
        hw_cpu_sockets="3", hw_cpu_thread_policy="isolate", hw_cpu_threads="4", hw_disk_bus="scsi",
        hw_machine_type="q35", hw_qemu_guest_agent="yes", hw_rng_model="virtio", hw_scsi_model="virtio-scsi",
        hw_serial_port_count="5", hw_video_model="vga", hw_video_ram="64", hw_vif_model="e1000",
        hw_watchdog_action="reset", hypervisor_type="qemu", instance_type_rxtx_factor="1.5",
        is_hw_boot_menu_enabled="true", is_hw_vif_multiqueue_enabled="false", needs_config_drive="optional",
        needs_secure_boot="required", os_admin_user="root", os_command_line="quiet", os_distro="debian",
        os_require_quiesce="true", os_shutdown_timeout="60", os_type="linux", os_version="12", vm_mode="hvm",
        vmware_adaptertype="ide", vmware_ostype="debian",
    )  # fmt: skip
    seed_image(
        cloud, "snapshot", b"two", visibility="public" if admin else "private", instance_uuid=uuid.uuid4().hex,
        properties={"base_image_ref": kernel["id"], "user_id": cloud.project["id"], "image_type": "snapshot"},
    )  # fmt: skip


def view(cloud: Cloud, admin: bool = False) -> View:
    """A fresh look at the project."""
    return ProjectView(cloud.connect(admin), cloud.project["id"], admin)


def exported(cloud: Cloud, admin: bool = False) -> dict[str, list[Document]]:
    look = view(cloud, admin)
    return {kind: documents_of(kind, look) for kind in NAMES}


def flat(documents: dict[str, list[Document]]) -> list[Document]:
    return [document for kind in NAMES for document in documents[kind]]


def migrate(
    documents: list[Document], look: View, verb: Callable[..., Outcome] = apply.ensure, claims: bool = True
) -> dict[str, Outcome]:
    """Do what coordinator and importer do together: step key → what came of it."""
    ended: dict[str, Outcome] = {}
    for node in build(documents, payloads=verb is apply.ensure, all_rules=True):
        assert node.problem is None, node.problem
        if node.action == "transfer":
            ended[node.key] = transferred(node, ended[node.key.removesuffix("/transfer")], look)
            continue
        ids = {path: ended[key].destination_id for path, key in node.links.items()}
        paths = iter([path for path, _, _ in node.kind.links(node.document["params"])])
        params = node.kind.map_links(
            node.document["params"],
            lambda _, ref, ids=ids, paths=paths: {**ref, "id": ids.get(next(paths)) or None},
        )
        document, hints = {**node.document, "params": params}, planned_hints(node.planned)
        twins = [ended[key].destination_id for key in node.planned.twin_keys if key in ended]
        if claims and twins:
            hints["claimed"] = twins
        if node.kind.takes_id:
            hints["new_id"] = str(uuid.uuid4())
        if node.action == "finish":
            hints["destination_id"] = ended[node.key.removesuffix("/finish")].destination_id
        ended[node.key] = (verb if node.action == "ensure" else apply.finish)(node.kind.kind, document, look, hints)
    return ended


def transferred(node: Node, owner: Outcome, look: View) -> Outcome:
    """Do what exporter and importer do together: bring the payload, unless it's there."""
    if not owner.payload_missing:
        return Outcome("unchanged", owner.destination_id)
    payload = PAYLOADS[node.document["params"]["hash_value"]]
    checked(look.proxy("image").put(f"/images/{owner.destination_id}/file", data=payload, headers=BINARY))
    return Outcome("created", owner.destination_id)


def outcomes(ended: dict[str, Outcome]) -> dict[str, tuple[str, str | None]]:
    """What came of each step, with the reason: what a failing assertion should show."""
    return {key: (outcome.outcome, outcome.reason) for key, outcome in ended.items()}
