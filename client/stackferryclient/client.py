"""A gateway of Stackferry, asked by Python. Each method is a path of its HTTP API (``/v1/openapi.json``)."""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections.abc import Iterator
from typing import Self
from urllib.parse import quote

import httpx

from .errors import FerryError, Refused, Unavailable
from .transport import Event, Row, Transport

#: phases in which nothing goes on by itself
ENDED = ("planned", "done", "undone", "cancelled", "stuck")


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
        self._to = Transport(endpoint, token, auth, verify, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End its connections."""
        self._to.close()

    # -- migrations ----------------------------------------------------------------------------------------

    def migrations(
        self, phases: list[str] | None = None, labels: dict[str, str] | None = None, newest: bool = False
    ) -> Iterator[Row]:
        """Yield the migrations that this token may know of, the oldest first; with *newest* the newest."""
        asked = {"phase": phases or [], "label": [f"{name}={value}" for name, value in (labels or {}).items()]}
        yield from self._to.pages("/migrations", **asked, **({"newest": "true"} if newest else {}))

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
        return self._to.row(self._to.ask("POST", "/migrations", is_safe=True, content=content, headers=headers))

    def show(self, migration: str) -> Row:
        """How a migration is."""
        return self._to.row(self._to.ask("GET", _of(migration)))

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
        self._to.ask("DELETE", _of(migration))

    def act(self, migration: str, action: str, servers: list[str] | None = None) -> Row:
        """Tell it to start, pause, resume, cancel, retry, cutover (all, or these servers) or undo; how it is then."""
        body = {"action": action, **({"servers": servers} if servers else {})}
        return self._to.row(self._to.ask("POST", f"{_of(migration)}/actions", json=body))

    def clean_up(self, migration: str, workloads: dict[str, str]) -> Row:
        """Delete workloads at the source that have moved: {server/<id> or volume/<id>: its name}."""
        body = {"workloads": list(workloads), "names": list(workloads.values())}
        return self._to.row(self._to.ask("POST", f"{_of(migration)}/cleanup", json=body))

    def steps(
        self, migration: str, states: list[str] | None = None, kinds: list[str] | None = None
    ) -> Iterator[Row]:  # fmt: skip
        """Yield its steps, in order."""
        yield from self._to.pages(f"{_of(migration)}/steps", state=states or [], kind=kinds or [])

    def plan(self, migration: str) -> Iterator[Row]:
        """Yield what a plan would do, with the fields that differ."""
        yield from self._to.pages(f"{_of(migration)}/plan")

    def workloads(self, migration: str) -> Row:
        """Where its servers and volumes are: {items, progress}."""
        return self._to.row(self._to.ask("GET", f"{_of(migration)}/workloads"), "items")

    def report(self, migration: str) -> Row:
        """What became of it: {migration, kinds, attention, workloads, progress}."""
        return self._to.row(self._to.ask("GET", f"{_of(migration)}/report"), "kinds")

    def id_map(self, migration: str) -> list[Row]:
        """Which id of the source became which: {kind, name, source_id, destination_id} each."""
        return self._to.items(f"{_of(migration)}/id-map")

    def wait(self, migration: str, seconds: float | None = None) -> Row:
        """How it is once nothing goes on by itself: planned, done, undone, cancelled, stuck, or paused.

        Raises Unavailable after so many *seconds*.
        """
        deadline, state = None if seconds is None else time.monotonic() + seconds, self.show(migration)
        for event in () if _is_still(state) else self._to.heard(f"{_of(migration)}/events", None, False, deadline):
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
        path = f"{_of(migration)}/events" if migration else "/events"
        yield from (event for event in self._to.heard(path, after, progress) if event is not None)

    # -- hosts, workers, clouds, messages ----------------------------------------------------------------------------

    def hosts(self) -> list[Row]:
        """The conversion hosts: how full each is, whether it gets work, and why not."""
        return self._to.items("/hosts")

    def act_on_host(self, host: str, action: str) -> Row | None:
        """Tell a conversion host to drain, resume or be forgotten; how it is then, None when it's forgotten."""
        response = self._to.ask("POST", f"/hosts/{quote(host, safe='')}/actions", json={"action": action})
        return self._to.row(response, "state") if response.content else None

    def workers(self) -> list[Row]:
        """The exporters and importers that are there."""
        return self._to.items("/workers")

    def dead_letters(self) -> list[Row]:
        """The oldest messages that no service could act on, each with its id, queue, type, migration and error."""
        return self._to.items("/dead-letters")

    def settle(self, ids: list[str], action: str) -> Row:
        """Put such messages back where they failed (retry), or drop them: {done, stay: {id: why}, missing}."""
        return self._to.row(self._to.ask("POST", "/dead-letters/actions", json={"action": action, "ids": ids}), "done")

    def check_cloud(self, cloud: str, side: str = "source", project: str | None = None) -> Row:
        """Have the credentials tried that the exporters (*side* source) or importers (destination) have for a cloud."""
        params = {"side": side, **({"project": project} if project else {})}
        return self._to.row(self._to.ask("GET", f"/clouds/{quote(cloud, safe='')}/check", params=params), "cloud")


def _of(migration: str) -> str:
    try:
        return f"/migrations/{quote(migration, safe='')}"
    except UnicodeEncodeError:
        raise FerryError(f"no migration has the id or the name {migration!r}") from None


def _is_still(migration: Row) -> bool:
    return migration["phase"] in ENDED or bool(migration.get("paused"))
