"""What becomes of a delivery that could not be handled: it waits and comes again, or it's parked with the reason.

Pure functions on headers; whoever consumes publishes the copy they return, and only then acknowledges.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from .bus import Outgoing
from .envelope import Envelope
from .errors import Claimed, InvalidMessage, NotNow, Soon
from .messages import REGISTRY as MESSAGES
from .messages import check
from .topology import BACKOFF, COORDINATOR, PARKED, WorkQueue, on, retry_exchange

ATTEMPT, REASON, ERROR, REPLAYED = "x-attempt", "x-reason", "x-error", "x-replayed"
CLAIMED, SENDER = "x-claimed", "x-sender"


def read(body: Any, content_type: str | None, queue: str) -> Envelope:
    """Return the checked message of a delivery on *queue*; raise InvalidMessage with the reason."""
    envelope = check(Envelope.from_bytes(body, content_type))
    if not any(on(one, queue) for one in MESSAGES[envelope.type].queues):
        raise InvalidMessage("misrouted", {"type": f"{envelope.type} does not belong on {queue}"})
    return envelope


def attempt_of(headers: dict[str, Any] | None) -> int:
    """How often this delivery was retried already; 0 for a first one, and for a header that isn't a number."""
    value = (headers or {}).get(ATTEMPT, 0)
    return value if isinstance(value, int) and value >= 0 else 0


def doubtful(headers: dict[str, Any] | None, redelivered: bool) -> bool:
    """Whether an earlier delivery of this message may have been worked on, or may have a claim that nobody works by."""
    return redelivered or any((headers or {}).get(name) for name in (REPLAYED, CLAIMED)) or attempt_of(headers) > 0


def sender(message: Any, carriers: Collection[str]) -> str:
    """Return who published *message* first, by the broker's word; "" when that isn't known.

    A message that waited, or was parked, has been published again by one of *carriers* (the users that may bring
    messages back to this queue): they note who it was, and nobody else is believed.
    """
    user = message.properties.get("user_id")
    said = (message.headers or {}).get(SENDER)
    if user in carriers and isinstance(said, str):
        return said
    return user if isinstance(user, str) else ""


def check_commander(queue: WorkQueue, said: str, own_user: str) -> None:
    """Raise InvalidMessage for a command that the coordinator hasn't published.

    Nobody else may publish to ``stackferry.commands``; but many versions of RabbitMQ don't check the keys that a sender
    puts into the headers CC and BCC, by which a message comes from a delay queue to any queue. Whoever connects as the
    reader itself (one user for all) is as good as the coordinator.
    """
    if not (queue.asked or queue.facts) and said not in (COORDINATOR.service, own_user):
        raise InvalidMessage("refused", {"sender": f"{said or 'nobody known'} may not command; the coordinator does"})


def copied(message: Any, carriers: Collection[str]) -> Outgoing:
    """Copy a received message, to publish it again, with the note of who published it first."""
    copy = Outgoing.copying(message)
    return replace(copy, headers={**copy.headers, SENDER: sender(message, carriers)})


def retried(queue: str, copy: Outgoing, error: str) -> Outgoing:
    """Return the copy to publish after a failure: to a delay queue, or to the parking queue after the last try."""
    attempt = attempt_of(copy.headers)
    if attempt >= len(BACKOFF):
        return parked(queue, copy, "failed", error)
    headers = {**copy.headers, ATTEMPT: attempt + 1, ERROR: error[:500]}
    return replace(copy, exchange=retry_exchange(BACKOFF[attempt]).name, key=queue, headers=headers)


def postponed(queue: str, copy: Outgoing, why: NotNow) -> Outgoing:
    """Return the copy to publish when a message can't be worked on yet; this doesn't count as a try.

    When it may have been claimed meanwhile, the next delivery must not wait for that claim to expire.
    """
    headers = {**copy.headers, CLAIMED: True} if isinstance(why, Claimed) else copy.headers
    wait = BACKOFF[0] if isinstance(why, Soon) else BACKOFF[1]
    return replace(copy, exchange=retry_exchange(wait).name, key=queue, headers=headers)


def parked(queue: str, copy: Outgoing, reason: str, error: Any) -> Outgoing:
    """Return the copy to publish to the parking queue."""
    text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False, default=str)
    return replace(copy, exchange=PARKED.name, key=queue, headers={**copy.headers, REASON: reason, ERROR: text[:2000]})
