"""People whom Keystone knows: a token of one cloud's Keystone is good here, for what a file says of its roles.

auth_url: https://keystone.example:5000/v3
cacert: /etc/ssl/certs/cloud.pem                                        # absent: the system's
people:                                                                 # the first that fits counts
- {keystone_role: admin, project: ops, domain: Default, role: admin}
- {keystone_role: member, project: web, domain: Default, role: operator, labels: {team: web}}

The gateway has no credentials there: a token asks about itself. Source: Identity API v3, "Validate and show information
for token". What Keystone has said counts for a minute, so a token that is revoked is good for a minute more; ten, while
Keystone doesn't answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate, validates_schema
from stackferry.errors import Error
from stackferry.roles import Client, ClientFields, client
from stackferry_runtime.logs import logger
from stackferry_runtime.reread import Reread, loaded

from .people import CHALLENGE, Person, Rate, Tokens
from .problems import Problem

log = logger(__name__)
KEEPS = 60.0  # seconds that an answer counts
PATIENCE, GRACE = 2.0, 600.0  # seconds that somebody who is known waits for a new one; that an old one counts then
REFUSED = 10.0  # seconds in which a token that is no good isn't asked about again
KEPT = 10_000  # answers, and refusals
AT_ONCE, WAITING = 8, 64  # questions at the same time; new tokens that wait for their turn
STRANGERS = 20.0  # new tokens a second that Keystone is asked about, for each address
TAKES = 10.0  # seconds for an answer
#: what Keystone's tokens look like (Fernet, JWS, UUID): others, such as a gateway's own, aren't shown to it
TOKEN = re.compile(rb"gAAAA[A-Za-z0-9_=-]{20,4096}|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|[0-9a-f]{32}")
LONGEST = 8192  # bytes of one
T = TypeVar("T")
#: what comes of an answer that is none
UNCLEAR = (
    httpx.HTTPError, TimeoutError, ValidationError, ValueError, KeyError, TypeError, RecursionError, OverflowError,
)  # fmt: skip


class _Rule(ClientFields):
    keystone_role = fields.String(required=True, validate=validate.Length(1, 255))
    project = fields.String(load_default=None, allow_none=True)
    domain = fields.String(load_default=None, allow_none=True)

    @validates_schema
    def _whole(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("project") is not None and data.get("domain") is None:
            raise ValidationError("say whose project it is: each domain may have one of this name", "domain")


class _File(Schema):
    class Meta:
        unknown = RAISE

    auth_url = fields.Url(schemes={"http", "https"}, require_tld=False, required=True)
    cacert = fields.String(load_default=None, allow_none=True)
    people = fields.List(fields.Nested(_Rule), required=True, validate=validate.Length(1))


@dataclass(frozen=True, slots=True)
class Rule:
    """What those are who have a role in Keystone. ``project``, ``domain``: there only, by name; None: anywhere."""

    keystone_role: str
    project: str | None = None
    domain: str | None = None
    client: Client = field(default_factory=Client)

    def fits(self, token: Mapping[str, Any]) -> bool:
        """Whether a token is of such a one. *token*: as Keystone shows it."""
        project = token["project"] or {}
        domain = project.get("domain") or token["domain"] or {}
        roles = {str(role["name"]).lower() for role in token["roles"]}  # as Keystone's own policies do
        return (
            self.keystone_role.lower() in roles
            and self.project in (None, project.get("name"))
            and self.domain in (None, domain.get("name"))
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What the file says."""

    auth_url: str
    verify: ssl.SSLContext
    rules: tuple[Rule, ...]


