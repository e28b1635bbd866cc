"""Floating IPs that lead to no server: to a free port, to forwarded ports, or nowhere."""

from __future__ import annotations

import ipaddress
from typing import Any

from .comparing import same
from .fields import Address
from .floating_ip import FloatingIp
from .free_port import is_free, is_of_server
from .hints import Hints
from .marks import made_by_an_earlier_try
from .port import owner
from .port_ref import PortRef
from .view import PENDING, Record, Taken, View


class FreeFloatingIp(FloatingIp):
    """An external address of no server. A member can't choose it, so that it may be another one at the destination.

    It's found by the port that it leads to, by its address, or by all else that it says.
    """

    type = "openstack.network.FloatingIP"
    file = "floating_ips"
    nested = False
    by_workload = False
    initial = frozenset()
    fixed = frozenset({"dns_domain", "dns_name", "floating_network_ref"})

    port_ref = PortRef("the port that it leads to")

    @classmethod
    def called(cls, params: dict[str, Any]) -> str | None:
        return params.get("floating_ip_address")

    @classmethod
    def namesake(cls, params: dict[str, Any]) -> Any:
        """What leads to no port may be mistaken for any other; what does has a place of its own."""
        return None if params.get("port_ref") else ""

    @classmethod
    def stands_alone(cls, view: View, record: Record) -> bool:
        port = view.own("port", record["port_id"]) if record["port_id"] else None
        return port is None or not is_of_server(view, port)

    @classmethod
    def obstacle(cls, view: View, record: Record) -> str | None:
        if not record["port_id"]:
            return None
        port = view.own("port", record["port_id"])
        if port is None or not is_free(view, port):
            return f"it leads to {owner(view, port) if port else 'a port of another project'}, which does not cross"
        return None

    @classmethod
    def prepare(cls, params: dict[str, Any], view: View) -> tuple[dict[str, Any], list[str]]:
        """An address behind it makes sense with a port only."""
        params, notes = super().prepare(params, view)
        return {n: v for n, v in params.items() if n != "fixed_ip_address" or params.get("port_ref")}, notes

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """What leads to its port; else the same address, or others that are unused, if they're all that it says."""
        canonical, port = Address().canonical, body.get("port_id")
        known, address = view.records(cls.kind), canonical(body.get("floating_ip_address"))
        if port:
            behind = canonical(body.get("fixed_ip_address"))
            mine = [r for r in known if r["port_id"] == port]
            if ours := [r for r in mine if not behind or canonical(r["fixed_ip_address"]) == behind]:
                return ours
        wanted = {n: v for n, v in body.items() if n not in ("port_id", "fixed_ip_address")}
        free = [r for r in known if not r["port_id"]]
        equal = [r for r in free if same(cls, wanted, r) or made_by_an_earlier_try(r, hints)]
        for record in (r for r in known if address and canonical(r["floating_ip_address"]) == address):
            if record in equal:
                return [record]
            user = view.get("port", record["port_id"]) if record["port_id"] else None
            what = f"is in use here, by {owner(view, user)}" if user else "belongs to another floating IP here"
            raise Taken(f"{address} {what} ({record['id']})")
        if cls._choosable(view, body):
            cls._free_everywhere(view, body["floating_network_id"], str(address))
        return equal if not port else [r for r in equal if made_by_an_earlier_try(r, hints)]

    @classmethod
    def _choosable(cls, view: View, body: dict[str, Any]) -> bool:
        """Whether this user may ask for the address, and the external network has it."""
        address, network = body.get("floating_ip_address"), body.get("floating_network_id")
        if not (view.is_admin and address and network and network != PENDING):
            return False
        listed = view.once(
            f"ranges of {network}", lambda: [s.cidr for s in view.proxy("network").subnets(network_id=network)]
        )
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(cidr) for cidr in listed)

    @classmethod
    def _free_everywhere(cls, view: View, network: str, address: str) -> None:
        """An administrator sees who else has it: a router, a floating IP of another project."""
        for port in view.proxy("network").ports(network_id=network, fixed_ips=f"ip_address={address}"):
            what = port.device_owner or "reserved"
            raise Taken(f"{address} is in use here, by port {port.id} of project {port.project_id} ({what})")

    @classmethod
    def provisos(cls, view: View, document: dict[str, Any]) -> list[str]:
        """Whether its address will be another one."""
        params = document["params"]
        address, network = params.get("floating_ip_address"), params["floating_network_ref"]
        body = {"floating_ip_address": address, "floating_network_id": view.resolve("network", network)}
        if not address or cls._choosable(view, body):
            return []
        why = "the external network here does not have it" if view.is_admin else "only an administrator can choose it"
        return [f"it gets another address than {address}: {why}"]

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """With the same address where it can be chosen."""
        chosen = {"floating_ip_address": body["floating_ip_address"]} if cls._choosable(view, body) else {}
        told = {n: v for n, v in body.items() if n != "floating_ip_address"}
        return super(FloatingIp, cls).create(view, {**told, **chosen}, hints)

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
        """Change it; the address behind it is told with its port."""
        if "fixed_ip_address" in body and "port_id" not in body:
            body["port_id"] = record["port_id"]
        return super(FloatingIp, cls).update(view, record, body, hints)
