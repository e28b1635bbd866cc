"""The parking queue: what is in it, putting a message back where it failed, dropping one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from amqp.exceptions import NotFound
from kombu import Connection

from . import topology
from .bus import Outgoing, Publisher, connect, receiving
from .delivery import ATTEMPT, ERROR, REASON, REPLAYED, attempt_of, copied
from .envelope import loosely
from .errors import BrokerUnavailable


def browse(uri: str) -> list[dict[str, Any]]:
    """Return what is parked, oldest first: {id, queue, reason, error, attempts, type, body}. Nothing is taken.

    ``id`` is the message's, else the event's, else a hash of the body.
    """
    with connect(uri, "dead letters") as connection:
        return [_describe(message) for message in _parked(connection)]


def count(uri: str) -> int:
    """How many messages are parked. Raises BrokerUnavailable."""
    with connect(uri, "dead letters") as connection:
        queue = topology.dead_queue()(receiving(connection))
        return int(queue.queue_declare(passive=True).message_count)


def retry(uri: str, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Put the *wanted* ones back into the queues where they were found; return them, with why one ``stays``, or None.

    One that can't go back, since no such queue is there, or since it can't be published, stays parked.
    """
    publisher = Publisher(uri, "dead letters")
    try:
        with connect(uri, "dead letters") as connection:
            return [
                {**found, "stays": _put_back(connection, publisher, message, found)}
                for message, found in _wanted(connection, wanted)
            ]
    finally:
        publisher.close()


def drop(uri: str, wanted: Callable[[dict[str, Any]], bool]) -> int:
    """Delete the *wanted* ones; return how many."""
    with connect(uri, "dead letters") as connection:
        found = _wanted(connection, wanted)
        for message, _ in found:
            message.ack()
        return len(found)


def overflow(uri: str, most: int, take: Callable[[dict[str, Any]], None]) -> int:
    """Make room when more than *most* are parked: the oldest go; return how many. *take* must have kept each before."""
    with connect(uri, "dead letters") as connection:
        queue = topology.dead_queue()(receiving(connection))
        number = queue.queue_declare(passive=True).message_count
        surplus = number - most + most // 10 if number > most else 0  # so that it isn't done for every one
        for taken in range(surplus):
            if (message := queue.get()) is None:
                return taken
            take(_describe(message))
            message.ack()
        return surplus


def _wanted(connection: Connection, wanted: Callable[[dict[str, Any]], bool]) -> list[tuple[Any, dict[str, Any]]]:
    described = [(message, _describe(message)) for message in _parked(connection)]
    return [pair for pair in described if wanted(pair[1])]


def _put_back(connection: Connection, publisher: Publisher, message: Any, found: dict[str, Any]) -> str | None:
    """Publish a message to the queue where it was found; return why it stays where it is instead."""
    queue = found["queue"]
    if not any(topology.on(known, queue) for known in (*topology.WORK_QUEUES, topology.HOST)):
        return "it was found on no queue of ours: drop it"
    try:
        with connection.channel() as channel:
            channel.queue_declare(queue, passive=True)
    except NotFound:
        return f"there's no queue {queue} any more: drop it"
    try:
        publisher.publish(_replayed(message, queue))
    except BrokerUnavailable:
        raise
    except Exception as error:  # also of a header that can't be written: the others go back all the same
        return str(error) or type(error).__name__
    message.ack()
    return None


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
    event = loosely(body)
    type_ = event.get("type")
    return {
        "id": str(message.properties.get("message_id") or event.get("id") or hashlib.sha256(body).hexdigest()),
        "queue": str(message.delivery_info.get("routing_key") or ""),  # not what headers say: anybody can write those
        "reason": headers.get(REASON) or death.get("reason"),
        "error": headers.get(ERROR),
        "attempts": attempt_of(headers) + 1,
        "type": type_ if isinstance(type_, str) else None,
        "body": body.decode("utf-8", "replace"),
    }


def _death(headers: dict[str, Any]) -> dict[str, Any]:
    """What the broker noted when it parked the message by itself."""
    deaths = headers.get("x-death")
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    return latest if isinstance(latest, dict) else {}


def _reader(message: Any, queue: str) -> str:
    """The user who reads *queue*, and may have parked the message: a service, or the agents on a host."""
    user = str(message.properties.get("user_id") or "")
    enrolled = topology.Enrolled.read(user)
    if enrolled and topology.host_queue(enrolled.host).name == queue:
        return user
    return next((known.service for known in topology.WORK_QUEUES if known.name == queue), "")


def _replayed(message: Any, queue: str) -> Outgoing:
    """The copy that goes back, as if it came for the first time, from whoever published it first."""
    copy = copied(message, (_reader(message, queue), topology.OPERATOR.name))
    dropped = (REASON, ERROR, ATTEMPT, "x-delivery-count")
    headers = {
        name: value
        for name, value in copy.headers.items()
        if name not in dropped and not re.match("x-(first-|last-)?death", str(name))
    }
    return replace(copy, exchange=topology.RETURNS.name, key=queue, headers={**headers, REPLAYED: True})
