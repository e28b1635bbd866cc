"""Ports, floating IPs and trunks that no server has are named; those of servers, of Neutron and of hosts are not."""

from __future__ import annotations

from openstack.network.v2.floating_ip import FloatingIP
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from openstack.network.v2.trunk import Trunk
from stackferry.resources.conversion import MARK
from stackferry_exporter.leftovers import leftovers

from .projects import by_name, view
from .test_workloads import with_servers


def test_what_belongs_to_no_server_is_named_with_its_reason() -> None:
    cloud = with_servers()
    assert list(leftovers(view(cloud))) == []  # servers with ports, trunks, floating IPs; legs of routers
    net, public = by_name(cloud, Network, "net"), by_name(cloud, Network, "public")
    vip = cloud.seed(Port, network_id=net, fixed_ips=[{"ip_address": "10.0.0.44", "subnet_id": "s"}])
    cloud.seed(Port, network_id=net, name="lb", device_owner="Octavia", device_id="lb-1")
    cloud.seed(Port, network_id=net, name="dhcp", device_owner="network:dhcp", device_id="dhcp-1")
    cloud.seed(Port, network_id=net, name="host", description=MARK)
    cloud.seed(FloatingIP, floating_network_id=public, floating_ip_address="203.0.0.44")
    cloud.seed(Trunk, name="bundle", port_id=vip["id"])
    assert [(one.type, one.name, one.reason) for one in leftovers(view(cloud))] == [
        ("trunk", "bundle", "it belongs to no server"),
        ("port", "10.0.0.44", "it belongs to no server"),
        ("port", "lb", "it's used by Octavia, which does not cross"),
        ("floating IP", "203.0.0.44", "it belongs to no server"),
    ]
