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
from .bus import Outgoing, Publisher, connect, receiving, user_of
from .delivery import ATTEMPT, ERROR, REASON, REPLAYED, attempt_of, copied, sender
from .envelope import loosely
from .errors import BrokerUnavailable

LONGEST = 255  # characters of an id that is shown
MUCH = 64 << 20  # bytes of messages that one process holds, where it doesn't want all of them


def browse(uri: str, most: int | None = None) -> list[dict[str, Any]]:
    """Return what is parked, oldest first: {id, digest, queue, reason, error, attempts, type, migration, body}.

    Nothing is taken.
    ``id`` is the message's, else the event's, else a hash of the body: whatever its sender has said. ``digest`` is of
    queue, id and body, and no other message's. *most*: only so many of the oldest.
    """
    with connect(uri, "dead letters") as connection:
        return [_describe(message) for message in _parked(connection, most)]


def count(uri: str) -> int:
    """How many messages are parked. Raises BrokerUnavailable."""
    with connect(uri, "dead letters") as connection:
        queue = topology.dead_queue()(receiving(connection))
        return int(queue.queue_declare(passive=True).message_count)


def retry(uri: str, wanted: Callable[[dict[str, Any]], bool], most: int | None = None) -> list[dict[str, Any]]:
    """Put the *wanted* ones back into the queues where they were found; return them, with why one ``stays``, or None.

    One that can't go back, since no such queue is there, or since it can't be published, stays parked. So does what
    somebody else has said than the user of *uri*, unless who reads it believes that user who did: it would be taken
    for that user's own word. And the coordinator puts back no request, which who asks it to might not be allowed.
    *most*: only so many of the oldest are looked at.
    """
    publisher = Publisher(uri, "dead letters")
    try:
        with connect(uri, "dead letters") as connection:
            return [
                {**found, "stays": _put_back(connection, publisher, message, found, user_of(uri))}
                for message, found in _wanted(connection, wanted, most)
            ]
    finally:
        publisher.close()


def drop(uri: str, wanted: Callable[[dict[str, Any]], bool], most: int | None = None) -> list[dict[str, Any]]:
    """Delete the *wanted* ones of all, or of the oldest *most*; return them."""
    with connect(uri, "dead letters") as connection:
        found = _wanted(connection, wanted, most)
        for message, _ in found:
            message.ack()
        return [described for _, described in found]


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


def _wanted(
    connection: Connection, wanted: Callable[[dict[str, Any]], bool], most: int | None
) -> list[tuple[Any, dict[str, Any]]]:
    described = [(message, _describe(message)) for message in _parked(connection, most)]
    return [pair for pair in described if wanted(pair[1])]


def _put_back(
    connection: Connection, publisher: Publisher, message: Any, found: dict[str, Any], user: str
) -> str | None:
    """Publish a message to the queue where it was found; return why it stays where it is instead."""
    queue = found["queue"]
    known = next((one for one in (*topology.WORK_QUEUES, topology.HOST) if topology.on(one, queue)), None)
    if known is None:
        return "it was found on no queue of ours: drop it"
    if known.asked and user == known.service:
        return "it's a request: whoever asked for it may ask again"  # who puts it back may not ask for it themselves
    said = sender(message, (_reader(message, queue), topology.OPERATOR.name))
    if user not in (topology.OPERATOR.name, known.service, said):
        return f"{said or 'nobody known'} has said it, not {user}: `stackferry dead-letters retry` can put it back"
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


def _parked(connection: Connection, most: int | None) -> list[Any]:
    """Every message, before one is put back: it may be parked again. The connection's end returns the others.

    Of those that are limited in number, no more bytes than are easily held either.
    """
    queue = topology.dead_queue()(receiving(connection))
    found: list[Any] = []
    size = 0
    while (most is None or (len(found) < most and size < MUCH)) and (message := queue.get()) is not None:
        found.append(message)
        size += len(message.body)
    return found


def _describe(message: Any) -> dict[str, Any]:
    headers = message.headers or {}
    death = _death(headers)
    body = bytes(message.body)
    event = loosely(body)
    id_ = _text(message.properties.get("message_id") or event.get("id")) or hashlib.sha256(body).hexdigest()
    queue = _text(message.delivery_info.get("routing_key")) or ""  # not what headers say: anybody can write those
    data = event.get("data")
    return {
        "id": id_,
        "digest": hashlib.sha256(b"\0".join((queue.encode(), id_.encode(), body))).hexdigest()[:32],
        "queue": queue,
        "reason": _text(headers.get(REASON) or death.get("reason")),
        "error": headers.get(ERROR),
        "attempts": attempt_of(headers) + 1,
        "type": _text(event.get("type")),
        "migration": _text(data.get("migration")) if isinstance(data, dict) else None,
        "body": body.decode("utf-8", "replace"),
    }


def _text(said: Any) -> str | None:
    """A short text that can be written anywhere: no number, nothing long, no half of a surrogate pair; else None."""
    if not isinstance(said, str) or not 0 < len(said) <= LONGEST:
        return None
    try:
        said.encode()
    except UnicodeEncodeError:
        return None
    return said


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
