"""What hangs on a server or on a volume at the source and was not moved: deleting these would lose it, or orphan it.

Source: Block Storage API v3, "Volume snapshots"; Networking API v2.0, "Trunk networking", "Floating IPs port
forwarding".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stackferry.resources.free_floating_ip import FreeFloatingIp
from stackferry.resources.port import Port
from stackferry.resources.port_forwarding import PortForwarding
from stackferry.resources.view import View


def snapshots(view: View, volumes: Iterable[str]) -> Iterator[str]:
    """The snapshots of these volumes: none crosses."""
    for id_ in volumes:
        for found in view.proxy("block_storage").snapshots(details=True, volume_id=id_):
            yield f"snapshot {found.name or found.id!r} of volume {id_}"


def of_server(view: View, known: dict[str, Any]) -> Iterator[str]:
    """Snapshots of its volumes, trunks of its ports, and forwardings to them (moved: ``known.forwardings``)."""
    yield from snapshots(view, known["volumes"])
    ports, trunks = sorted(known.get("ports") or ()), set(known.get("trunks") or ())
    for id_ in ports:
        port = view.refresh(Port.kind, id_)
        trunk = (port and port["trunk_details"]) or {}
        if trunk and trunk["trunk_id"] not in trunks:
            yield f"trunk {trunk['trunk_id']} of port {id_}"
    if ports:
        yield from _forwardings(view, {*ports, *(known.get("sub_ports") or ())}, known.get("forwardings") or ())


def _forwardings(view: View, ports: set[str], moved: Iterable[str]) -> Iterator[str]:
    for kind in (FreeFloatingIp.kind, PortForwarding.kind):
        view.forget(kind)
    for record in view.records(PortForwarding.kind):
        if record["internal_port_id"] in ports and record["id"] not in set(moved):
            outside, inside = record["external_port"], record["internal_port"]
            yield f"forwarding of {record['protocol']} port {outside} to its port {inside}"
