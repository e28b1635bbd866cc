"""The last step of a workload at the destination: our marks come off."""

from __future__ import annotations

from typing import Any

from stackferry.resources import Kind
from stackferry.resources.marks import MARK
from stackferry.resources.server import Server
from stackferry.resources.view import Record, View
from stackferry.resources.volume import Volume

from .done import Done


def settle(view: View, resource: str, known: dict[str, Any]) -> Done:
    """Take our mark off what has arrived: a server (``known.server``) and its volumes, or a volume by itself."""
    for volume in known.get("volumes") or ():
        unmark(view, Volume, volume)
    if known.get("server"):
        unmark(view, Server, resource)
    return Done()


def unmark(view: View, kind: type[Kind], id_: str) -> None:
    """Take our mark off a server or a volume; one that has none, or is gone, stays as it is."""
    record = view.get(kind.kind, id_)
    if record is not None and not _is_marked(record):  # it may have been seen before it had one
        record = view.refresh(kind.kind, id_)
    if record is None or not _is_marked(record):
        return
    try:
        getattr(view.proxy(kind.service), f"delete_{kind.singular}_metadata")(id_, keys=[MARK])
    except Exception as error:
        if getattr(error, "status_code", None) != 404:
            raise
    del record["metadata"][MARK]  # it's the view's own


def _is_marked(record: Record) -> bool:
    return MARK in (record["metadata"] or {})
