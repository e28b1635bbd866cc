"""The envelope of every message: a CloudEvent 1.0 in structured JSON.

Source: CloudEvents 1.0.2, JSON event format. Attribute names are lower case without separators, as the
specification demands for extensions. CloudEvents' own AMQP binding is for AMQP 1.0; on AMQP 0-9-1 the
structured mode needs no binding: the body is the event, whatever the client.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .errors import InvalidMessage

CONTENT_TYPE = "application/cloudevents+json"
MAX_BYTES = 1 << 20
SHORT = 255  # bytes of a routing key, or of a text among AMQP's properties (0-9-1, 4.2.5.3)
_TRACE = re.compile(r"(?!ff)(?!00-.{53})[0-9a-f]{2}-([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{1,200})?")
REQUIRED = ("id", "source", "type", "specversion")


def now() -> str:
    """This instant as RFC 3339, UTC, with microseconds."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message. ``data`` has been, or is to be, checked by the message's schema."""

    type: str
    data: dict[str, Any]
    source: str
    subject: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    time: str = field(default_factory=now)
    correlationid: str = ""
    causationid: str = ""
    attempt: int = 0
    traceparent: str = ""

    @property
    def trace(self) -> str:
        """The id of the trace that it belongs to; empty when it names none. Source: W3C Trace Context, 3.2."""
        return trace(self.traceparent)

    def to_bytes(self) -> bytes:
        """Return the body to publish; raise InvalidMessage when it's no JSON, or over MAX_BYTES."""
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time,
            "datacontenttype": "application/json",
        }
        for name in ("subject", "correlationid", "causationid", "attempt", "traceparent"):
            if value := getattr(self, name):
                event[name] = value
        event["data"] = self.data
        try:
            body = json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidMessage("invalid", {"data": f"can't be written as JSON: {error}"}) from None
        if len(body) > MAX_BYTES:
            raise InvalidMessage("too large", {"data": f"{len(body)} bytes; at most {MAX_BYTES} may travel"})
        return body

    @classmethod
    def from_bytes(cls, body: bytes | memoryview | str, content_type: str | None = CONTENT_TYPE) -> Envelope:
        """Read one event; raise InvalidMessage with reason ``undecodable`` for anything else."""
        if (content_type or "").split(";")[0].strip().lower() != CONTENT_TYPE:
            raise InvalidMessage("undecodable", {"content_type": f"{content_type!r}; expected {CONTENT_TYPE}"})
        event = _parse(body)
        if missing := [name for name in REQUIRED if not _is_text(event.get(name))]:
            raise InvalidMessage("undecodable", dict.fromkeys(missing, "missing, or not a string"))
        if event["specversion"] != "1.0":
            raise InvalidMessage("undecodable", {"specversion": f"{event['specversion']!r}; expected '1.0'"})
        if not isinstance(event.get("data"), dict):
            raise InvalidMessage("undecodable", {"data": "missing, or not an object"})
        attempt = event.get("attempt", 0)
        if not isinstance(attempt, int) or isinstance(attempt, bool):
            raise InvalidMessage("undecodable", {"attempt": "not an integer"})
        for name in ("id", "correlationid"):
            if len(str(event.get(name) or "").encode()) > SHORT:
                raise InvalidMessage("undecodable", {name: f"longer than {SHORT} bytes"})
        optional = {
            name: event[name]
            for name in ("subject", "time", "correlationid", "causationid", "traceparent")
            if _is_text(event.get(name))
        }
        if not trace(optional.get("traceparent", "")):
            optional.pop("traceparent", None)  # whoever reads traces can't read it; the message is none the worse
        return cls(
            id=event["id"],
            source=event["source"],
            type=event["type"],
            data=event["data"],
            attempt=attempt,
            **optional,
        )


def trace(traceparent: str) -> str:
    """The id of the trace in a ``traceparent``; empty for what is none. Source: W3C Trace Context, 3.2."""
    found = _TRACE.fullmatch(traceparent)
    return found[1] if found and found[1].strip("0") else ""


def loosely(body: bytes) -> dict[str, Any]:
    """Return a body as an object, whatever is in it; an empty one when it's none. For what is said about messages."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        event = None
    return event if isinstance(event, dict) else {}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _parse(body: bytes | memoryview | str) -> dict[str, Any]:
    try:
        raw = body.encode() if isinstance(body, str) else bytes(body)
        if len(raw) > MAX_BYTES:
            raise ValueError(f"longer than {MAX_BYTES} bytes")
        text = raw.decode("utf-8")
        event = json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_no_constant)
        if "\\u" in text:  # half a surrogate pair can be escaped, and not be sent on
            json.dumps(event, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidMessage("undecodable", {"body": str(error) or type(error).__name__}) from None
    if not isinstance(event, dict):
        raise InvalidMessage("undecodable", {"body": "not a JSON object"})
    return event


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is beyond all numbers")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
