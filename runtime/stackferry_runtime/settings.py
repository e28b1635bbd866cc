"""Settings: one frozen dataclass a service, read from ``STACKFERRY_*`` variables, and described by itself.

A secret may also be given by a file: ``STACKFERRY_AMQP_URI_FILE=/run/secrets/amqp`` (container secrets).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from environs import Env, EnvError
from stackferry.errors import Error

PREFIX = "STACKFERRY_"
T = TypeVar("T", bound="Common")


def setting(default: Any, description: str) -> Any:
    """A field with its default, and what changes when it changes."""
    return dataclasses.field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class Common:
    """What every service can be told."""

    amqp_uri: str = setting(
        "amqp://guest:guest@127.0.0.1:5672//", "the broker: amqp(s)://user:password@host:port/vhost"
    )
    log_level: str = setting("INFO", "DEBUG, INFO, WARNING or ERROR")
    log_format: str = setting("text", "text for people, json for machines")
    drain_timeout: float = setting(30.0, "seconds that running handlers get to finish after SIGTERM")
    max_workers: int = setting(32, "handlers that run at once in a process, all queues together")
    ready_file: str = setting("", "a file to write the pid into once the service takes messages")


def load(cls: type[T], environ: Any = None) -> T:
    """Return the settings from the environment; raise Error naming the variable that can't be used."""
    env = Env(expand_vars=False)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        name = PREFIX + field.name.upper()
        if path := env.str(f"{name}_FILE", ""):
            values[field.name] = _from_file(name, path)
            continue
        try:
            values[field.name] = getattr(env, _parser(field.default))(name, field.default)
        except EnvError as error:
            raise Error(f"{name} can't be used: {error}") from None
    return cls(**values)


def describe(cls: type[Common]) -> str:
    """Return the settings as text: the ``--help`` of every service."""
    lines = [cls.__doc__ or "", ""]
    for field in dataclasses.fields(cls):
        lines.append(f"  {PREFIX}{field.name.upper()} = {field.default!r}\n      {field.metadata['description']}")
    return "\n".join(lines)


def _from_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise Error(f"{name}_FILE can't be read: {error}") from None


def _parser(default: Any) -> str:
    return {bool: "bool", int: "int", float: "float"}.get(type(default), "str")
