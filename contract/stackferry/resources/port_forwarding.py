"""Forwarded ports of floating IPs. Source: Networking API v2.0, "Floating IPs port forwarding"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .extensions import offered
from .fields import Address, Number, Ref, Text
from .hints import Hints
from .kind import Kind
from .port_ref import PortRef
from .view import Record, View

EXTENSION = "floating-ip-port-forwarding"


class PortForwarding(Kind):
    """A port of a floating IP that leads to a port of an address inside. The latter may be a server's.

    Its identity is the floating IP, the protocol and the external port.
    """

    type = "openstack.network.PortForwarding"
    file = "port_forwardings"
    filtered_by = "floating_ip_ref"
    certain = True
    fixed = frozenset({"floating_ip_ref"})
    info = ("id",)

    description = Text("free text")
    external_port = Number("port of the floating IP", required=True)
    floating_ip_ref = Ref("free_floating_ip", "the floating IP", attribute="floatingip_id", required=True)
    internal_ip_address = Address("the address that it leads to")
    internal_port = Number("port of that address", required=True)
    internal_port_ref = PortRef("Neutron's port that has the address", attribute="internal_port_id", required=True)
    protocol = Text("tcp, udp, icmp ...", required=True)

    @classmethod
    def title(cls, params: dict[str, Any]) -> str:
        """Outside, then inside."""
        outside = f"{(params.get('floating_ip_ref') or {}).get('name')}:{params.get('external_port')}"
        inside = f"{params.get('internal_ip_address')}:{params.get('internal_port')}"
        return f"{outside}/{params.get('protocol')} → {inside}"

    @classmethod
    def listing(cls, view: View) -> Iterable[Any]:
        """Those of each floating IP that leads to no port itself: one that does can't have any."""
        if offered(view, EXTENSION):
            for ip in view.records("free_floating_ip"):
                if not ip["port_id"]:
                    yield from view.proxy("network").port_forwardings(ip["id"])

    @classmethod
    def obstacle(cls, view: View, record: Record) -> str | None:
        return None if record["internal_port"] else "it forwards a range of ports"

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """The one that has the same place outside."""
        place = ("floatingip_id", "protocol", "external_port")
        return [r for r in view.records(cls.kind) if all(r[n] == body[n] for n in place)]

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        return [] if offered(view, EXTENSION) else [f"this cloud forwards no ports (Neutron's extension {EXTENSION!r})"]

    @classmethod
    def fetch(cls, view: View, id_: str) -> Any:
        """There is none by its id alone; those of the project's floating IPs are listed."""
        return None

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
        """Change it; what is inside is told as a whole."""
        inside = ("internal_port_id", "internal_ip_address", "internal_port")
        whole = {n: record[n] for n in inside} if body.keys() & set(inside) else {}
        return view.proxy("network").update_port_forwarding(record["id"], record["floatingip_id"], **{**whole, **body})

    @classmethod
    def afresh(cls, view: View, record: Record) -> Record | None:
        """It's found below its floating IP only."""
        now = view.proxy("network").get_port_forwarding(record["id"], record["floatingip_id"])
        return view.remember(cls.kind, now)

    @classmethod
    def delete(cls, view: View, record: Record) -> None:
        view.proxy("network").delete_port_forwarding(record["id"], record["floatingip_id"], ignore_missing=True)
