"""People whom Keystone knows: a token of one cloud's Keystone is good here, for what a file says of its roles.

auth_url: https://keystone.example:5000/v3
cacert: /etc/ssl/certs/cloud.pem                                        # absent: the system's
people:                                                                 # the first that fits counts
- {keystone_role: admin, project: ops, domain: Default, role: admin}
- {keystone_role: member, project: web, domain: Default, role: operator, labels: {team: web}}

The gateway has no credentials there: a token asks about itself. Source: Identity API v3, "Validate and show information
for token".
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate, validates_schema
from stackferry.errors import Error
from stackferry.roles import Client, ClientFields, client
from stackferry_runtime.logs import logger
from stackferry_runtime.reread import loaded

from .people import CHALLENGE, Person
from .problems import Problem

log = logger(__name__)
TAKES = 10.0  # seconds for an answer
LONGEST = 8192  # bytes of a token
#: what they look like (Fernet, JWS, UUID): others, such as a gateway's own, aren't shown to Keystone
_TOKEN = re.compile(rb"gAAAA[A-Za-z0-9_=-]{20,4096}|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|[0-9a-f]{32}")
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


def may_be_token(token: bytes) -> bool:
    """Whether it looks like one of Keystone's."""
    return len(token) <= LONGEST and _TOKEN.fullmatch(token) is not None


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


async def asked(said: Said, token: bytes) -> dict[str, Any]:
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
