"""Volumes on servers: attach, detach. Source: Compute API v2.1, "Servers with volume attachments"."""

from __future__ import annotations

from typing import Any

from openstack import exceptions
from stackferry.errors import EndedInError, NotDone
from stackferry.resources.view import Record, View
from stackferry.resources.volume import Volume, make_read_only

from .done import Done, until


def attach(view: View, volume: str, known: dict[str, Any]) -> Done:
    """Attach a volume to a server (``known.server``), as ``known`` says it was: device, delete_on_termination."""
    server, record = known["server"], _volume(view, volume)
    if record is None:
        raise EndedInError(f"volume {volume} is gone")
    others = [id_ for id_ in users(record) if id_ != server]
    if others:
        raise EndedInError(f"volume {volume} is attached to server {others[0]}")
    asked = server not in users(record) and record["status"] == "available"
    if asked:
        how = {name: known[name] for name in ("device", "delete_on_termination") if known.get(name)}
        try:
            view.proxy("compute").create_volume_attachment(server, volume_id=volume, **how)
        except exceptions.NotFoundException as error:  # a host that is lost is replaced before the tries are used up
            raise NotDone(f"there is no server {server} to attach volume {volume} to") from error
    what = f"volume {volume} is still being attached"
    until(lambda: _volume(view, volume), lambda found: _is_attached(_whole(found), server, asked), what)
    return Done()


def _is_attached(volume: Record, server: str, asked: bool) -> bool:
    """Raise NotDone when nova has reserved the volume for a server, and its host has not attached it."""
    if asked and volume["status"] == "available":
        raise NotDone(f"volume {volume['id']} could not be attached to server {server}: nova has given it back")
    return volume["status"] == "in-use" and server in users(volume)


def detach(view: View, volume: str, known: dict[str, Any]) -> Done:
    """Detach a volume from a server (``known.server``); one that isn't attached there, or is gone, is fine.

    One that is still being attached is waited for: until then it doesn't say where to. With ``known.read_only`` nobody
    may write to it from then on.
    """
    record, server = _settled(view, volume) if volume else None, known.get("server")
    if record is not None and server in users(record):
        if record["status"] == "in-use":
            view.proxy("compute").delete_volume_attachment(server, volume, ignore_missing=True)
        record = until(
            lambda: _volume(view, volume),
            lambda found: found is None or server not in users(found),
            f"volume {volume} is still being detached",
        )
    if record is not None and known.get("read_only") and not record["is_read_only"]:
        record = until(
            lambda: _volume(view, volume),
            lambda found: found is None or found["status"] == "available",
            f"volume {volume} is still being detached",
        )
        if record is not None:
            make_read_only(view, volume)
    return Done()


def _settled(view: View, volume: str) -> Record | None:
    return until(
        lambda: _volume(view, volume),
        lambda found: found is None or found["status"] not in ("reserved", "attaching"),
        f"volume {volume} is still being attached",
    )


def users(volume: Record) -> list[str]:
    """The servers that a volume is attached to."""
    return [str(a["server_id"]) for a in volume["attachments"] or () if a.get("server_id")]


def _volume(view: View, id_: str) -> Record | None:
    return view.refresh(Volume.kind, id_)


def _whole(volume: Record | None) -> Record:
    if volume is None:
        raise EndedInError("the volume is gone")
    if str(volume["status"]).startswith("error"):
        raise EndedInError(f"volume {volume['id']} ended as {volume['status']}")
    return volume
