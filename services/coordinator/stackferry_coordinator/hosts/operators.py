"""What people ask about conversion hosts, and what they say about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, select
from stackferry import __version__
from stackferry.errors import InvalidMessage

from ..storage import tables as t
from .assignment import Host, unfit
from .presence import AGENT_SILENT, grouped


def describe(connection: Connection, now: float) -> list[dict[str, Any]]:
    """Every host that was heard of within a day, for people."""
    query = select(t.agent).order_by(t.agent.c.cloud, t.agent.c.project, t.agent.c.name, t.agent.c.host)
    agents = list(connection.execute(query).mappings())
    return [_described(host, mine, now) for host, mine in grouped(connection, agents)]


def _described(host: Host, agents: list[Any], now: float) -> dict[str, Any]:
    answering = [row for row in agents if row["seen"] > now - AGENT_SILENT and row["slots"]]
    state, why = _state(host, answering)
    return {
        "id": host.id,
        "name": next((row["name"] for row in agents if row["name"]), None),
        "cloud": host.cloud,
        "project": host.project or None,
        "state": state,
        "why": why,
        "agents": len(answering),
        "slots": sum(row["slots"] for row in answering),
        "used": host.used,
        "draining": host.draining,
        "version": ", ".join(sorted({str(row["version"]) for row in answering or agents})),
        "seen": round(now - max(row["seen"] for row in agents), 1),
    }


def _state(host: Host, answering: list[Any]) -> tuple[str, str | None]:
    """A word for people, and why a host gets no work."""
    if not answering:
        return "silent", "its agents say nothing: is the server on, and does it reach the broker?"
    if host.draining:
        return ("draining", "it was told to; it finishes what it has") if host.used else ("drained", "it was told to")
    if why := unfit((row["version"] for row in answering), __version__):
        return "unfit", why
    return "ready", None


def control(connection: Connection, upsert: Callable[..., Any], host: str, action: str) -> None:
    """Do what people say about a host; raise InvalidMessage when nobody has heard of it."""
    known = select(t.agent.c.host).where(t.agent.c.host == host).union(select(t.host.c.id).where(t.host.c.id == host))
    if action == "forget":
        connection.execute(delete(t.agent).where(t.agent.c.host == host))
        connection.execute(delete(t.host).where(t.host.c.id == host))
        return
    if connection.execute(known).first() is None:
        raise InvalidMessage("invalid", {"host": "there's no such host"})
    values = {"draining": action == "drain"}
    statement = upsert(t.host).values(id=host, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
