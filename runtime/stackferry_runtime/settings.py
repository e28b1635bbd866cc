"""Settings: one frozen dataclass a service, read from ``STACKFERRY_*`` variables, and described by itself.

A secret may also be given by a file: ``STACKFERRY_AMQP_URI_FILE=/run/secrets/amqp`` (container secrets).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from marshmallow import ValidationError, fields, validate
from stackferry.errors import Error

PREFIX = "STACKFERRY_"
T = TypeVar("T", bound="Common")
#: type of a default → how its variable is read
PARSERS: dict[type, type[fields.Field]] = {
    bool: fields.Boolean,
    int: fields.Integer,
    float: fields.Float,
    str: fields.String,
}


def setting(default: Any, description: str, valid: validate.Validator | None = None) -> Any:
    """A field with its default, what changes when it changes, and which values make sense."""
    return dataclasses.field(default=default, metadata={"description": description, "validate": valid})


@dataclass(frozen=True)
class Common:
    """What every service can be told."""

    amqp_uri: str = setting(
        "amqp://guest:guest@127.0.0.1:5672//", "the broker: amqp(s)://user:password@host:port/vhost"
    )
    log_level: str = setting(
        "INFO", "DEBUG, INFO, WARNING or ERROR", validate.OneOf(("DEBUG", "INFO", "WARNING", "ERROR"))
    )
    log_format: str = setting("text", "text for people, json for machines", validate.OneOf(("text", "json")))
    drain_timeout: float = setting(
        30.0, "seconds that running handlers get to finish after SIGTERM", validate.Range(min=0)
    )
    max_workers: int = setting(32, "handlers that run at once in a process, all queues together", validate.Range(min=1))
    metrics_address: str = setting(
        "", "host:port that /livez, /readyz and /metrics are answered on, without a token; empty: nobody watches"
    )
    ready_file: str = setting("", "a file to write the pid into once the service takes messages")


def load(cls: type[T], environ: Mapping[str, str] = os.environ) -> T:
    """Return the settings from the environment; raise Error naming the variable that can't be used."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        name = PREFIX + field.name.upper()
        if path := environ.get(f"{name}_FILE"):
            name += "_FILE"
            text = _content(name, path)
        elif name in environ:
            text = environ[name]
        else:
            continue
        try:
            parser = PARSERS[type(field.default)](validate=field.metadata["validate"])
            values[field.name] = parser.deserialize(text)
        except ValidationError as error:
            raise Error(f"{name} can't be used: {' '.join(error.messages)}") from None
    return cls(**values)


def describe(cls: type[Common]) -> str:
    """Return the settings as text: the ``--help`` of every service."""
    lines = [cls.__doc__ or "", ""]
    for field in dataclasses.fields(cls):
        lines.append(f"  {PREFIX}{field.name.upper()} = {field.default!r}\n      {field.metadata['description']}")
    return "\n".join(lines)


def _content(name: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Error(f"{name} can't be read: {error}") from None
