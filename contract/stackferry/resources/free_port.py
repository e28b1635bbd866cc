"""Ports that belong to no server: reserved addresses (a VIP), and what trunks without a server are made of."""

from __future__ import annotations

from typing import Any

from ..errors import EndedInError
from . import quotas
from .comparing import same
from .fields import Text
from .hints import Hints
from .marks import made_by_an_earlier_try
from .port import Port, addresses, owner
from .view import OWN, Record, View

#: begins the owner of what Neutron makes by itself: DHCP, gateways, legs of routers, high availability
OF_NEUTRON = "network:"
IN_TRUNK = "trunk:subport"
#: begins the owner of ports of servers; a free port may have it for the sake of its subnet's service types
OF_SERVERS = "compute:"


class FreePort(Port):
    """A port that nothing uses, or only a trunk without a server. It's found by its addresses and all that it says."""

    type = "openstack.network.Port"
    file = "ports"
    nested = False
    by_workload = False
    scope = "network_ref"
    of_nova = ()

    dns_name = Text("its name in DNS")

    @classmethod
    def stands_alone(cls, view: View, record: Record) -> bool:
        return not str(record["device_owner"]).startswith(OF_NEUTRON) and not is_of_server(view, record)

    @classmethod
    def obstacle(cls, view: View, record: Record) -> str | None:
        """What isn't a server may use it: a load balancer, a bare-metal machine, a server of another project."""
        return None if is_free(view, record) else f"{record['device_owner'] or record['device_id']} uses it"

    @classmethod
    def namesake(cls, params: dict[str, Any]) -> Any:
        """One in an own network is known by its addresses; elsewhere they may be others at the destination."""
        known: dict[str, Any] = {"fixed_ips": params.get("fixed_ips_refs"), "mac_address": params.get("mac_address")}
        own = (params.get("network_ref") or {}).get("project_name") == OWN
        return params.get("name") or "", tuple(sorted(addresses(known))) if own else ()

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """By an address; without one, free ports that are all that the document says."""
        if addresses(body):
            return super().candidates(view, body, hints)
        mine = [r for r in view.records(cls.kind) if r["network_id"] == body["network_id"] and is_free(view, r)]
        return [r for r in mine if made_by_an_earlier_try(r, hints) or same(cls, body, r)]

    @classmethod
    def in_use(cls, record: Record, hints: Hints) -> bool:
        return record["device_owner"] != IN_TRUNK and super().in_use(record, hints)

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        return quotas.beyond(view, {"ports": 1})

    @classmethod
    def take_back(cls, view: View, record: Record, hints: Hints) -> None:
        """Delete it, unless somebody has begun to use it: Neutron would take it away from a server."""
        now = view.refresh(cls.kind, record["id"])
        if now is not None and now["device_id"] and now["device_owner"] != IN_TRUNK:
            raise EndedInError(f"port {now['id']} is in use by now, by {owner(view, now)}: detach it first")
        cls.delete(view, record)


def is_free(view: View, port: Record) -> bool:
    """Whether nothing uses a port, or only a trunk whose own port is free."""
    if parent := _trunk_port(view, port):
        return is_free(view, parent)
    return not port["device_id"] and str(port["device_owner"] or OF_SERVERS).startswith(OF_SERVERS)


def is_of_server(view: View, port: Record) -> bool:
    """Whether a port is a server's of this project, or inside of a trunk of one: then it crosses with the server."""
    if parent := _trunk_port(view, port):
        return is_of_server(view, parent)
    return bool(port["device_id"]) and view.own("server", port["device_id"]) is not None


def _trunk_port(view: View, port: Record) -> Record | None:
    """The port that the trunk is made of in which this one is."""
    trunk = view.own("trunk", port["device_id"]) if port["device_owner"] == IN_TRUNK else None
    return view.own("port", trunk["port_id"]) if trunk else None
