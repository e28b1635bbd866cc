"""Requests to a cloud: so many at once, patient where it asks for patience, repeated where that does no harm.

At most ``cloud_concurrency`` are under way per cloud; an overloaded cloud (429, 503) halves that at once, and every
success widens it a little. ``Retry-After`` is obeyed. No body may be endless, and no answer leads to another host.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from keystoneauth1.session import TCPKeepAliveAdapter
from requests.exceptions import ConnectionError
from stackferry.errors import Error, Unfinished
from urllib3.exceptions import HTTPError

from .deadlines import POOLS, Deadline

SAFE = ("GET", "HEAD", "OPTIONS")
MAX_WAIT = 60.0  # seconds; no message may be held for long
TRIES = 4
FRESH = 120.0  # seconds after which a write that waits for its turn isn't sent: its try may be given up by then
LONGEST = 64 << 20  # bytes of an answer, unless it's a payload; listings come in pages
SLOWEST = 300.0  # seconds from its beginning to its end
REDIRECTS = (301, 302, 303, 305, 307, 308)


#: told of each answer, if any: host and port of the cloud, method, status (0: none came), seconds
answered: Callable[[str, str, int, float], None] | None = None


class Endless(OSError):
    """An answer that is too long, or takes too long; what was asked may have been done."""


class Gate:
    """Lets at most ``limit`` calls through at once; the limit adapts between 1 and *most*."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.busy = 0
        self.not_before = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one slot, waiting for it and for the cloud's own ``Retry-After``."""
        with self._changed:
            while self.busy >= int(self.limit):
                self._changed.wait()
            self.busy += 1
        try:
            time.sleep(max(0.0, self.not_before - time.monotonic()))
            yield
        finally:
            with self._changed:
                self.busy -= 1
                self._changed.notify()

    def overloaded(self, wait: float) -> None:
        """The cloud refused: half as many calls from now on, and none for *wait* seconds."""
        with self._changed:
            self.limit = max(1.0, self.limit / 2)
            self.not_before = max(self.not_before, time.monotonic() + wait)

    def went_well(self) -> None:
        """The cloud answered: a little more is allowed."""
        with self._changed:
            self.limit = min(float(self.most), self.limit + 0.1)
            self._changed.notify()


class PatientAdapter(TCPKeepAliveAdapter):
    """Sends requests through a gate, and repeats those whose repetition is harmless.

    429, and 503 with ``Retry-After``, mean that nothing was done: any method is repeated. Other server errors
    and broken connections leave a doubt: only reading is repeated; for a write the caller must look first.
    """

    def __init__(self, gate: Gate, tries: int = TRIES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gate, self.tries = gate, tries

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        replayable, began = request.body is None or isinstance(request.body, bytes | str), time.monotonic()
        for left in reversed(range(self.tries)):
            with self.gate.slot():
                if request.method not in SAFE and time.monotonic() - began > FRESH:
                    raise Unfinished("the cloud is overloaded: nothing was sent")
                try:
                    response = self._noted(request, *args, **kwargs)
                except Endless:
                    raise
                except OSError:  # requests' errors are OSErrors
                    if request.method in SAFE and left:
                        time.sleep(_jitter(self.tries - left))
                        continue
                    raise
            wait = refused(response.status_code, response.headers.get("Retry-After"))
            if wait is not None:
                self.gate.overloaded(wait)
            elif response.status_code < 500:
                self.gate.went_well()
                return response
            again = wait is not None or request.method in SAFE
            if not (again and left and replayable):
                return response
            response.close()
            if wait is None:
                time.sleep(_jitter(self.tries - left))
        raise AssertionError("unreachable")

    def _noted(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        began, status = time.monotonic(), 0
        try:
            response = self._answer(request, *args, **kwargs)
            status = response.status_code
        finally:
            if answered is not None:
                host = urlsplit(request.url or "").netloc.rpartition("@")[2]
                answered(host, request.method, status, time.monotonic() - began)
        return response

    def _answer(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Return an answer that is read, but for a payload's body; raise Endless when it's too long, or takes so."""
        response = None
        with Deadline(SLOWEST) as deadline:
            try:
                response = super().send(request, *args, **kwargs)
                _stay(request.url, response)
                if not kwargs.get("stream"):
                    _read(response)
            except OSError:
                if not deadline.is_over:
                    raise
        if deadline.is_over:  # also of what looks whole: it may have been cut off
            if response is not None:
                response.close()
            raise Endless(_what(request.url, f"not over after {SLOWEST:.0f} seconds"))
        return response


def _stay(url: str | None, response: Any) -> None:
    """Raise Error for an answer that leads to another host: what follows it sends the token along."""
    location = response.headers.get("Location")
    if response.status_code not in REDIRECTS or not location:
        return
    here, there = urlsplit(url or "").hostname, urlsplit(urljoin(url or "", location)).hostname
    if there != here:
        response.close()
        raise Error(f"{here} leads to another host, {there}: nothing is sent there; see the endpoints of this cloud")


def _read(response: Any) -> None:
    """Read an answer as requests would, but for its limits; whatever has arrived counts, since more may never come."""
    size, parts = 0, []
    while part := _more(response.raw):
        parts.append(part)
        size += len(part)
        if size > LONGEST:
            response.close()
            raise Endless(_what(response.url, f"longer than {LONGEST >> 20} MiB"))
    response._content = b"".join(parts)  # where requests itself keeps what was read


def _what(url: str | None, fault: str) -> str:
    return f"its answer to {urlsplit(url or '').path} is {fault}"


def _more(raw: Any) -> bytes:
    try:
        part: bytes = raw.read1(1 << 16, decode_content=True)
    except HTTPError as error:  # urllib3's; keystoneauth knows those of requests
        raise ConnectionError(error) from error
    return part


def refused(status: int, retry_after: str | None) -> float | None:
    """Return how many seconds to wait when the cloud says that it did nothing; None when it doesn't say so."""
    if status == 429 or (status == 503 and retry_after):
        return _seconds(retry_after)
    return None


def _seconds(retry_after: str | None) -> float:
    try:
        wait = float(retry_after or 1)
    except ValueError:
        try:
            wait = parsedate_to_datetime(retry_after or "").timestamp() - time.time()
        except ValueError:
            wait = 1.0
    return min(max(wait, 0.0), MAX_WAIT) if math.isfinite(wait) else MAX_WAIT


def _jitter(attempt: int) -> float:
    return float(2**attempt) * random.uniform(0.2, 0.5)  # noqa: S311 - not a secret
