"""Trunks of servers, by which one port carries the frames of several networks, and their sub-ports.

``hints`` says what the ports have become: ``port_id``, and ``sub_ports`` as Neutron wants them. A trunk must be made
before its server, since drivers refuse to make one of a port that is in use. Source: Networking API v2.0, "Trunks".
"""

from __future__ import annotations

from typing import Any

from . import extensions
from .fields import Flag, Many, Number, Text
from .hints import Hints
from .kind import Kind
from .port import Mac, Port
from .view import Record, Taken, View


class SubPort(Port):
    """A port inside of a trunk, with a document like that of any port of a server; Neutron gives it its owner.

    Its MAC address is often that of the trunk's own port.
    """

    type = "openstack.network.ServerSubPort"
    initial = frozenset({"segmentation_id", "segmentation_type", "trunk_mac_address"})
    of_nova = ()

    dns_name = Text("its name in DNS")
    segmentation_id = Number("its number in the trunk (the VLAN that the server sees)", required=True)
    segmentation_type = Text("vlan, or inherit: that of its network", required=True)
    trunk_mac_address = Mac("MAC address of the server's port whose trunk it's in", required=True)

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """Its place in the trunk is told to the trunk."""
        return super().create(view, {n: v for n, v in body.items() if n not in cls.initial}, hints)


class Trunk(Kind):
    """What makes a trunk of a server's port. It's found by that port; its sub-ports are there before it."""

    type = "openstack.network.ServerTrunk"
    nested = True
    by_workload = True
    certain = True
    initial = frozenset({"mac_address"})
    info = ("created_at", "id", "port_id", "project_id", "status", "updated_at")
    reads = ("sub_ports",)

    name = Text("name; mostly empty")
    description = Text("free text")
    is_admin_state_up = Flag("whether its ports may be managed, and forward packets")
    mac_address = Mac("MAC address of the server's port that it's made of", required=True)
    tags = Many(Text(), "labels")

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """The trunk of the port, if an earlier try has made it; somebody else's has other ports inside."""
        port, wanted = hints.get("port_id"), {sub["port_id"] for sub in hints.get("sub_ports") or ()}
        found = [record for record in view.records(cls.kind) if port and record["port_id"] == port]
        for record in found:
            if {sub["port_id"] for sub in record["sub_ports"] or ()} != wanted:
                raise Taken(f"port {port} has a trunk with other sub-ports here already ({record['id']})")
        return found

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """Make it with all its sub-ports."""
        told = {name: value for name, value in body.items() if name not in cls.initial}
        return super().create(view, {**told, "port_id": hints["port_id"], "sub_ports": hints["sub_ports"]}, hints)

    @classmethod
    def delete(cls, view: View, record: Record) -> None:
        """Delete it; Neutron deletes none that is down."""
        if record["is_admin_state_up"] is False:
            view.proxy("network").update_trunk(record["id"], is_admin_state_up=True)
        super().delete(view, record)


def trunks(view: View, ports: list[Record]) -> tuple[list[Record], list[Record]]:
    """Return the trunks of these ports and their sub-ports, each with the MAC address of its trunk's port."""
    found, inside = [], []
    for port in ports:
        details = port["trunk_details"]
        trunk = view.own(Trunk.kind, details["trunk_id"]) if details else None
        if trunk is None:
            continue
        found.append({**trunk, "mac_address": port["mac_address"]})
        for sub in sorted(details.get("sub_ports") or (), key=lambda sub: int(sub["segmentation_id"])):
            if record := view.own(Port.kind, sub["port_id"]):
                place = {name: sub[name] for name in ("segmentation_id", "segmentation_type")}
                inside.append({**record, **place, "trunk_mac_address": port["mac_address"]})
    return found, inside


def offered(view: View) -> bool:
    """Whether this cloud has trunks at all."""
    return extensions.offered(view, "trunk")
