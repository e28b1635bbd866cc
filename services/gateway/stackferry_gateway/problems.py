"""What is answered to a request that can't be served. Source: RFC 9457, "Problem Details for HTTP APIs"."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from stackferry.errors import BrokerUnavailable, InvalidMessage, NoAnswer, Unconfirmed, Unroutable

MOST = 100  # errors that are told at once
MEDIA = "application/problem+json"
#: status → its short name in ``type``, and title
SORTS = {
    400: ("bad-request", "The request can't be read"),
    401: ("unauthenticated", "A token is needed"),
    403: ("forbidden", "This token may not do that"),
    404: ("not-found", "There's no such thing"),
    405: ("method-not-allowed", "That can't be done here"),
    406: ("not-acceptable", "It isn't to be had in this form"),
    408: ("too-slow", "The request didn't arrive"),
    409: ("conflict", "Not as it is now"),
    412: ("precondition-failed", "It has changed meanwhile"),
    413: ("too-large", "The body is too large"),
    415: ("unsupported-media-type", "The body is in another form"),
    422: ("invalid", "The request makes no sense"),
    429: ("too-many", "Too many requests"),
    500: ("internal", "The gateway has failed"),
    503: ("unavailable", "The broker can't be reached"),
    504: ("no-answer", "Nobody answered in time"),
}


class Problem(Exception):
    """A request isn't served. ``detail`` says why, ``errors`` what is wrong where, ``help`` which command helps."""

    def __init__(
        self, status: int, detail: str, errors: Any = None, help: str | None = None, **headers: str
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status, self.detail, self.errors, self.help = status, detail, errors, help
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def body(self) -> bytes:
        """The document, as bytes."""
        name, title = SORTS[self.status]
        told: dict[str, Any] = {"type": f"urn:stackferry:problem:{name}", "title": title, "status": self.status,
                                "detail": self.detail}  # fmt: skip
        if self.errors:
            found = itertools.islice(pointers(self.errors), MOST)
            told["errors"] = [{"pointer": where, "detail": what} for where, what in found]
        if self.help:
            told["help"] = self.help
        return json.dumps(told).encode()


def pointers(errors: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield (JSON pointer, sentence) of each error of a schema. Source: RFC 6901."""
    if isinstance(errors, dict):
        for name, inner in errors.items():
            part = "" if name == "_schema" else "/" + str(name).replace("~", "~0").replace("/", "~1")
            yield from pointers(inner, at + part)
    elif isinstance(errors, list):
        for one in errors:
            yield from pointers(one, at) if isinstance(one, dict | list) else iter([(at, str(one))])
    else:
        yield at, str(errors)


def of_error(error: Exception) -> Problem:
    """The problem that one of our own errors is."""
    if isinstance(error, InvalidMessage):
        return of_refusal(error.reason, error.errors)
    if isinstance(error, NoAnswer):
        return Problem(504, str(error), help="stackferry status", Retry_After="5")
    if isinstance(error, BrokerUnavailable | Unconfirmed | Unroutable):
        text = "the broker takes nothing now; the request may be sent again, a new migration with its Idempotency-Key"
        return Problem(503, text, Retry_After="5")
    raise error


def of_refusal(reason: str, errors: Any) -> Problem:
    """The problem that a refusal of the coordinator, or of a schema, is."""
    first = next(pointers(errors), ("", reason))[1]
    if reason == "refused":
        return Problem(403, first, errors)
    if isinstance(errors, dict) and errors.get("migration") == "there's no such migration":
        return Problem(404, first)
    is_now = isinstance(errors, dict) and errors.keys() & {"action", "workloads", "migration"}
    if is_now and all(isinstance(what, str) for what in errors.values()):  # schemas say lists
        return Problem(409, first, errors)
    return Problem(422, "see `errors`: each names a field, and what is wrong with it", errors)
