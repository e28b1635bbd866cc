"""The parking queue: what is in it, putting a message back where it failed, dropping one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from . import topology
from .bus import Outgoing, Publisher, connect
from .delivery import ATTEMPT, ERROR, QUEUE, REASON, REPLAYED


def browse(uri: str) -> list[dict[str, Any]]:
    """Return what is parked, oldest first: {id, queue, reason, error, attempts, type, body}. Nothing is taken."""
    return [_describe(message) for message in _messages(uri)]


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
    count = 0
    for message in _messages(uri):
        if wanted(_describe(message)):
            act(message)
            message.ack()
            count += 1
    return count


def _messages(uri: str) -> Iterator[Any]:
    """Every parked message once; those that weren't acknowledged go back when the connection closes."""
    with connect(uri, "dead letters") as connection:
        queue = topology.dead_queue()(connection.channel())
        while (message := queue.get()) is not None:
            yield message


def _describe(message: Any) -> dict[str, Any]:
    headers = message.headers or {}
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    deaths = headers.get("x-death") or [{}]
    try:
        type_ = json.loads(body).get("type")
    except (ValueError, AttributeError):
        type_ = None
    return {
        "id": str(message.properties.get("message_id") or ""),
        "queue": headers.get(QUEUE) or deaths[0].get("queue"),
        "reason": headers.get(REASON) or headers.get("x-first-death-reason"),
        "error": headers.get(ERROR),
        "attempts": headers.get(ATTEMPT, 0) + 1,
        "type": type_ if isinstance(type_, str) else None,
        "body": body.decode("utf-8", "replace"),
    }


def _replayed(message: Any) -> Outgoing:
    found = _describe(message)
    dropped = (QUEUE, REASON, ERROR, ATTEMPT)
    headers = {k: v for k, v in (message.headers or {}).items() if k not in dropped and not k.startswith("x-death")}
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    return Outgoing(
        topology.COMMANDS.name,
        found["queue"] or "",
        body,
        found["id"],
        {**headers, REPLAYED: True},
        message.content_type or "application/octet-stream",
        message.content_encoding or "utf-8",
    )
