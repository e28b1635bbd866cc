"""How a gateway is asked, and heard: what is sent again, what is an answer, and where a stream goes on."""

from __future__ import annotations

import json
import math
import random
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from .errors import FerryError, Refused, Unavailable
from .stream import Frame, frames

Row = dict[str, Any]
PAGE = 1000  # items of one
TRIES, PAUSE = 5, 1.0  # of a request that may be sent again; seconds before that, where no answer says how many
LONGEST = 30.0  # seconds between two tries
AGAIN = (429, 503, 504)
SILENCE = 60.0  # seconds: a stream says something every 15
AGAIN_AFTER = 1.0  # seconds, half as many or half more, until a stream is opened again: not all at once


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was told. ``type``: the message's name, or ``reset``: some were told that are kept no longer.

    ``data``: the CloudEvent, as JSON has it. ``number``: where it stands in the stream; None for progress, which isn't
    kept.
    """

    type: str
    data: Row
    number: int | None


class Transport:
    """The connections to one gateway; see ``Client`` for what it's made of. Raises Refused and Unavailable."""

    def __init__(
        self, endpoint: str, token: str | None, auth: httpx.Auth | None, verify: ssl.SSLContext | bool, timeout: float
    ) -> None:
        if token is not None and not (token.isascii() and token.isprintable() and token):
            raise FerryError("this can be no token: it's empty, or has other characters than a header can have")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        base = _address(endpoint)
        try:
            self._http = httpx.Client(
                base_url=base, headers=headers, auth=auth, verify=verify, timeout=timeout,
                follow_redirects=False,  # a token is for one gateway
            )  # fmt: skip
        except httpx.InvalidURL as error:
            raise FerryError(f"this is no address of a gateway: {error}") from None

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def items(self, path: str) -> list[Row]:
        """The items of a short list."""
        found: list[Row] = self.row(self.ask("GET", path), "items")["items"]
        return found

    def pages(self, path: str, **params: Any) -> Iterator[Row]:
        """Yield the items of a list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = self.row(self.ask("GET", path, params={"limit": PAGE, **params, **cursor}), "items")
            yield from page["items"]
            if not (next_ := page.get("next")):
                return
            cursor = {"cursor": next_}

    def ask(self, method: str, path: str, *, is_safe: bool = False, **about: Any) -> httpx.Response:
        """Send a request, and again what may be sent again: questions, what *is_safe*, and what wasn't let in."""
        is_safe = is_safe or method == "GET"
        for left in reversed(range(TRIES)):
            try:
                response = self._http.request(method, path, **about)
            except httpx.RequestError as error:
                if not left or not (is_safe or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)):
                    taken = "" if is_safe else "; whether it was told isn't known: look before you tell it again"
                    raise Unavailable(f"{self._http.base_url} doesn't answer: {error}{taken}") from None
                time.sleep(PAUSE)
                continue
            may_again = response.status_code in AGAIN and (is_safe or response.status_code == 429)
            if not left or not may_again:
                return self._good(response)
            time.sleep(min(_seconds(response.headers.get("retry-after")), LONGEST))
        raise AssertionError("the last try returns")

    def _good(self, response: httpx.Response) -> httpx.Response:
        """The response; raise what an answer says that isn't one to the question."""
        if response.is_success:
            return response
        said = self._problem(response)
        if said is None:
            raise Unavailable(f"{response.url} answers {response.status_code}, and not as a gateway of Stackferry does")
        if response.status_code in (503, 504):
            raise Unavailable(str(said["detail"]))
        raise Refused(response.status_code, str(said["detail"]), said.get("errors") or [], said.get("help"))

    @staticmethod
    def _problem(response: httpx.Response) -> Row | None:
        if not response.headers.get("content-type", "").startswith("application/problem+json"):
            return None
        try:
            said = response.json()
        except ValueError:
            return None
        return said if isinstance(said, dict) and "detail" in said else None

    def row(self, response: httpx.Response, needs: str = "phase") -> Row:
        """The object that is answered; *needs*: the field by which one knows it."""
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or needs not in found:
            raise Unavailable(f"{response.url} doesn't answer as a gateway of Stackferry does")
        return found

    def heard(
        self, path: str, after: int | None, progress: bool, deadline: float | None = None
    ) -> Iterator[Event | None]:
        """Yield what a stream tells, until the *deadline* (``time.monotonic``).

        None comes each time that it was opened, so that what is looked at then is no older.
        """
        last, well = after, time.monotonic()  # the number to go on after; when a stream was last open
        while (left := _left(deadline)) > 0:
            why: Exception | str = "streams end at once"
            is_open = False
            try:
                for frame in self._stream(path, last, progress, min(SILENCE, left)):
                    well = time.monotonic()
                    last = int(frame.id) if frame.id is not None else -1 if last is None else last
                    if not is_open:
                        is_open = True
                        yield None
                    if frame.data is not None and frame.event is not None:
                        number = None if frame.id is None else int(frame.id)
                        yield Event(frame.event, json.loads(frame.data), number)
                    if _left(deadline) <= 0:
                        return
            except (httpx.RequestError, Unavailable) as error:
                why = error
            except Refused as error:
                if error.status != 429:
                    raise
                why = error
            except ValueError:
                raise Unavailable(f"{self._http.base_url}{path} is no stream of a gateway") from None
            well = time.monotonic() if is_open else well
            if time.monotonic() - well > SILENCE and _left(deadline) > 0:
                raise Unavailable(f"{self._http.base_url}: the events can't be heard: {why}") from None
            time.sleep(max(0.0, min(AGAIN_AFTER * (0.5 + random.random()), _left(deadline))))  # noqa: S311 - no secret

    def _stream(self, path: str, last: int | None, progress: bool, silence: float) -> Iterator[Frame]:
        """The blocks of a stream that begins after an event; the first one says where that is."""
        headers = {"Last-Event-ID": str(last)} if last is not None and last >= 0 else {}
        params = {"progress": "true" if progress else "false"} | ({"after": "-1"} if last == -1 else {})
        with self._http.stream("GET", path, params=params, headers=headers, timeout=httpx.Timeout(silence)) as response:
            if response.status_code != 200:
                response.read()
                self._good(response)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise Unavailable(f"{response.url} is no stream of a gateway")
            yield from frames(response.iter_bytes())


def _address(endpoint: str) -> str:
    """Where the API is; raise FerryError for what is no address. A password in it would take the token's place."""
    try:
        parts = urlsplit(endpoint)
        is_good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise FerryError("this is no address of a gateway: it's like https://ferry.example:8972")
    if parts.username is not None or parts.query or parts.fragment:
        raise FerryError("this is no address of a gateway: no user, no password, no ? and no # belong into it")
    return endpoint.rstrip("/").removesuffix("/v1") + "/v1"


def _left(deadline: float | None) -> float:
    return math.inf if deadline is None else deadline - time.monotonic()


def _seconds(retry_after: str | None) -> float:
    """What a Retry-After says in seconds; a pause for a date, or nothing."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else PAUSE
