"""Deleting at the source what was moved: the only place in the product that does so, and only when it's asked for.

``arrived`` looks at the destination, ``at_rest`` at the source, and only ``clean_up`` deletes: the server, then its
volumes, floating IPs, trunks and ports that nobody else uses. A server on which something hangs that was not moved
stays. What is used elsewhere is kept and said.
Source: Compute API v2.1, "Servers", "Servers actions (os-instance-actions)"; Block Storage API v3, "Volumes".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from stackferry.errors import EndedInError, Unfinished
from stackferry.resources.kind import named
from stackferry.resources.server import Server
from stackferry.resources.server_parts import unmoved_disks
from stackferry.resources.view import Record, View
from stackferry.resources.volume import Volume

from . import hanging
from .done import Done, until
from .unused import Kept, delete_floating_ips, delete_ports, delete_trunks, delete_volumes

#: what makes a server run, or its disks other than they were
AWAKENINGS = ("evacuate", "reboot", "rebuild", "restore", "resume", "start", "unpause", "unrescue", "unshelve")
SHOWN = 5  # of what hangs on something


def arrived(view: View, resource: str, known: dict[str, Any]) -> Done:
    """Raise EndedInError unless a server is ACTIVE at the destination, or a volume there, with all its volumes.

    A server that was stopped again after it had arrived (``known.off``) may be so.
    """
    kind = Server if known["kind"] == "server" else Volume
    record = view.refresh(kind.kind, resource)
    if record is None:
        raise EndedInError(f"{known['kind']} {resource} is gone from the destination: nothing was deleted")
    runs = ("ACTIVE", "SHUTOFF") if known.get("off") else ("ACTIVE",)
    good = runs if kind is Server else ("available", "in-use")
    if record["status"] not in good:
        raise EndedInError(f"{named(kind, record)} is {record['status']} at the destination: nothing was deleted")
    for id_ in known.get("volumes") or ():
        volume = view.refresh(Volume.kind, id_)
        if volume is None or volume["status"] not in ("available", "in-use"):
            what = volume["status"] if volume else "gone"
            raise EndedInError(f"volume {id_} of {named(kind, record)} is {what} at the destination")
    return Done()


def at_rest(view: View, resource: str, known: dict[str, Any]) -> Done:
    """Raise EndedInError when what is at the source isn't what was moved any more; results: what is kept, and why."""
    if known["kind"] == "volume":
        _check_unchanged(view, resource, known)
        if left := list(hanging.snapshots(view, [resource])):
            raise EndedInError(_left_behind(f"volume {resource}", left))
        return Done()
    record = view.refresh(Server.kind, resource)
    return Done({"kept": _unmoved(view, record, known)}) if record else Done()


def clean_up(view: View, resource: str, known: dict[str, Any]) -> Done:
    """Delete a server or a volume at the source, with what belongs to it; what is gone already is fine."""
    kept = Kept(dict(known.get("kept") or {}))
    volumes = [resource] if known["kind"] == "volume" else list(known["volumes"])
    ports = [*known.get("sub_ports", ()), *known.get("ports", ())]
    gone = [*volumes, *known.get("floating_ips", ()), *known.get("trunks", ()), *ports]
    if known["kind"] == "server":
        _delete_server(view, resource, known, kept)
        gone.insert(0, resource)
    else:
        _check_unchanged(view, resource, known)
    delete_volumes(view, volumes, kept)
    delete_floating_ips(view, known.get("floating_ips") or [], ports, kept)
    delete_trunks(view, known.get("trunks") or [], ports, kept)
    delete_ports(view, ports, kept)
    notes = [f"kept at the source: {why}" for why in kept.reasons.values()]
    return Done({"deleted": [id_ for id_ in gone if id_ not in kept.reasons], "kept": kept.reasons}, notes)


