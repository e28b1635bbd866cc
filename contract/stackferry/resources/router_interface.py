"""Router interfaces: the ports by which routers stand in subnets. Source: Networking API v2.0, "Routers"."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from .fields import Address, Flag, Many, Pattern, Ref, Struct, Text
from .hints import Hints
from .kind import Kind, set_tags
from .marks import made_by_an_earlier_try
from .port import Mac
from .subnet import choosable, overlapping
from .view import Record, Taken, View

OWNERS = (
    "network:router_interface",
    "network:ha_router_replicated_interface",
    "network:router_interface_distributed",
)


ROUTES_TRIES = 5


class RouterInterface(Kind):
    """A router's leg in a network; its identity is the router and the addresses."""

    type = "openstack.network.RouterInterface"
    file = "router_interfaces"
    singular = "port"
    filtered_by = "device_ref"
    fixed = frozenset({"device_ref", "network_ref"})
    initial = frozenset({"leg_name", "mac_address"})
    info = ("id", "project_id", "mac_address", "created_at", "updated_at", "revision_number")
    reads = ("is_port_security_enabled", "security_group_ids")

    description = Text("free text", empty=True)
    device_owner = Text("what kind of leg it is; the destination chooses its own")
    device_ref = Ref("router", "the router", attribute="device_id", required=True)
    network_ref = Ref("network", "the network it stands in", required=True)
    fixed_ips_refs = Pattern(
        Struct(ip_address=Address(required=True), subnet_ref=Ref("subnet", required=True)),
        "its addresses",
        attribute="fixed_ips",
    )
    is_admin_state_up = Flag("whether it forwards packets")
    leg_name = Text("name of its port; mostly empty", attribute="name")
    mac_address = Mac("its MAC address")
    tags = Many(Text(), "labels")

    @classmethod
    def title(cls, params: dict[str, Any]) -> str:
        """Router, then addresses."""
        ips = ", ".join(str(ip.get("ip_address")) for ip in params.get("fixed_ips_refs") or [])
        return f"{(params.get('device_ref') or {}).get('name') or '(no name)'}: {ips}"

    @classmethod
    def listing(cls, view: View) -> Iterable[Any]:
        """The project's ports that belong to routers."""
        yield from view.proxy("network").ports(project_id=view.project_id, device_owner=list(OWNERS))

    @classmethod
    def remarks(cls, view: View, record: Record) -> Iterable[str]:
        """A port that was made by hand, and plugged, may have what guards no router."""
        if record["is_port_security_enabled"] or record["security_group_ids"]:
            what = "its port_security and security groups stay, since they guard no leg of a router"
            yield f"router interface {record['name'] or record['id']}: {what}"

    @classmethod
    def prepare(cls, params: dict[str, Any], view: View) -> tuple[dict[str, Any], list[str]]:
        """Whether a leg is distributed is the destination router's business."""
        params, notes = super().prepare(params, view)
        params = {n: v for n, v in params.items() if n != "device_owner"}
        if _may_choose(view, view.resolve("network", params["network_ref"])):
            return params, notes
        whose = f"network {params['network_ref'].get('name')!r} belongs to another project, which alone chooses it"
        if params.pop("mac_address", None):
            notes = [*notes, f"mac_address was left out: {whose}"]
        said = params.get("fixed_ips_refs") or []
        asked = [choosable(ip, view, leg=True) for ip in said]
        other = [ip["ip_address"] for ip, left in zip(said, asked, strict=True) if ip != left]
        notes = [
            *notes,
            *(f"it gets another address than {address}: its subnet gives them itself" for address in other),
        ]
        return {**params, "fixed_ips_refs": asked}, notes

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """Ports in the network that hold one of the wanted addresses; none that a lost try has made and not plugged."""
        wanted = _pairs(body.get("fixed_ips"))
        return [
            record
            for record in view.records(cls.kind)
            if record["network_id"] == body["network_id"]
            and (hints.get("only_look") or not _half_made(record, hints))
            and (
                wanted & _pairs(record["fixed_ips"])
                or (record["device_id"] == body["device_id"] and _subnets(body) & _subnets(record))
            )
        ]

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        """Nothing; a router may not stand in ranges that overlap."""
        legs = view.records_of(cls.kind, "device_id", body["device_id"])
        mine = [view.get("subnet", id_) for id_ in sorted(_subnets(body))]
        beside = [view.get("subnet", id_) for leg in legs for id_ in sorted(_subnets(leg) - _subnets(body))]
        for subnet in mine:
            if subnet and (other := overlapping(subnet["cidr"], [s for s in beside if s])):
                there = f"its router stands in {other['cidr']} (subnet {other['name']!r}) here"
                raise Taken(f"{there}, which overlaps {subnet['cidr']}")
        return []

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """The port is made first, then plugged; in others' networks one call makes it on the gateway's address."""
        network, router = view.proxy("network"), body["device_id"]
        fixed_ips = body.get("fixed_ips") or []
        subnet = view.get("subnet", fixed_ips[0]["subnet_id"]) if len(fixed_ips) == 1 else None
        made = {"name": "", "project_id": view.project_id, **body}
        tags = body.get("tags") or []
        plain = ("description", "is_admin_state_up", "mac_address", "name", "network_id")
        told: dict[str, Any] = {n: body[n] for n in plain if n in body}
        if _may_choose(view, body["network_id"]):
            told["device_owner"] = OWNERS[0]  # else automatic subnets give it an address each, and take none for it
        elif subnet is not None and subnet["gateway_ip"] == fixed_ips[0].get("ip_address"):
            id_ = network.add_interface_to_router(router, subnet=subnet["id"])["port_id"]
            said = {n: body[n] for n in ("description", "is_admin_state_up", "name", "tags") if body.get(n) is not None}
            super().update(view, {"id": id_}, said, hints)
            return SimpleNamespace(**made, id=id_)
        half = (port for port in view.records(cls.kind) if _half_made(port, hints) and _alike(port, body))
        begun = next(half, None)  # Neutron may have made it, though its answer was lost
        port = network.get_port(begun["id"]) if begun else network.create_port(**told, fixed_ips=fixed_ips)
        try:
            if tags:
                set_tags(view, cls.service, port, tags)
            network.add_interface_to_router(router, port=port.id)
        except Exception:
            network.delete_port(port.id, ignore_missing=True)  # a port that nobody owns would be left over
            raise
        return SimpleNamespace(**made, id=port.id)

    @classmethod
    def delete(cls, view: View, record: Record) -> None:
        """Unplug, routes that lead through this leg first; Neutron deletes the port. We do where it isn't plugged."""
        network = view.proxy("network")
        if not record["device_id"]:
            network.delete_port(record["id"], ignore_missing=True)
            return
        for _ in range(ROUTES_TRIES):
            try:
                network.remove_interface_from_router(record["device_id"], port=record["id"])
                return
            except Exception as error:
                if getattr(error, "status_code", None) != 409 or not _drop_routes(view, record):
                    raise
        network.remove_interface_from_router(record["device_id"], port=record["id"])


