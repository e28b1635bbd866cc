"""Routers, with their gateway and static routes. Source: Networking API v2.0, "Routers"."""

from __future__ import annotations

import ipaddress
from typing import Any

from . import network_zones
from .fields import Address, Cidr, Flag, Many, Pattern, Ref, Struct, Text
from .hints import Hints
from .kind import Kind
from .view import Ambiguous, Missing, Record, View

_GATEWAY = "external_gateway_refinfo"


class Router(Kind):
    """A router of a project. Its static routes come after its interfaces, which make their next hops reachable."""

    type = "openstack.network.Router"
    file = "routers"
    fixed = frozenset({"availability_zone_hints", "flavor_ref"})
    admin = {"is_distributed": False, "is_ha": False}
    late = {"routes": "router_interface"}
    info = (
        "availability_zones",
        "created_at",
        "external_gateway_info",
        "flavor_id",
        "id",
        "project_id",
        "revision_number",
        "routes",
        "status",
        "updated_at",
    )

    name = Text("name; may be empty")
    description = Text("free text")
    availability_zone_hints = Many(Text(), "availability zones that its agents should run in")
    external_gateway_refinfo = Struct(
        "the way out; null: none",
        nullable=True,
        network_ref=Ref("network", "the external network", required=True),
        enable_snat=Flag("whether it translates the project's addresses; for administrators"),
        external_fixed_ips_refs=Pattern(
            Struct(ip_address=Address(), subnet_ref=Ref("subnet")),
            "its addresses outside; for administrators",
            attribute="external_fixed_ips",
        ),
        qos_policy_ref=Ref("qos_policy", "quality of service of the gateway"),
    )
    flavor_ref = Ref("network_flavor", "the kind of router", attribute="flavor_id")
    is_admin_state_up = Flag("whether it forwards packets")
    is_distributed = Flag("whether it runs on every compute host")
    is_ha = Flag("whether it's highly available")
    routes = Many(Struct(destination=Cidr(), nexthop=Address()), "static routes")
    tags = Many(Text(), "labels")

    @classmethod
    def attribute(cls, name: str) -> str:
        """The gateway has another name in a document, which holds references in the place of ids."""
        return "external_gateway_info" if name == _GATEWAY else super().attribute(name)

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        """Its availability zones."""
        return network_zones.missing(view, "router", body.get("availability_zone_hints"))

    @classmethod
    def fingerprint(cls, view: View, record: Record) -> list[str] | None:
        """Routers of one name differ by their legs."""
        return _addresses(view, record["id"])

    @classmethod
    def prepare(cls, params: dict[str, Any], view: View) -> tuple[dict[str, Any], list[str]]:
        """SNAT and fixed addresses of the gateway need rights, and addresses only fit the range they're from."""
        params, notes = super().prepare(params, view)
        gateway = params.get(_GATEWAY)
        if not gateway:
            return params, notes
        gateway = dict(gateway)
        if not view.is_admin:
            if gateway.pop("enable_snat", None) is False:
                notes.append("enable_snat = False was left out: it needs administrator rights")
            if gateway.pop("external_fixed_ips_refs", None):
                notes.append("the gateway's fixed addresses were left out: they need administrator rights")
        elif not _fits(gateway.get("external_fixed_ips_refs") or [], view):
            gateway.pop("external_fixed_ips_refs", None)
            notes.append("the gateway's fixed addresses were left out: they aren't in the external network's ranges")
        return {**params, _GATEWAY: gateway}, notes

    @classmethod
    def bring_back(cls, view: View, record: Record, body: dict[str, Any]) -> None:
        """A member sets neither SNAT nor the addresses of the gateway."""
        if (gateway := body.get("external_gateway_info")) and not view.is_admin:
            mine = {n: v for n, v in gateway.items() if n in ("network_id", "qos_policy_id")}
            body = {**body, "external_gateway_info": mine}
        super().bring_back(view, record, body)


def _addresses(view: View, router_id: str) -> list[str]:
    legs = view.records_of("router_interface", "device_id", router_id)
    return sorted(ip["ip_address"] for leg in legs for ip in leg["fixed_ips"] or [])


def _fits(fixed_ips: list[dict[str, Any]], view: View) -> bool:
    """Whether every address is in the range of the subnet that is called the same here."""
    for fixed in fixed_ips:
        address = fixed.get("ip_address")
        try:
            subnet = view.get("subnet", view.resolve("subnet", fixed.get("subnet_ref") or {}))
        except (Missing, Ambiguous):
            return False
        if subnet is None or (address and ipaddress.ip_address(address) not in ipaddress.ip_network(subnet["cidr"])):
            return False
    return True
