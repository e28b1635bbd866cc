"""Networks: isolated layer-2 segments. Source: Networking API v2.0, "Networks"."""

from __future__ import annotations

from typing import Any

from . import network_zones
from .fields import Bag, Flag, Many, Number, Ref, Text
from .hints import Hints
from .kind import Kind
from .view import Record, Taken, View

#: bytes; larger packets need a cloud that is made for them
USUAL_MTU = 1500


class Network(Kind):
    """A layer-2 segment of a project."""

    type = "openstack.network.Network"
    file = "networks"
    for_everybody = True
    fixed = frozenset(
        {
            "availability_zone_hints",
            "is_vlan_transparent",
            "provider_network_type",
            "provider_physical_network",
            "provider_segmentation_id",
            "segments",
        }
    )
    admin = {
        "is_default": False,
        "is_router_external": False,
        "is_shared": False,
        "provider_network_type": None,
        "provider_physical_network": None,
        "provider_segmentation_id": None,
        "segments": [],
    }
    info = (
        "availability_zones",
        "created_at",
        "id",
        "project_id",
        "qos_policy_id",
        "revision_number",
        "status",
        "subnet_ids",
        "updated_at",
    )

    name = Text("name; not unique, may be empty")
    description = Text("free text")
    availability_zone_hints = Many(Text(), "availability zones that its agents should run in")
    dns_domain = Text("domain of its ports' names, with a final dot")
    is_admin_state_up = Flag("whether it forwards packets")
    is_default = Flag("whether it's the default external network")
    is_port_security_enabled = Flag("default of port security for its ports")
    is_router_external = Flag("whether routers may have their gateway here")
    is_shared = Flag("whether every project may use it")
    is_vlan_transparent = Flag("whether guests may tag VLANs")
    mtu = Number("largest packet, in bytes")
    provider_network_type = Text("flat, vlan, vxlan, gre, geneve")
    provider_physical_network = Text("physical network under it")
    provider_segmentation_id = Number("VLAN or tunnel id")
    segments = Many(Bag(), "provider segments, instead of the three above")
    tags = Many(Text(), "labels")
    qos_policy_ref = Ref("qos_policy", "quality of service")

    @classmethod
    def usable(cls, view: View, record: Record) -> bool:
        """Shared with the project, or external."""
        return super().usable(view, record) or bool(record["is_router_external"])

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        """Its availability zones; and a segment of a physical network is one network's."""
        zones = network_zones.missing(view, "network", body.get("availability_zone_hints"))
        names = ("provider_network_type", "provider_physical_network", "provider_segmentation_id")
        place = {n: body[n] for n in names if body.get(n) is not None}
        if "provider_segmentation_id" not in place:
            return zones
        found = next(iter(view.proxy(cls.service).networks(**place)), None)
        if found is not None:
            where = " ".join(str(place[n]) for n in names if n in place)
            raise Taken(f"{where} is in use here, by network {found.name!r} ({found.id}) of project {found.project_id}")
        return zones

    @classmethod
    def provisos(cls, view: View, document: dict[str, Any]) -> list[str]:
        """Nobody can ask for the largest packet that a cloud allows."""
        mtu = int(document["params"].get("mtu") or 0)
        return [f"mtu = {mtu}: whether this cloud allows it shows when it's made"] if mtu > USUAL_MTU else []

    @classmethod
    def fingerprint(cls, view: View, record: Record) -> list[str] | None:
        """Networks of one name differ by their subnets."""
        return sorted(s["cidr"] or "" for s in view.records("subnet") if s["network_id"] == record["id"])
