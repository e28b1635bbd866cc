"""What conversion hosts are made of is not exported, and everything else still is."""

from __future__ import annotations

from openstack.compute.v2.server import Server
from stackferry.resources.conversion import MARK, METADATA

from .projects import exported, flat, populated, view
from .test_workloads import servers, with_servers


def test_networks_routers_legs_groups_and_rules_of_hosts_stay() -> None:
    cloud = populated(admin=False)
    before = flat(exported(cloud))
    network = view(cloud).connection.network
    (outside,) = network.networks(name="public")
    wire = network.create_network(name="os_migrate_conv", description=MARK)
    subnet = network.create_subnet(
        network_id=wire.id, name="os_migrate_conv", description=MARK, ip_version=4, cidr="192.168.10.0/24"
    )
    router = network.create_router(
        name="os_migrate_conv", description=MARK, external_gateway_info={"network_id": outside.id}
    )
    network.add_interface_to_router(router.id, subnet=subnet.id)
    group = network.create_security_group(name="os_migrate_conv", description=MARK)  # with two rules of Neutron's own
    network.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp",
                                       port_range_min=22, port_range_max=22, ether_type="IPv4")  # fmt: skip
    assert flat(exported(cloud)) == before


def test_servers_that_are_hosts_stay() -> None:
    cloud = with_servers()
    before = servers(cloud)
    name, *others = sorted(before)
    (row,) = [row for row in cloud.rows[Server].values() if row["name"] == name]
    row["metadata"] = {**METADATA, "more": "x"}
    assert sorted(servers(cloud)) == others
