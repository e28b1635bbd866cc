"""The file that says which webhooks there are.

webhooks:
- {name: chat, url: "https://chat.example/hooks/1", format: slack, events: [migration-changed]}
- {name: cmdb, url: "https://cmdb.example/ferry", secret_file: /run/secrets/cmdb, labels: {team: web}}
- {name: own, url: "http://10.1.2.3/", private: true, format: template, template: '{"what": {{ text | tojson }}}'}
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema
from stackferry.errors import Error
from stackferry.messages import REGISTRY, Event
from stackferry_runtime.reread import loaded

from .targets.webhook import Hook

SETTING = "STACKFERRY_WEBHOOKS"
FORMATS = ("cloudevents", "slack", "template")
LEAST, MOST = 24, 64  # bytes of a secret
TOLD = sorted(
    {type_.called for type_ in REGISTRY.values() if issubclass(type_, Event) or getattr(type_, "told", False)}
)


class _Hook(Schema):
    class Meta:
        unknown = RAISE

    name = fields.String(
        required=True, validate=validate.Regexp(r"[A-Za-z0-9._-]{1,64}\Z", error="letters, digits and ._-")
    )
    url = fields.String(required=True)
    secret_file = fields.String(load_default=None)
    format = fields.String(load_default="cloudevents", validate=validate.OneOf(FORMATS))
    template = fields.String(load_default="")
    events = fields.List(fields.String(validate=validate.OneOf(TOLD)), load_default=None)
    clouds = fields.List(fields.String(), load_default=None)
    labels = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    private = fields.Boolean(load_default=False)

    @validates_schema
    def _fits(self, data: dict[str, Any], **_: Any) -> None:
        try:
            parts = urlsplit(data["url"])
            is_one = (
                parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
            )
        except ValueError:
            is_one = False
        if not is_one:
            raise ValidationError({"url": ["expected http(s)://host/path"]})
        if parts.username or parts.password:
            raise ValidationError({"url": ["no password belongs into it: receivers check the signature (secret_file)"]})
        if (data["format"] == "template") != bool(data["template"]):
            raise ValidationError({"template": ["it goes with `format: template`, and only with that"]})
        try:
            ImmutableSandboxedEnvironment().from_string(data["template"])
        except TemplateError as error:
            raise ValidationError({"template": [f"it can't be used: {error}"]}) from None


class _File(Schema):
    class Meta:
        unknown = RAISE

    webhooks = fields.List(fields.Nested(_Hook), required=True)


def read(file: Path) -> tuple[Hook, ...]:
    """Return the webhooks of a file; raise Error naming what is wrong."""
    found = loaded(file, _File, SETTING)["webhooks"]
    if twice := next((one for one, many in Counter(each["name"] for each in found).items() if many > 1), None):
        raise Error(f"{SETTING}: {file}: {twice!r} stands twice")
    return tuple(_hook(file, one) for one in found)


def _hook(file: Path, said: dict[str, Any]) -> Hook:
    few = {name: None if said[name] is None else frozenset(said[name]) for name in ("events", "clouds")}
    secret = _secret(file, said["name"], said["secret_file"]) if said["secret_file"] else None
    return Hook(said["name"], said["url"], secret, said["format"], said["template"], **few,
                labels=tuple(sorted(said["labels"].items())), private=said["private"])  # fmt: skip


def _secret(file: Path, name: str, path: str) -> bytes:
    """The bytes of a secret: ``whsec_`` and base64, as the specification has it."""
    try:
        text = Path(path).read_text("ascii").strip()
        secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        raise Error(f"{SETTING}: {file}: {name}: secret_file {path} can't be used: {error}") from None
    if not text.startswith("whsec_") or not LEAST <= len(secret) <= MOST:
        raise Error(f"{SETTING}: {file}: {name}: {path} must hold whsec_ and base64 of {LEAST} to {MOST} bytes")
    return secret