def read(file: Path) -> Said:
    """What a file says; raise Error naming what is wrong."""
    found = loaded(file, _File, "STACKFERRY_KEYSTONE")
    try:
        verify = ssl.create_default_context(cafile=found["cacert"])
    except (OSError, ssl.SSLError) as error:
        raise Error(f"STACKFERRY_KEYSTONE: {file}: cacert {found['cacert']} can't be used: {error}") from None
    where = urlsplit(found["auth_url"])
    if where.scheme == "http" and where.hostname not in ("127.0.0.1", "::1", "localhost"):
        log.warning("Keystone is asked without TLS: tokens travel in clear text", auth_url=found["auth_url"])
    rules = (Rule(one["keystone_role"], one["project"], one["domain"], client(one)) for one in found["people"])
    return Said(found["auth_url"].rstrip("/").removesuffix("/v3"), verify, tuple(rules))


@dataclass(frozen=True, slots=True)
class Known:
    """Whom Keystone has said that it is: by which file, and when (monotonic seconds)."""

    said: Said
    person: Person
    at: float


class People:
    """Those of the file of tokens and, where there is a file for it, those whom Keystone knows.

    Whoever was known lately waits for nobody who is new: those who are known have turns of their own. Where Keystone
    doesn't answer soon, what it has said before counts for some minutes. It's asked about a token once at a time.
    """

    def __init__(self, tokens: Tokens, keystone: str = "") -> None:
        self.tokens = tokens
        self._said = Reread(Path(keystone), read) if keystone else None
        self._known: dict[str, Known] = {}
        self._refused: dict[str, tuple[Said, Problem, float]] = {}  # digest → by which file, why, when
        self._asking: dict[str, asyncio.Task[Person]] = {}
        self._turns, self._again = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)
        self._strangers, self._waiting = Rate(STRANGERS), 0

    @property
    def has_keystone(self) -> bool:
        """Whether Keystone's tokens are good here."""
        return self._said is not None

    async def of(self, token: bytes, address: str = "") -> Person:
        """Return whose token this is; raise Problem for a wrong one, or while Keystone can't be asked.

        *address*: where it comes from: so many tokens that are new are asked about for each.
        """
        if self._said is None or self.tokens.has(token) or len(token) > LONGEST or not TOKEN.fullmatch(token):
            return self.tokens.of(token)
        digest, said, now = hashlib.sha256(token).hexdigest(), self._said.now(), time.monotonic()
        known = self._known.get(digest)
        known = known if known is not None and known.said is said and known.at > now - GRACE else None
        if known is not None and known.at > now - KEEPS:
            return self.tokens.good(known.person)
        if known is None:
            self._look_at_refusals(digest, said, now)
        if (asking := self._asking.get(digest)) is None:
            if known is None:
                self._strangers.take(_network(address))
            asking = self._begin(token, digest, said, known is None)
        if known is None:
            return await asyncio.shield(asking)  # it goes on, though whoever asked first leaves
        try:
            return await asyncio.wait_for(asyncio.shield(asking), PATIENCE)
        except TimeoutError:
            return self.tokens.good(known.person)
        except Problem as problem:
            if problem.status != 503:
                raise
            return self.tokens.good(known.person)

    def _begin(self, token: bytes, digest: str, said: Said, is_new: bool) -> asyncio.Task[Person]:
        if is_new and self._waiting >= WAITING:
            text = "many tokens are new to this gateway, and Keystone is asked about each"
            raise Problem(503, text, Retry_After="2")

        def over(asking: asyncio.Task[Person]) -> None:
            self._waiting -= is_new
            self._asking.pop(digest, None)
            if not asking.cancelled():
                asking.exception()  # else asyncio complains where everybody who asked has left

        self._waiting += is_new
        asking = self._asking[digest] = asyncio.create_task(self._ask(token, digest, said, is_new))
        asking.add_done_callback(over)
        return asking

    def _look_at_refusals(self, digest: str, said: Said, now: float) -> None:
        by, problem, at = self._refused.get(digest, (None, None, 0.0))
        if problem is not None and by is said and at > now - REFUSED:
            raise problem.with_traceback(None)  # else it would grow with each time

    async def _ask(self, token: bytes, digest: str, said: Said, is_new: bool) -> Person:
        """Have Keystone say whose token it is, when it's its turn, and remember that."""
        try:
            async with self._turns if is_new else self._again:
                shown = await _asked(said, token)
            person = self.tokens.good(person_of(shown, said.rules, digest))
        except Problem as problem:
            if problem.status != 503:
                self._forget(digest, said, problem)
            raise
        if is_new:
            log.info("Keystone knows whose token this is", audit=True, person=person.name, role=person.client.role)
        now = time.monotonic()
        self._known = _bounded(self._known, lambda one: one.at > now - GRACE)
        self._known[digest] = Known(said, person, now)
        return person

    def _forget(self, digest: str, said: Said, problem: Problem) -> None:
        now = time.monotonic()
        self._known.pop(digest, None)
        self._refused = _bounded(self._refused, lambda one: one[2] > now - REFUSED)
        self._refused[digest] = (said, problem, now)


