"""Webhooks: each event is POSTed to an address. Source: the Standard Webhooks specification, 1.0.0.

``webhook-id``, ``webhook-timestamp`` and ``webhook-signature`` are headers; the id is the event's, the same each time.
An event that isn't taken is tried eight times over a day; then it's written to a file, and the next one's turn comes.
Nobody is led elsewhere, and private addresses are spoken to only where the file allows it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from jinja2.sandbox import ImmutableSandboxedEnvironment
from stackferry.envelope import Envelope
from stackferry.wording.telling import told
from stackferry_runtime.logs import logger

from ..events import MEDIA, Event, Place
from . import Away

log = logger(__name__)
#: seconds after each try that isn't taken, until the next one: eight tries over a day
WAITS = (5.0, 60.0, 600.0, 3600.0, 4 * 3600.0, 6 * 3600.0, 12 * 3600.0)
TAKES = 15.0  # seconds for an answer
READS = 64 << 10  # bytes of an answer that are looked at
GOOD = range(200, 300)
#: addresses of IPv6 that end with one of IPv4 (RFC 6052, RFC 8215, RFC 4291)
TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))


@dataclass(frozen=True)
class Hook:
    """A webhook as its file says it. ``secret``: what signatures are made with."""

    name: str
    url: str
    secret: bytes | None = field(default=None, repr=False)
    format: str = "cloudevents"
    template: str = ""
    events: frozenset[str] | None = None
    clouds: frozenset[str] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    private: bool = False

    def wants(self, event: Event) -> bool:
        """Whether an event is for it."""
        source, destination, _, name = event.words
        clouds = {place.partition("/")[0] for place in (source, destination)}
        if self.events is not None and name not in self.events:
            return False
        if self.clouds is not None and not clouds & self.clouds:
            return False
        said = (event.envelope.get("data") or {}).get("labels") or {}
        return not self.labels or (isinstance(said, dict) and dict(self.labels).items() <= said.items())


class Webhook:
    """One address that events are sent to."""

    is_exact = False

    def __init__(self, hook: Hook, failed: Path, clock: Callable[[], float] = time.time) -> None:
        self.name, self.hook, self.failed, self.clock = f"webhook {hook.name}", hook, failed, clock
        self.tries: tuple[int, int] = (-1, 0)  # number of the event that isn't taken, and how often it was tried
        self._client = httpx.Client(timeout=TAKES, follow_redirects=False, trust_env=False)
        self._templates = ImmutableSandboxedEnvironment(autoescape=False)

    def position(self) -> Place | None:
        """It can't say."""
        return None

    def send(self, events: list[Event]) -> Iterator[Place]:
        """Send those that are for it, one by one."""
        for event in events:
            if self.hook.wants(event):
                self._send(event)
                yield event.place
        yield events[-1].place

    def close(self) -> None:
        """Leave the connections."""
        self._client.close()

    def _send(self, event: Event) -> None:
        try:
            status = self._post(event)
        except Exception as error:  # also what a template stumbles over: a try like any other
            why = f"{type(error).__name__}: {error}"
        else:
            if status in GOOD:
                self.tries = (-1, 0)
                return
            why = f"it answers {status}"
        many = self.tries[1] + 1 if self.tries[0] == event.number else 1
        self.tries = (event.number, many)
        if many <= len(WAITS):
            raise Away(f"event {event.number} isn't taken, {many} of {len(WAITS) + 1} tries: {why}", WAITS[many - 1])
        self._give_up(event, why)

    def _post(self, event: Event) -> int:
        """Send it; return the status of the answer."""
        body, media = self._body(event)
        parts = urlsplit(self.hook.url)
        address = _address(parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80), self.hook.private)
        headers = {"Content-Type": media, "User-Agent": "stackferry", **self._signed(event, body)}
        # to the address that was looked at, and to no other that the name might have a moment later
        to = httpx.URL(self.hook.url).copy_with(host=address)
        headers["Host"] = parts.netloc.rpartition("@")[2]
        with self._client.stream(
            "POST", to, content=body, headers=headers, extensions={"sni_hostname": parts.hostname}
        ) as answer:
            deadline = time.monotonic() + TAKES
            for size, _ in enumerate(answer.iter_raw(1024)):
                if size * 1024 > READS or time.monotonic() > deadline:
                    break
            return answer.status_code

    def _body(self, event: Event) -> tuple[bytes, str]:
        if self.hook.format == "cloudevents":
            return event.body, MEDIA
        envelope = Envelope.from_bytes(event.body, MEDIA)
        text = told(envelope) or event.name
        migration = str(envelope.data.get("migration_name") or event.migration)
        if self.hook.format == "slack":
            return json.dumps({"text": f"{migration}: {text}"}).encode(), "application/json"
        about = {
            "event": event.envelope,
            "text": text,
            "name": event.name,
            "migration": migration,
            "number": event.number,
        }
        return self._templates.from_string(self.hook.template).render(about).encode(), "application/json"

    def _signed(self, event: Event, body: bytes) -> dict[str, str]:
        """The headers by which a receiver knows who has sent it."""
        about = {"webhook-id": event.id, "webhook-timestamp": str(int(self.clock()))}
        if self.hook.secret is None:
            return about
        said = f"{about['webhook-id']}.{about['webhook-timestamp']}.".encode() + body
        mark = base64.b64encode(hmac.new(self.hook.secret, said, hashlib.sha256).digest()).decode()
        return {**about, "webhook-signature": f"v1,{mark}"}

    def _give_up(self, event: Event, why: str) -> None:
        """Keep an event that was never taken, so that it isn't lost."""
        log.error(
            "an event was never taken", hook=self.hook.name, number=event.number, error=why, file=str(self.failed)
        )
        line = {"number": event.number, "error": why, "event": event.envelope}
        with self.failed.open("a") as content:
            content.write(json.dumps(line) + "\n")
            content.flush()
            os.fsync(content.fileno())
        self.tries = (-1, 0)


def _is_for_everybody(address: Any) -> bool:
    """Whether an address is public, and so is the one of IPv4 that it may hold."""
    if isinstance(address, ipaddress.IPv6Address):
        held = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if any(address in network for network in TRANSLATED):
            held = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.is_site_local or (held is not None and not _is_for_everybody(held)):
            return False
        if held is not None and address.ipv4_mapped:
            return True
    return bool(address.is_global and not address.is_multicast)


class Forbidden(Exception):
    """An address that nothing is sent to."""


def _address(host: str, port: int, private: bool) -> str:
    """The address of a host; raise Forbidden for one that isn't for everybody, unless *private*."""
    found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(one[4][0]) for one in found]
    for address in addresses:
        if not private and not _is_for_everybody(address):
            raise Forbidden(f"{host} is at {address}, which is private; `private: true` allows that")
    return str(addresses[0])