def _half_made(port: Record, hints: Hints) -> bool:
    """Whether an earlier try has made this port, and not plugged it: its answer was lost."""
    return not port["device_id"] and made_by_an_earlier_try(port, hints)


def _alike(port: Record, body: dict[str, Any]) -> bool:
    """Whether it has all the addresses that are wanted, and stands where it should."""
    return port["network_id"] == body["network_id"] and _pairs(body.get("fixed_ips")) <= _pairs(port["fixed_ips"])


def _drop_routes(view: View, leg: Record) -> bool:
    """Take the static routes that lead through a leg from its router; return whether there were any.

    Legs are removed side by side, so only these routes are named, and Neutron takes them out by itself: writing the
    list of those that stay would bring back what another leg's removal has just taken away. Source: Networking API
    v2.0, "Remove extra routes from router".
    """
    network = view.proxy("network")
    found = [view.get("subnet", ip["subnet_id"]) for ip in leg["fixed_ips"]]
    ranges = [ipaddress.ip_network(subnet["cidr"]) for subnet in found if subnet]
    routes = network.get_router(leg["device_id"]).routes or []
    leading = [r for r in routes if any(ipaddress.ip_address(r["nexthop"]) in range_ for range_ in ranges)]
    if leading:
        network.remove_extra_routes_from_router(leg["device_id"], {"router": {"routes": leading}})
    return bool(leading)


def _may_choose(view: View, network_id: str) -> bool:
    """Whether this user may choose addresses in a network; one that will be made is the project's own."""
    network = view.get("network", network_id)
    return view.is_admin or network is None or bool(network["project_id"] == view.project_id)


def _pairs(fixed_ips: Any) -> set[tuple[str, str]]:
    return {(ip["subnet_id"], Address().canonical(ip["ip_address"])) for ip in fixed_ips or [] if ip.get("ip_address")}


def _subnets(port: dict[str, Any]) -> set[str]:
    return {ip["subnet_id"] for ip in port.get("fixed_ips") or []}
