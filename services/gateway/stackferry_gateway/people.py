"""Who asks: tokens, the roles behind them, and how fast each may ask.

tokens:
- {name: ann, sha256: 5e8848..., role: operator, clouds: [old, new], labels: {team: web}, expires: 2027-01-31T00:00:00Z}

``sha256`` is of the token: the file holds nothing that anybody could use.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from marshmallow import RAISE, Schema, fields, validate
from stackferry.errors import Error
from stackferry.roles import Client, ClientFields, client
from stackferry_runtime.reread import Reread, loaded

from .problems import Problem

NAMES = 10_000  # of whom it's remembered how fast they ask
BURST = 2.0  # seconds' worth of requests that may come at once
CHALLENGE = 'Bearer error="invalid_token"'  # RFC 6750, 3


class _Token(ClientFields):
    name = fields.String(required=True, validate=validate.Length(1, 255))
    sha256 = fields.String(required=True, validate=validate.Regexp(r"[0-9a-f]{64}\Z", error="64 digits of 0-9a-f"))
    expires = fields.AwareDateTime(load_default=None, allow_none=True, default_timezone=UTC)


class _File(Schema):
    class Meta:
        unknown = RAISE

    tokens = fields.List(fields.Nested(_Token), required=True)


@dataclass(frozen=True, slots=True)
class Person:
    """Whose token it is, and what it's good for. ``digest``: the token's."""

    name: str
    client: Client = field(default_factory=Client)
    expires: datetime | None = None
    digest: str = field(default="", repr=False)


class Tokens:
    """The people of a file: see ``Reread`` for one that changes, or can't be used."""

    def __init__(self, file: str) -> None:
        self._file = Reread(Path(file), read)

    def of(self, token: bytes) -> Person:
        """Return whose token this is; raise Problem for a wrong one, or one that has expired."""
        return self.good(self._file.now().get(hashlib.sha256(token).hexdigest()))

    def has(self, token: bytes) -> bool:
        """Whether it stands in the file, good or not."""
        return hashlib.sha256(token).hexdigest() in self._file.now()

    def named(self, name: str) -> Person:
        """Return whoever has this name, as above."""
        return self.good(next((one for one in self._file.now().values() if one.name == name), None))

    @staticmethod
    def good(person: Person | None) -> Person:
        """Somebody whose token is good now, as above."""
        if person is None:
            raise Problem(401, "nobody has this token", WWW_Authenticate=CHALLENGE)
        if person.expires is not None and person.expires <= datetime.now(UTC):
            raise Problem(401, f"this token has expired at {person.expires.isoformat()}", WWW_Authenticate=CHALLENGE)
        return person


def read(file: Path) -> dict[str, Person]:
    """Return the people of a file by the digests of their tokens; raise Error naming what is wrong."""
    found = loaded(file, _File, "STACKFERRY_TOKENS")["tokens"]
    for said in ("name", "sha256"):
        if twice := next((one for one, many in Counter(each[said] for each in found).items() if many > 1), None):
            raise Error(f"STACKFERRY_TOKENS: {file}: {twice!r} stands twice; the log must say who it was")
    return {one["sha256"]: Person(one["name"], client(one), one["expires"], one["sha256"]) for one in found}


class Crowd:
    """So many at once for each name. Each that enters leaves."""

    def __init__(self, most: int, what: str) -> None:
        self.most, self.what = most, what
        self._lock, self._here = threading.Lock(), Counter[str]()

    def enter(self, name: str) -> None:
        """Be one of them; raise Problem when there are too many."""
        with self._lock:
            if self._here[name] >= self.most:
                raise Problem(429, f"{self.most} {self.what} at once, with one token", Retry_After="1")
            self._here[name] += 1

    def leave(self, name: str) -> None:
        """Be none of them any more."""
        with self._lock:
            self._here[name] -= 1
            if not self._here[name]:
                del self._here[name]

    def __len__(self) -> int:
        return self._here.total()


class Rate:
    """Token buckets: so many a second for each name, and a burst of them. Source: RFC 6585, section 4 (429)."""

    def __init__(self, many: float) -> None:
        self.many, self.burst = many, max(1.0, many * BURST)
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}  # name → how many are left, as of when

    def take(self, name: str) -> None:
        """Take one of the name's share; raise Problem when nothing is left of it."""
        now = time.monotonic()
        with self._lock:
            if len(self._left) >= NAMES:  # who hasn't asked for so long that all is back is as if never heard of
                whole = now - self.burst / self.many
                self._left = {one: about for one, about in self._left.items() if about[1] > whole}
            left, at = self._left.get(name, (self.burst, now))
            left = min(self.burst, left + (now - at) * self.many)
            self._left[name] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            wait = max(1, math.ceil((1 - left) / self.many))
            raise Problem(429, f"slow down: {self.many:g} a second are taken here", Retry_After=str(wait))
