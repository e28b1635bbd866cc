"""Trunks that belong to no server: made beforehand, for a server or a machine that will use their ports."""

from __future__ import annotations

from typing import Any

from .fields import Flag, Many, Number, Struct, Text
from .free_port import is_free, is_of_server
from .hints import Hints
from .kind import Kind
from .port_ref import PortRef
from .trunk import Trunk, offered
from .view import Record, View

SubPorts = list[dict[str, Any]]


class FreeTrunk(Kind):
    """A trunk whose port is free. It's found by that port; its sub-ports are free ports with documents of their own."""

    type = "openstack.network.Trunk"
    file = "trunks"
    singular = "trunk"
    certain = True
    fixed = frozenset({"port_ref"})
    info = ("created_at", "id", "port_id", "project_id", "status", "updated_at")

    name = Text("name; mostly empty")
    description = Text("free text")
    is_admin_state_up = Flag("whether its ports may be managed, and forward packets")
    port_ref = PortRef("the port that it's made of", required=True)
    sub_ports = Many(
        Struct(
            port_ref=PortRef("the port inside", required=True),
            segmentation_id=Number(required=True),
            segmentation_type=Text(required=True),
        ),
        "the ports inside, with their numbers (VLANs)",
    )
    tags = Many(Text(), "labels")

    @classmethod
    def stands_alone(cls, view: View, record: Record) -> bool:
        port = view.own("port", record["port_id"])
        return port is None or not is_of_server(view, port)

    @classmethod
    def obstacle(cls, view: View, record: Record) -> str | None:
        ports = [view.own("port", id_) for id_ in (record["port_id"], *_ids(record["sub_ports"]))]
        return None if all(port and is_free(view, port) for port in ports) else "one of its ports does not cross"

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """The trunk of its port."""
        return [record for record in view.records(cls.kind) if record["port_id"] == body["port_id"]]

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        return [] if offered(view) else ["this cloud has no trunks (Neutron's extension 'trunk')"]

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
        """Ports go out of it and into it by calls of their own."""
        if "sub_ports" in body:
            wanted, network = body.pop("sub_ports"), view.proxy("network")
            had = [
                {n: sub[n] for n in ("port_id", "segmentation_id", "segmentation_type")} for sub in record["sub_ports"]
            ]
            if gone := [{"port_id": sub["port_id"]} for sub in had if sub not in wanted]:
                network.delete_trunk_subports(record["id"], gone)
            if new := [sub for sub in wanted if sub not in had]:
                network.add_trunk_subports(record["id"], new)
        return super().update(view, record, body, hints)

    @classmethod
    def delete(cls, view: View, record: Record) -> None:
        Trunk.delete(view, record)


def _ids(sub_ports: SubPorts | None) -> list[str]:
    return [sub["port_id"] for sub in sub_ports or ()]
