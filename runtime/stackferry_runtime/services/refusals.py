"""Whoever asks for what can't be done is told so: by an answer where one is waited for, and by an event. Pure."""

from __future__ import annotations

import json
import uuid
from typing import Any

from stackferry import events, topology
from stackferry.bus import Outgoing
from stackferry.envelope import SHORT, loosely
from stackferry.errors import InvalidMessage
from stackferry.messages import Answer, RequestRefused

SOURCE = f"stackferry/{topology.COORDINATOR.service}"  # which alone is asked
LONGEST = 2000  # characters of a reason


def refusals(body: bytes, message_id: str, sender: str, error: InvalidMessage) -> list[Outgoing]:
    """Return what to publish about a request that nobody will act on.

    The request may be anything: what can't be read of it isn't told. *message_id*: AMQP's, for one without an id.
    """
    event = loosely(body)
    asked, id_ = event.get("data"), _text(event.get("id")) or message_id[:SHORT]
    data: dict[str, Any] = asked if isinstance(asked, dict) else {}
    if not id_:
        return []
    wrong = error.errors
    text = wrong if isinstance(wrong, str) else json.dumps(wrong, ensure_ascii=False, default=str)
    reason = f"{error.reason}: {text}"[:LONGEST]
    cause: dict[str, Any] = {"correlationid": _text(event.get("correlationid")) or id_, "causationid": id_}
    told = []
    if reply_to := _text(data.get("reply_to")):
        answer = Answer.make(SOURCE, {"error": reason}, **cause)
        told.append(Outgoing.of(topology.REPLIES.name, reply_to, answer))
    words = _text(event.get("type")).split(".")
    about = {"migration": _uuid(data.get("migration")), "name": words[1] if len(words) > 1 else None}
    refusal = RequestRefused.make(
        SOURCE, {"request": id_, "sender": sender or None, "reason": reason, **about}, **cause,
        subject=about["migration"] or "",
    )  # fmt: skip
    key = events.key(None, None, about["migration"], RequestRefused.called)
    return [*told, Outgoing.of(topology.EVENTS.name, key, refusal)]


def _text(value: object) -> str:
    """A text that can be sent on, or nothing."""
    try:
        return value if isinstance(value, str) and len(value.encode()) <= SHORT else ""
    except UnicodeEncodeError:
        return ""


def _uuid(value: object) -> str | None:
    try:
        return str(uuid.UUID(_text(value)))
    except ValueError:
        return None
