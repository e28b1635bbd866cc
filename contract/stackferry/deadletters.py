"""The parking queue: what is in it, putting a message back where it failed, dropping one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kombu import Connection

from . import topology
from .bus import Outgoing, Publisher, connect, receiving
from .delivery import ATTEMPT, ERROR, QUEUE, REASON, REPLAYED, attempt_of


def browse(uri: str) -> list[dict[str, Any]]:
    """Return what is parked, oldest first: {id, queue, reason, error, attempts, type, body}. Nothing is taken.

    ``id`` is the message's, else the event's, else a hash of the body.
    """
    with connect(uri, "dead letters") as connection:
        return [_describe(message) for message in _parked(connection)]


def retry(uri: str, wanted: Callable[[dict[str, Any]], bool]) -> int:
    """Put the *wanted* ones back into the queues they failed in; return how many."""
    publisher = Publisher(uri, "dead letters")
    try:
        return _settle(uri, wanted, lambda message: publisher.publish(_replayed(message)))
    finally:
        publisher.close()


def drop(uri: str, wanted: Callable[[dict[str, Any]], bool]) -> int:
    """Delete the *wanted* ones; return how many."""
    return _settle(uri, wanted, lambda message: None)


def _settle(uri: str, wanted: Callable[[dict[str, Any]], bool], act: Callable[[Any], None]) -> int:
    with connect(uri, "dead letters") as connection:
        found = [message for message in _parked(connection) if wanted(_describe(message))]
        for message in found:
            act(message)
            message.ack()
        return len(found)


def _parked(connection: Connection) -> list[Any]:
    """Every message, before one is put back: it may be parked again. The connection's end returns the others."""
    queue = topology.dead_queue()(receiving(connection))
    found = []
    while (message := queue.get()) is not None:
        found.append(message)
    return found


def _describe(message: Any) -> dict[str, Any]:
    headers = message.headers or {}
    death = _death(headers)
    body = bytes(message.body)
    event = _event(body)
    type_ = event.get("type")
    return {
        "id": str(message.properties.get("message_id") or event.get("id") or hashlib.sha256(body).hexdigest()),
        "queue": headers.get(QUEUE) or death.get("queue"),
        "reason": headers.get(REASON) or death.get("reason"),
        "error": headers.get(ERROR),
        "attempts": attempt_of(headers) + 1,
        "type": type_ if isinstance(type_, str) else None,
        "body": body.decode("utf-8", "replace"),
    }


def _event(body: bytes) -> dict[str, Any]:
    """The body as an event; nothing when it's none."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        event = None
    return event if isinstance(event, dict) else {}


def _death(headers: dict[str, Any]) -> dict[str, Any]:
    """What the broker noted when it parked the message by itself."""
    deaths = headers.get("x-death")
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    return latest if isinstance(latest, dict) else {}


def _replayed(message: Any) -> Outgoing:
    found = _describe(message)
    dropped = (QUEUE, REASON, ERROR, ATTEMPT, "x-delivery-count")
    headers = {
        name: value
        for name, value in (message.headers or {}).items()
        if name not in dropped and not re.match("x-(first-|last-)?death", str(name))
    }
    key, headers = str(found["queue"] or ""), {**headers, REPLAYED: True}
    return replace(Outgoing.copying(message), exchange=topology.RETURNS.name, key=key, headers=headers)
