"""A gateway of Stackferry, asked by Python. Each method is a path of its HTTP API (``/v1/openapi.json``)."""

from __future__ import annotations

import json
import math
import random
import ssl
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from .errors import FerryError, Refused, Unavailable
from .stream import Frame, frames

Row = dict[str, Any]
PAGE = 1000  # items of one
TRIES = 5  # of a request that may be sent again
SILENCE = 60.0  # seconds: a stream says something every 15
LONGEST = 30.0  # seconds between two tries
AGAIN_AFTER = 1.0  # seconds, half as many or half more, until a stream is opened again
AGAIN = (429, 503, 504)
#: phases in which nothing goes on by itself
ENDED = ("planned", "done", "undone", "cancelled", "stuck")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was told. ``type``: the message's name, or ``reset``: some were told that are kept no longer.

    ``data``: the CloudEvent, as JSON has it. ``number``: where it stands in the stream; None for progress, which isn't
    kept.
    """

    type: str
    data: Row
    number: int | None


class Client:
    """Asks one gateway.

    *endpoint*: where it is, ``https://ferry.example:8972``. *auth*: how requests say whose they are, for httpx;
    *token*: one of the gateway's own, in its place. *verify*: as httpx has it: an SSL context, or False, for tests.
    *timeout*: seconds that an answer may take. Every method raises Refused or Unavailable.
    """

    def __init__(
        self, endpoint: str, *, token: str | None = None, auth: httpx.Auth | None = None,
        verify: ssl.SSLContext | bool = True, timeout: float = 60.0,
    ) -> None:  # fmt: skip
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    # -- migrations ----------------------------------------------------------------------------------------

    def migrations(
        self, phases: list[str] | None = None, labels: dict[str, str] | None = None, newest: bool = False
    ) -> Iterator[Row]:
        """Yield the migrations that this token may know of, the oldest first; with *newest* the newest."""
        asked = {"phase": phases or [], "label": [f"{name}={value}" for name, value in (labels or {}).items()]}
        yield from self._pages("/migrations", **asked, **({"newest": "true"} if newest else {}))

    def request(self, body: Row, key: str | None = None) -> Row:
        """Request a migration, and return it. *body*: as of ``request-migration``; *key*: the same one is taken once.

        Without a key it has one of its own: a request whose answer is lost is sent again, and isn't taken twice.
        """
        key = key or str(uuid.uuid4())
        if not (key.isascii() and key.isprintable()):
            raise FerryError("this can be no Idempotency-Key: it has other characters than a header can have")
        try:
            content = json.dumps(body, allow_nan=False).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise FerryError(f"this request can't be JSON: {error}") from None
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return self._row(self._ask("POST", "/migrations", is_safe=True, content=content, headers=headers))

    def show(self, migration: str) -> Row:
        """How a migration is."""
        return self._row(self._ask("GET", _of(migration)))

    def find(self, named: str) -> Row:
        """The migration of an id, or of a name that one has; raises FerryError when several have it."""
        try:
            return self.show(named)
        except Refused as error:
            if error.status != 404:
                raise
        found = [one for one in self.migrations() if one.get("name") == named]
        if len(found) != 1:
            several = f"{len(found)} migrations are called {named!r}: say which, by its id"
            raise FerryError(several if found else f"no migration has the id or the name {named!r}")
        return found[0]

    def forget(self, migration: str) -> None:
        """Forget a migration that is over. Nothing is deleted in a cloud."""
        self._ask("DELETE", _of(migration))

    def act(self, migration: str, action: str, servers: list[str] | None = None) -> Row:
        """Tell it to start, pause, resume, cancel, retry, cutover (all, or these servers) or undo; how it is then."""
        body = {"action": action, **({"servers": servers} if servers else {})}
        return self._row(self._ask("POST", f"{_of(migration)}/actions", json=body))

    def clean_up(self, migration: str, workloads: dict[str, str]) -> Row:
        """Delete workloads at the source that have moved: {server/<id> or volume/<id>: its name}."""
        body = {"workloads": list(workloads), "names": list(workloads.values())}
        return self._row(self._ask("POST", f"{_of(migration)}/cleanup", json=body))

    def steps(
        self, migration: str, states: list[str] | None = None, kinds: list[str] | None = None
    ) -> Iterator[Row]:  # fmt: skip
        """Yield its steps, in order."""
        yield from self._pages(f"{_of(migration)}/steps", state=states or [], kind=kinds or [])

    def plan(self, migration: str) -> Iterator[Row]:
        """Yield what a plan would do, with the fields that differ."""
        yield from self._pages(f"{_of(migration)}/plan")

    def workloads(self, migration: str) -> Row:
        """Where its servers and volumes are: {items, progress}."""
        return self._row(self._ask("GET", f"{_of(migration)}/workloads"), "items")

    def report(self, migration: str) -> Row:
        """What became of it: {migration, kinds, attention, workloads, progress}."""
        return self._row(self._ask("GET", f"{_of(migration)}/report"), "kinds")

    def id_map(self, migration: str) -> list[Row]:
        """Which id of the source became which: {kind, name, source_id, destination_id} each."""
        return self._items(f"{_of(migration)}/id-map")

    def wait(self, migration: str, seconds: float | None = None) -> Row:
        """How it is once nothing goes on by itself: planned, done, undone, cancelled, stuck, or paused.

        Raises Unavailable after so many *seconds*.
        """
        deadline, state = None if seconds is None else time.monotonic() + seconds, self.show(migration)
        for event in () if _is_still(state) else self._heard(migration, None, False, deadline):
            if event is None or event.type in ("migration-changed", "reset"):
                state = self.show(migration)
                if _is_still(state):
                    break
        if not _is_still(state):
            raise Unavailable(
                f"migration {migration} was {state['phase']} when it was last heard of, after {seconds:g} s"
            )
        return state

    # -- events --------------------------------------------------------------------------------------------

    def events(
        self, migration: str | None = None, after: int | None = None, progress: bool = False
    ) -> Iterator[Event]:  # fmt: skip
        """Yield what is told, as it's told, for ever: of one migration, or of all.

        *after*: the number after which to begin; -1: with the oldest that is kept; None: now. *progress*: that of
        steps, too. A stream that ends is opened again where it was; raises Unavailable when none was open for a minute.
        """
        yield from (event for event in self._heard(migration, after, progress, None) if event is not None)

    def _heard(
        self, migration: str | None, after: int | None, progress: bool, deadline: float | None
    ) -> Iterator[Event | None]:
        """What is told; None each time that a stream was opened, so that what is looked at then is no older."""
        path = f"{_of(migration)}/events" if migration else "/events"
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
            time.sleep(max(0.0, min(AGAIN_AFTER * (0.5 + random.random()), _left(deadline))))  # noqa: S311 - not all at once

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

    # -- hosts, workers, clouds ----------------------------------------------------------------------------

    def hosts(self) -> list[Row]:
        """The conversion hosts: how full each is, whether it gets work, and why not."""
        return self._items("/hosts")

    def act_on_host(self, host: str, action: str) -> Row | None:
        """Tell a conversion host to drain, resume or be forgotten; how it is then, None when it's forgotten."""
        response = self._ask("POST", f"/hosts/{quote(host, safe='')}/actions", json={"action": action})
        return self._row(response, "state") if response.content else None

    def workers(self) -> list[Row]:
        """The exporters and importers that are there."""
        return self._items("/workers")

    def check_cloud(self, cloud: str, side: str = "source", project: str | None = None) -> Row:
        """Have the credentials tried that the exporters (*side* source) or importers (destination) have for a cloud."""
        params = {"side": side, **({"project": project} if project else {})}
        return self._row(self._ask("GET", f"/clouds/{quote(cloud, safe='')}/check", params=params), "cloud")

    # -- how ----------------------------------------------------------------------------------------------

    def _items(self, path: str) -> list[Row]:
        found: list[Row] = self._row(self._ask("GET", path), "items")["items"]
        return found

    def _pages(self, path: str, **params: Any) -> Iterator[Row]:
        """Yield the items of a list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = self._row(self._ask("GET", path, params={"limit": PAGE, **params, **cursor}), "items")
            yield from page["items"]
            if not (next_ := page.get("next")):
                return
            cursor = {"cursor": next_}

    def _ask(self, method: str, path: str, *, is_safe: bool = False, **about: Any) -> httpx.Response:
        """Send a request, and again what may be sent again: questions, what *is_safe*, and what wasn't let in."""
        is_safe = is_safe or method == "GET"
        for left in reversed(range(TRIES)):
            try:
                response = self._http.request(method, path, **about)
            except httpx.RequestError as error:
                if not left or not (is_safe or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)):
                    taken = "" if is_safe else "; whether it was told isn't known: look before you tell it again"
                    raise Unavailable(f"{self._http.base_url} doesn't answer: {error}{taken}") from None
                time.sleep(1.0)
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

    def _row(self, response: httpx.Response, needs: str = "phase") -> Row:
        """The object that is answered; *needs*: the field by which one knows it."""
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or needs not in found:
            raise Unavailable(f"{response.url} doesn't answer as a gateway of Stackferry does")
        return found


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


def _of(migration: str) -> str:
    try:
        return f"/migrations/{quote(migration, safe='')}"
    except UnicodeEncodeError:
        raise FerryError(f"no migration has the id or the name {migration!r}") from None


def _is_still(migration: Row) -> bool:
    return migration["phase"] in ENDED or bool(migration.get("paused"))


def _left(deadline: float | None) -> float:
    return math.inf if deadline is None else deadline - time.monotonic()


def _seconds(retry_after: str | None) -> float:
    """What a Retry-After says in seconds; 1 for a date, or nothing."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 1.0
