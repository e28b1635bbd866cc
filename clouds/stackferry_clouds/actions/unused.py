"""Deleting volumes, addresses, trunks and ports of a source that nobody uses any more; the rest is kept, with why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stackferry.errors import EndedInError
from stackferry.resources.floating_ip import FloatingIp
from stackferry.resources.port import Port
from stackferry.resources.trunk import Trunk
from stackferry.resources.view import Record, View
from stackferry.resources.volume import Volume

from .attachments import users
from .done import until

REFUSALS = (400, 409)  # a cloud's words for "something depends on it"


@dataclass
class Kept:
    """What stays: id → why."""

    reasons: dict[str, str] = field(default_factory=dict)

    def __call__(self, id_: str, why: str) -> None:
        self.reasons[id_] = why


def delete_volumes(view: View, volumes: list[str], kept: Kept) -> None:
    """Delete those that are attached to nothing and have no snapshots."""
    for id_ in volumes:
        record = view.refresh(Volume.kind, id_) if id_ not in kept.reasons else None
        if record is None:
            continue
        what = f"volume {record['name'] or id_!r}"
        if others := users(record):
            kept(id_, f"{what} is attached to server {others[0]}")
        elif snapshots := list(view.proxy("block_storage").snapshots(details=True, volume_id=id_)):
            kept(id_, f"{what} has {len(snapshots)} snapshots")
        else:
            _delete_volume(view, id_, what, kept)


def _delete_volume(view: View, id_: str, what: str, kept: Kept) -> None:
    found = until(view.waiting(Volume.kind, id_), _steady, f"{what} is still in use")
    if found is None:
        return
    if found["status"] not in ("available", "deleting"):
        kept(id_, f"{what} is {found['status']}")
        return
    if found["status"] == "available" and not _allowed(
        lambda: view.proxy("block_storage").delete_volume(id_, ignore_missing=True), id_, what, kept
    ):
        return
    until(view.waiting(Volume.kind, id_), _volume_gone, f"{what} is still being deleted")


def delete_floating_ips(view: View, ids: list[str], ports: list[str], kept: Kept) -> None:
    """Release those that lead to one of *ports* or nowhere."""
    for id_ in ids:
        record = view.refresh(FloatingIp.kind, id_)
        if record is None or record["id"] != id_:
            continue
        if record["port_id"] and record["port_id"] not in ports:
            kept(id_, f"floating IP {record['floating_ip_address']} leads to another port, {record['port_id']}")
        else:
            view.proxy("network").delete_ip(id_, ignore_missing=True)


def delete_trunks(view: View, ids: list[str], moved: list[str], kept: Kept) -> None:
    """Delete those whose port no server uses any more, and whose sub-ports were all *moved*: these are free then."""
    for id_ in ids:
        record = view.refresh(Trunk.kind, id_)
        if record is None:
            continue
        port = view.refresh(Port.kind, record["port_id"])
        what = f"trunk {record['name'] or id_!r}"
        if port is not None and port["device_id"]:
            kept(id_, f"{what} is in use by {port['device_owner']} {port['device_id']}")
        elif left := [sub["port_id"] for sub in record["sub_ports"] or () if sub["port_id"] not in moved]:
            kept(id_, f"{what} has a sub-port that was not moved ({left[0]})")
        else:
            _allowed(lambda record=record: Trunk.delete(view, record), id_, what, kept)  # type: ignore[misc]


def delete_ports(view: View, ids: list[str], kept: Kept) -> None:
    """Delete those that no server or router uses; most are gone with their server."""
    for id_ in ids:
        record = view.refresh(Port.kind, id_)
        if record is None or record["id"] != id_:
            continue
        what = f"port {record['name'] or id_!r}"
        if record["device_id"]:
            kept(id_, f"{what} is in use by {record['device_owner'] or 'a device'} {record['device_id']}")
        elif record["trunk_details"]:
            kept(id_, f"{what} is the parent of a trunk")
        else:
            _allowed(lambda id_=id_: view.proxy("network").delete_port(id_, ignore_missing=True), id_, what, kept)  # type: ignore[misc]


def _allowed(delete: Any, id_: str, what: str, kept: Kept) -> bool:
    """Delete; what the cloud refuses because something depends on it is kept."""
    try:
        delete()
    except Exception as error:
        if getattr(error, "status_code", None) not in REFUSALS:
            raise
        kept(id_, f"{what} can't be deleted: {str(error).splitlines()[0][:300]}")
        return False
    return True


def _steady(record: Record | None) -> bool:
    return record is None or record["status"] not in ("detaching", "in-use", "reserved", "attaching")


def _volume_gone(record: Record | None) -> bool:
    if record is not None and str(record["status"]).startswith("error"):
        raise EndedInError(f"volume {record['id']} can't be deleted: it ended as {record['status']}")
    return record is None
