"""Floating IPs of servers. Source: Networking API v2.0, "Floating IPs".

``hints.mode`` is the server's ``floating_ip_mode``, ``hints.port_id`` the port here. To undo means to delete what was
made, and to give back what was there before (``hints.mode`` is ``existing``).
"""

from __future__ import annotations

from typing import Any

from . import quotas
from .fields import Address, Many, Ref, Text
from .hints import Hints
from .kind import Kind, Replaced
from .port import owner
from .view import Record, Taken, View


class Reminder(Address):
    """The address at the source: it's found again here, or another one takes its place."""

    def differs(self, want: Any, have: Any) -> bool:
        return False


class FloatingIp(Kind):
    """An external address of a server's port. Whether it's the same or a new one says `floating_ip_mode`."""

    type = "openstack.network.ServerFloatingIP"
    nested = True
    by_workload = True
    certain = True
    singular = "ip"
    initial = frozenset({"dns_domain", "dns_name", "floating_network_ref"})
    info = (
        "created_at",
        "floating_network_id",
        "id",
        "port_id",
        "qos_policy_id",
        "router_id",
        "tags",
        "updated_at",
    )

    description = Text("free text")
    dns_domain = Text("domain of its name")
    dns_name = Text("its name")
    fixed_ip_address = Address("the address behind it")
    floating_ip_address = Reminder("the external address")
    floating_network_ref = Ref("network", "the external network", attribute="floating_network_id", required=True)
    qos_policy_ref = Ref("qos_policy", "quality of service")
    tags = Many(Text(), "labels")

    @classmethod
    def title(cls, params: dict[str, Any]) -> str:
        """Its address."""
        return str(params.get("floating_ip_address") or "(no address)")

    @classmethod
    def unwanted(cls, hints: Hints) -> str | None:
        return "left out: floating_ip_mode is skip" if hints.get("mode") == "skip" else None

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """The address that the port has already; else the same one as at the source, if it's free."""
        mode, port, known = hints.get("mode", "auto"), hints.get("port_id"), view.records(cls.kind)
        canonical, behind = Address().canonical, body.get("fixed_ip_address")
        address = canonical(body.get("floating_ip_address"))
        same = [r for r in known if address and canonical(r["floating_ip_address"]) == address]
        if mode == "existing":
            for record in (r for r in same if r["port_id"] and r["port_id"] != port):
                user = view.get("port", record["port_id"])
                raise Taken(f"{address} is in use here, by {owner(view, user) if user else record['port_id']}")
            return same
        mine = [r for r in known if port and r["port_id"] == port]
        ours = [r for r in mine if not behind or canonical(r["fixed_ip_address"]) == canonical(behind)]
        if ours or mode == "new":
            return ours
        return [r for r in same if not r["port_id"]]

    @classmethod
    def extra_changes(cls, view: View, record: Record, hints: Hints) -> list[dict[str, Any]]:
        """The port that it leads to."""
        return [{"field": "port", "from": was, "to": to} for was, to in cls.also_replaced(view, record, hints).values()]

    @classmethod
    def also_replaced(cls, view: View, record: Record, hints: Hints) -> Replaced:
        port = hints.get("port_id")
        return {"port_id": [record["port_id"], port]} if port and port != record["port_id"] else {}

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        """The address that must be there, or room for one more."""
        if hints.get("mode") == "existing":
            return [f"there is no floating IP {cls.title(document['params'])} in this project"]
        return quotas.beyond(view, {"floating_ips": 1})

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """A member can't choose the address."""
        body.pop("floating_ip_address", None)
        if port := hints.get("port_id"):
            body["port_id"] = port
        else:
            body.pop("fixed_ip_address", None)
        return super().create(view, body, hints)

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
        """Change it, and let it lead to the port."""
        if cls.extra_changes(view, record, hints):
            body["port_id"] = hints["port_id"]
        elif "fixed_ip_address" in body and "port_id" not in body:
            body["port_id"] = record["port_id"]  # Neutron wants both
        return super().update(view, record, body, hints)

    @classmethod
    def results(cls, record: Record) -> dict[str, Any]:
        """The address that it got."""
        return {"address": record["floating_ip_address"]}