def _network(address: str) -> str:
    """Whose address it is: with IPv6 everybody has as many as they like, of one network of 64 bits."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def _bounded(kept: dict[str, T], counts: Callable[[T], bool]) -> dict[str, T]:
    """The same while it's small; else what still *counts*, and nothing where that is too much."""
    if len(kept) < KEPT:
        return kept
    left = {digest: one for digest, one in kept.items() if counts(one)}
    return left if len(left) < KEPT else {}


class _Named(Schema):
    class Meta:
        unknown = EXCLUDE

    id = fields.String(load_default=None)
    name = fields.String(load_default=None)
    domain = fields.Nested(lambda: _Named(), load_default=None, allow_none=True)


class _User(_Named):
    id = fields.String(required=True, validate=validate.Length(1, 255))


class Shown(Schema):
    """A token as Keystone shows it."""

    class Meta:
        unknown = EXCLUDE

    user = fields.Nested(_User, required=True)
    roles = fields.List(fields.Nested(_Named), load_default=list)
    project = fields.Nested(_Named, load_default=None, allow_none=True)
    domain = fields.Nested(_Named, load_default=None, allow_none=True)
    expires_at = fields.AwareDateTime(required=True, default_timezone=UTC)


async def _asked(said: Said, token: bytes) -> dict[str, Any]:
    """What Keystone says of a token; Problem when it knows none, or can't be asked."""
    word = token.decode("ascii")
    try:
        async with (
            asyncio.timeout(TAKES),
            httpx.AsyncClient(verify=said.verify, timeout=TAKES, trust_env=False) as keystone,
        ):
            answer = await keystone.get(
                f"{said.auth_url}/v3/auth/tokens", params={"nocatalog": "1"},
                headers={"X-Auth-Token": word, "X-Subject-Token": word, "Accept": "application/json"},
            )  # fmt: skip
        if answer.status_code in (401, 403, 404):
            raise Problem(401, "nobody has this token", WWW_Authenticate=CHALLENGE)
        if answer.status_code != 200:
            raise ValueError(f"it answers {answer.status_code}")
        found: dict[str, Any] = Shown().load(answer.json()["token"])
    except UNCLEAR as error:
        log.warning("Keystone doesn't say whose a token is", error=str(error)[:500] or type(error).__name__)
        raise Problem(503, "Keystone doesn't say whose token this is", Retry_After="5") from None
    return found


def person_of(token: Mapping[str, Any], rules: tuple[Rule, ...], digest: str) -> Person:
    """Who somebody is whose token Keystone shows like this; Problem for whom no rule fits.

    The name begins with the id: a user's name may be given to another one later.
    """
    user = token["user"]
    domain = (user["domain"] or {}).get("name")
    rule = next((rule for rule in rules if rule.fits(token)), None)
    if rule is None:
        raise Problem(403, "Keystone knows whose token this is, and STACKFERRY_KEYSTONE says nothing of such roles")
    name = f"keystone:{user['id']}:{user['name']}@{domain}"[:255]
    return Person(name, rule.client, token["expires_at"], digest)
