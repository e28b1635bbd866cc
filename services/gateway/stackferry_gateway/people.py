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
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from marshmallow import RAISE, Schema, ValidationError, fields, validate
from stackferry.errors import Error
from stackferry.roles import ROLES, Client
from stackferry_runtime.logs import logger

from .problems import Problem

log = logger(__name__)
BURST = 2.0  # seconds' worth of requests that may come at once
WRONG = 20  # wrong tokens that one address may try in a minute
REMEMBERED = 10_000  # addresses, and tokens, whose requests are counted


class _Token(Schema):
    class Meta:
        unknown = RAISE

    name = fields.String(required=True, validate=validate.Length(1, 255))
    sha256 = fields.String(required=True, validate=validate.Regexp(r"[0-9a-f]{64}\Z", error="64 digits of 0-9a-f"))
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    clouds = fields.List(fields.String(), load_default=None, allow_none=True)
    projects = fields.List(fields.String(), load_default=None, allow_none=True)
    labels = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    expires = fields.AwareDateTime(load_default=None, allow_none=True, default_timezone=UTC)


class _File(Schema):
    class Meta:
        unknown = RAISE

    tokens = fields.List(fields.Nested(_Token), required=True)


@dataclass(frozen=True, slots=True)
class Person:
    """Whose token it is, and what it's good for."""

    name: str
    client: Client = field(default_factory=Client)
    expires: datetime | None = None


class Tokens:
    """The people of a file; it's read again when it has changed. One that can't be read then changes nothing.

    Raises Error at the beginning when the file can't be used.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self._lock = threading.Lock()
        self._stamp = self._seen()
        self._known = read(self.file)

    def of(self, token: str) -> Person:
        """Return whose token this is; raise Problem for a wrong one, or one that has expired."""
        person = self._people().get(hashlib.sha256(token.encode("latin-1")).hexdigest())
        challenge = 'Bearer error="invalid_token"'
        if person is None:
            raise Problem(401, "nobody has this token", WWW_Authenticate=challenge)
        if person.expires is not None and person.expires <= datetime.now(UTC):
            raise Problem(401, f"this token has expired at {person.expires.isoformat()}", WWW_Authenticate=challenge)
        return person

    def _people(self) -> dict[str, Person]:
        with self._lock:
            if (stamp := self._seen()) != self._stamp:
                self._stamp = stamp
                try:
                    self._known = read(self.file)
                    log.info("the file of tokens was read again", known=len(self._known))
                except Error as error:
                    log.error("tokens stay as they were", error=str(error))
            return self._known

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


def read(file: Path) -> dict[str, Person]:
    """Return the people of a file by the digests of their tokens; raise Error naming what is wrong."""
    try:
        content: Any = yaml.safe_load(file.read_text("utf-8"))
        found = _File().load(content if isinstance(content, dict) else {})["tokens"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Error(f"STACKFERRY_TOKENS: {file} can't be read: {error}") from None
    except ValidationError as error:
        raise Error(f"STACKFERRY_TOKENS: {file}: {error.normalized_messages()}") from None
    names = [one["name"] for one in found]
    for said in (names, [one["sha256"] for one in found]):
        if twice := next((one for one, many in Counter(said).items() if many > 1), None):
            raise Error(f"STACKFERRY_TOKENS: {file}: {twice!r} stands twice; the log must say who it was")
    return {one["sha256"]: Person(one["name"], _client(one), one["expires"]) for one in found}


def _client(one: dict[str, Any]) -> Client:
    return Client(one["role"], _some(one["clouds"]), _some(one["projects"]), one["labels"])


def _some(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


class Crowd:
    """So many at once for each name."""

    def __init__(self, most: int, what: str) -> None:
        self.most, self.what = most, what
        self._lock, self._here = threading.Lock(), Counter[str]()

    @contextmanager
    def among(self, name: str) -> Iterator[None]:
        """Be one of them; raise Problem when there are too many."""
        with self._lock:
            if self._here[name] >= self.most:
                raise Problem(429, f"{self.most} {self.what} at once, with one token", Retry_After="1")
            self._here[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._here[name] -= 1
                self._here += Counter()  # forget those who are gone


class Rate:
    """Token buckets: so many a second for each name, and a burst of them. Source: RFC 6585, section 4 (429)."""

    def __init__(self, many: float, burst: float | None = None) -> None:
        self.many, self.burst = many, burst or max(1.0, many * BURST)
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, many: float = 1.0) -> None:
        """Take one of the name's share; raise Problem when nothing is left of it."""
        now = time.monotonic()
        with self._lock:
            left, at = self._left.pop(name, (self.burst, now))
            left = min(self.burst, left + (now - at) * self.many)
            self._left[name] = (left - many if left >= many else left, now)
            if len(self._left) > REMEMBERED:
                self._left.popitem(last=False)
        if left < many:
            wait = max(1, math.ceil((many - left) / self.many))
            raise Problem(429, f"slow down: {self.many:g} a second are taken here", Retry_After=str(wait))


def wrong_tokens() -> Rate:
    """How fast an address may try tokens that nobody has."""
    return Rate(WRONG / 60, WRONG)