def _check_unchanged(view: View, volume: str, known: dict[str, Any]) -> None:
    """Raise EndedInError when a volume was used since it was moved: nobody knows whether it was written to."""
    record, moved_at = view.refresh(Volume.kind, volume), known.get("moved_at")
    if record is None or record["status"] == "deleting" or not moved_at:
        return
    changed = datetime.fromisoformat(str(record["updated_at"] or record["created_at"])).replace(tzinfo=UTC)
    if changed.timestamp() > moved_at:
        when = f"{changed:%Y-%m-%d %H:%M:%S} UTC"
        raise EndedInError(
            f"{named(Volume, record)} was used at the source after it was moved ({when}): delete it by hand"
        )


def _unmoved(view: View, record: Record, known: dict[str, Any]) -> dict[str, str]:
    """The volumes that were taken off a server since; raise EndedInError when it must not be deleted."""
    what = named(Server, record)
    if record["status"] != "SHUTOFF" or record["task_state"]:
        busy = f", {record['task_state']}" if record["task_state"] else ""
        raise EndedInError(f"{what} is not stopped at the source ({record['status']}{busy}): nothing was deleted")
    if record["is_locked"]:
        raise EndedInError(f"{what} is locked at the source: openstack server unlock {record['id']}")
    if when := _awake_since(view, record["id"], known.get("moved_at")):
        raise EndedInError(f"{what} ran again at the source ({when}) after it was moved: nothing was deleted")
    attached, moved = {str(id_) for id_ in record["attached_volumes"] or ()}, set(known["volumes"])
    if more := sorted(attached - moved):
        raise EndedInError(f"{what} has a volume that was not moved ({more[0]}): detach it first; nothing was deleted")
    if disks := unmoved_disks(view, record):
        raise EndedInError(f"{what} has {' and '.join(disks)}, which no API can read or move: delete it by hand")
    if record["image"] and not known.get("has_boot_disk"):
        raise EndedInError(f"the root disk of {what} was not copied (boot_disk_copy): delete it by hand")
    if left := list(hanging.of_server(view, {**known, "volumes": sorted(moved & attached)})):
        raise EndedInError(_left_behind(what, left))
    return {id_: f"volume {id_} was taken off {what} since it was moved" for id_ in sorted(moved - attached)}


def _left_behind(what: str, left: list[str]) -> str:
    shown = ", ".join(left[:SHOWN]) + (f" and {len(left) - SHOWN} more" if len(left) > SHOWN else "")
    return f"{shown}: not moved, and {what} is needed for it; delete that first, or {what} by hand. Nothing was deleted"


def _awake_since(view: View, server: str, moved_at: float | None) -> str | None:
    """Say what made a server run after it had been moved; a cloud that doesn't tell is believed."""
    try:
        actions = list(view.proxy("compute").server_actions(server)) if moved_at else []
    except Exception as error:
        if getattr(error, "status_code", None) in (403, 404):
            return None
        raise
    for action in actions:
        began = datetime.fromisoformat(str(action.start_time)).replace(tzinfo=UTC)
        if action.action in AWAKENINGS and began.timestamp() > (moved_at or 0.0):
            return f"{action.action} at {began:%Y-%m-%d %H:%M:%S} UTC"
    return None


def _delete_server(view: View, server: str, known: dict[str, Any], kept: Kept) -> None:
    """Delete it unless an earlier try has; look at it once more before."""
    record = view.refresh(Server.kind, server)
    if record is not None and record["task_state"] != "deleting" and "DELETED" not in str(record["status"]):
        kept.reasons |= _unmoved(view, record, known)
        view.proxy("compute").delete_server(server, ignore_missing=True)
    found = until(view.waiting(Server.kind, server), _is_gone, f"server {server} is still being deleted")
    if found is not None:
        raise Unfinished(f"server {server} is {found['status']}: its volumes are free once this cloud has reclaimed it")


def _is_gone(record: Record | None) -> bool:
    if record is not None and record["status"] == "ERROR":
        raise EndedInError(f"{named(Server, record)} can't be deleted: it has gone to ERROR")
    return record is None or "DELETED" in str(record["status"])
