"""People whom Keystone knows: a token of one cloud's Keystone is good here, for what a file says of its roles.

auth_url: https://keystone.example:5000/v3
cacert: /etc/ssl/certs/cloud.pem                                        # absent: the system's
people:                                                                 # the first that fits counts
- {keystone_role: admin, project: admin, domain: Default, role: admin}
- {keystone_role: member, role: operator, clouds: [old, new], labels: {team: web}}

The gateway has no credentials there: a token asks about itself. Source: Identity API v3, "Validate and show information
for token". What Keystone has said counts for a minute, so a token that is revoked is good for a minute more.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema
from stackferry.errors import Error
from stackferry.roles import Client, ClientFields, client
from stackferry_runtime.logs import logger
from stackferry_runtime.reread import Reread, loaded

from .people import CHALLENGE, Person, Tokens
from .problems import Problem

log = logger(__name__)
KEEPS = 60.0  # seconds that an answer counts
KEPT = 10_000  # answers
AT_ONCE, WAITING = 8, 64  # questions at the same time; those that wait for their turn
TAKES = 10.0  # seconds for an answer
TOKEN = re.compile(rb"[A-Za-z0-9_.=-]{32,4096}")  # what Keystone's are made of: others aren't asked about


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
        project = token.get("project") or {}
        domain = project.get("domain") or token.get("domain") or {}
        roles = {str(role.get("name")).lower() for role in token.get("roles") or ()}  # as Keystone's own policies do
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
    rules = (Rule(one["keystone_role"], one["project"], one["domain"], client(one)) for one in found["people"])
    return Said(found["auth_url"].rstrip("/").removesuffix("/v3"), verify, tuple(rules))


class People:
    """Those of the file of tokens and, where there is a file for it, those whom Keystone knows."""

    def __init__(self, tokens: Tokens, keystone: str = "") -> None:
        self.tokens = tokens
        self._said = Reread(Path(keystone), read) if keystone else None
        self._known: dict[str, tuple[Said, Person, float]] = {}  # digest → by what it was said, who it is, until when
        self._turns, self._waiting = asyncio.Semaphore(AT_ONCE), 0

    @property
    def has_keystone(self) -> bool:
        """Whether Keystone's tokens are good here."""
        return self._said is not None

    async def of(self, token: bytes) -> Person:
        """Return whose token this is; raise Problem for a wrong one, or while Keystone can't be asked."""
        try:
            return self.tokens.of(token)
        except Problem:
            if self._said is None or not TOKEN.fullmatch(token):
                raise
        return await self._of_keystone(token, self._said.now())

    async def _of_keystone(self, token: bytes, said: Said) -> Person:
        digest = hashlib.sha256(token).hexdigest()
        if (person := self._seen(digest, said)) is not None:
            return person
        if self._waiting >= WAITING:
            raise Problem(
                503, "too many tokens are new to this gateway, and Keystone is asked about each", Retry_After="2"
            )
        self._waiting += 1
        try:
            async with self._turns:
                if (person := self._seen(digest, said)) is not None:
                    return person
                person = self.tokens.good(person_of(await _asked(said, token), said.rules, digest))
        finally:
            self._waiting -= 1
        log.info("Keystone knows whose token this is", audit=True, person=person.name, role=person.client.role)
        if len(self._known) >= KEPT:
            now = time.monotonic()
            self._known = {one: about for one, about in self._known.items() if about[2] > now}
            self._known = {} if len(self._known) >= KEPT else self._known
        self._known[digest] = (said, person, time.monotonic() + KEEPS)
        return person

    def _seen(self, digest: str, said: Said) -> Person | None:
        """Whom Keystone has said that it is, if that was lately, and by the file as it is now."""
        by, person, until = self._known.get(digest, (None, None, 0.0))
        return self.tokens.good(person) if by is said and until > time.monotonic() else None


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
            found = answer.json()["token"] if answer.status_code == 200 else None
    except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError) as error:
        log.warning("Keystone can't be asked", error=str(error) or type(error).__name__)
        raise Problem(503, "Keystone doesn't answer, and this token is its", Retry_After="5") from None
    if answer.status_code in (401, 403, 404):
        raise Problem(401, "nobody has this token", WWW_Authenticate=CHALLENGE)
    if not isinstance(found, dict):
        log.warning("Keystone can't be asked", status=answer.status_code)
        raise Problem(503, "Keystone doesn't say whose token this is", Retry_After="5")
    return found


def person_of(token: Mapping[str, Any], rules: tuple[Rule, ...], digest: str) -> Person:
    """Who somebody is whose token Keystone shows like this; Problem for whom no rule fits.

    The name begins with the id: a user's name may be given to another one later.
    """
    user = token.get("user") or {}
    domain = (user.get("domain") or {}).get("name")
    name = f"keystone:{user.get('id')}:{user.get('name')}@{domain}"[:255]
    rule = next((rule for rule in rules if rule.fits(token)), None)
    if rule is None:
        raise Problem(403, "Keystone knows whose token this is, and STACKFERRY_KEYSTONE says nothing of such roles")
    try:
        expires = datetime.fromisoformat(str(token["expires_at"])).astimezone(UTC)
    except (KeyError, ValueError):
        raise Problem(503, "Keystone doesn't say until when this token is good") from None
    return Person(name, rule.client, expires, digest)
