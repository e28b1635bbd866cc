"""Ports, floating IPs and trunks that belong to no server: they cross with servers only. Pure, but for the listings."""

from __future__ import annotations

from collections.abc import Iterator

from stackferry.resources.conversion import MARK
from stackferry.resources.staying import Staying
from stackferry.resources.view import Record, View

#: begins the owner of what Neutron makes by itself: DHCP, gateways, legs of routers, high availability
OF_NEUTRON = "network:"
ALONE = "it belongs to no server"


def leftovers(view: View) -> Iterator[Staying]:
    """Yield them; what conversion hosts are made of is left out."""
    servers = {record["id"] for record in view.records("server")}
    ports = {port["id"]: port for port in view.records("port")}
    with_servers = {id_ for id_, port in ports.items() if port["device_id"] in servers}
    for trunk in view.records("trunk"):
        if trunk["port_id"] in with_servers:
            with_servers |= {sub["port_id"] for sub in trunk["sub_ports"] or ()}
        else:
            yield _staying("trunk", trunk, ALONE)
    for port in ports.values():
        automatic = str(port["device_owner"]).startswith(OF_NEUTRON) or port["description"] == MARK
        if port["id"] not in with_servers and not automatic:
            yield _staying("port", port, _used(port))
    for ip in view.records("floating_ip"):
        if ip["port_id"] not in with_servers and ip["description"] != MARK:
            yield Staying("floating IP", ip["id"], ip["floating_ip_address"], ALONE)


def _staying(type_: str, record: Record, reason: str) -> Staying:
    addresses = ", ".join(str(ip["ip_address"]) for ip in record.get("fixed_ips") or ())
    return Staying(type_, record["id"], record["name"] or addresses or None, reason)


def _used(port: Record) -> str:
    owner = port["device_owner"] or port["device_id"]
    return f"it's used by {owner}, which does not cross" if owner and owner != "trunk:subport" else ALONE
