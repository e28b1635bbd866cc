"""A server: how it is, stopping it, starting it again. Source: Compute API v2.1, "Servers", "Server actions"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openstack import exceptions
from stackferry.errors import EndedInError, Unfinished
from stackferry.resources.marks import MARK
from stackferry.resources.server import Server
from stackferry.resources.view import Record, View
from stackferry.resources.volume import Volume

from .done import Done, until
from .room import unreadable


def look(view: View, server: str, known: dict[str, Any]) -> Done:
    """Say how a server is; raise EndedInError when it can't be moved now, or has other disks than were exported, or
    when its source has no room for what reading them takes (``known.needed``): it isn't stopped for that."""
    record = _server(view, server)
    if why := Server.obstacle(view, record):
        raise EndedInError(f"server {record['name']!r} can't be moved: {why}")
    attached = {str(id_) for id_ in record["attached_volumes"] or ()}
    expected = {str(id_) for id_ in known.get("volumes") or ()}
    if attached != expected:
        more, less = sorted(attached - expected), sorted(expected - attached)
        raise EndedInError(
            f"server {record['name']!r} has other disks than its document says "
            f"(new: {', '.join(more) or 'none'}; gone: {', '.join(less) or 'none'}): export it again"
        )
    _check_quotas(view, record, known.get("needed") or {})
    tags = device_tags(view, record)
    return Done({"status": record["status"], **({"device_tags": tags} if tags else {})})


def _check_quotas(view: View, record: Record, needed: dict[str, int]) -> None:
    """Raise EndedInError when the source has no room for what reading the disks takes; Unfinished while some of it is
    what other servers are read from."""
    why = unreadable(view, record["name"], needed)
    if not why:
        return
    view.forget(Volume.kind)
    if any(MARK in (volume["metadata"] or {}) for volume in view.records(Volume.kind)):
        raise Unfinished(f"{why}, or wait: others are being read")
    raise EndedInError(why)


def device_tags(view: View, server: Record) -> dict[str, str]:
    """What its guest calls its ports and volumes: id → tag, as Nova shows them from 2.70 on, to whom it shows them."""
    compute, id_ = view.proxy("compute"), server["id"]
    try:
        found = {port.port_id: port.tag for port in compute.server_interfaces(id_)}
        if server["attached_volumes"]:
            found |= {attachment.volume_id: attachment.tag for attachment in compute.volume_attachments(id_)}
    except exceptions.ForbiddenException:
        return {}
    return {str(id_): str(tag) for id_, tag in found.items() if tag}


def wait(view: View, server: str, known: dict[str, Any]) -> Done:
    """See whether a server has been stopped, by whoever runs it; else raise Unfinished, since that may take days."""
    record = _server(view, server)
    if not _is("SHUTOFF")(record):
        raise Unfinished(f"server {record['name']!r} is {record['status']}: shut it down when it may be moved")
    return Done()


def stop(view: View, server: str, known: dict[str, Any]) -> Done:
    """Stop a server that runs; EndedInError if nobody shall but who runs it (``known.awaited``)."""
    record = _server(view, server)
    if known.get("awaited") and record["status"] == "ACTIVE":
        raise EndedInError(f"server {record['name']!r} was started again after it had been shut down")
    if record["status"] == "ACTIVE" and not record["task_state"]:
        view.proxy("compute").stop_server(server)
    until(_waiting(view, server), _is("SHUTOFF"), f"server {record['name']!r} is still stopping")
    return Done()


def start(view: View, server: str, known: dict[str, Any]) -> Done:
    """Start a server that ran at first, unless somebody else has stopped it (``known.awaited``)."""
    if known.get("was") != "ACTIVE" or known.get("awaited"):
        return Done()
    record = _server(view, server)
    if record["status"] == "SHUTOFF" and not record["task_state"]:
        view.proxy("compute").start_server(server)
    until(_waiting(view, server), _is("ACTIVE"), f"server {record['name']!r} is still starting")
    return Done()


def power(view: View, server: str, known: dict[str, Any]) -> Done:
    """Stop a server at the destination that was stopped at the source (``known.off``): results ``off``."""
    if not known["off"]:
        return Done()
    stop(view, server, {})
    return Done({"off": True})


def _server(view: View, id_: str) -> Record:
    return _there(view.refresh(Server.kind, id_), id_)


def _waiting(view: View, id_: str) -> Callable[[], Record]:
    look = view.waiting(Server.kind, id_)
    return lambda: _there(look(), id_)


def _there(record: Record | None, id_: str) -> Record:
    if record is None:
        raise EndedInError(f"server {id_} is gone")
    return record


def _is(status: str) -> Any:
    def good(record: Record | None) -> bool:
        if record is not None and record["status"] == "ERROR":
            raise EndedInError(f"server {record['name']!r} has gone to ERROR")
        return record is not None and record["status"] == status and not record["task_state"]

    return good
