"""Structured logs on stderr, with one processor that hides secrets whoever logs them."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import structlog
from stackferry.envelope import Envelope
from stackferry.printable import printable

MANY_LINES = ("exception", "stack")
_TELLING = r"(?i:passw|passphrase|secret|token|private|credential|authorization)"
_SECRET_KEY = re.compile(_TELLING)
#: each alternative keeps its group and hides the rest; what ends where is unclear is rather hidden than shown
_SECRET_TEXT = re.compile(
    r"(://[^:/\s]*:)\S+(?=@)"  # a password in a URI, which may hold an @ itself
    r"|(-----BEGIN [A-Z ]*PRIVATE KEY-----)[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(gAAAA)[\w=-]{20,}"  # a Keystone token
    rf"|({_TELLING}[\w-]*\\*[\"']?\s*[=:]\s*)"  # name=value, name: value, 'name': 'value' ...
    r"(?:b?'(?:[^'\\]|\\.)*'?|b?\"(?:[^\"\\]|\\.)*\"?|(?:(?:Basic|Bearer) +)?[^\s'\"{}()\[\],]\S*)"
)


def redact(_: Any, __: str, event: Mapping[Any, Any]) -> dict[Any, Any]:
    """Hide values of telling keys, and secrets inside of texts."""
    return {key: "***" if _SECRET_KEY.search(str(key)) and value else _hide(value) for key, value in event.items()}


def _hide(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return redact(None, "", value)
    if isinstance(value, tuple):
        return tuple(_hide(item) for item in value)
    if isinstance(value, list | set | frozenset):
        return [_hide(item) for item in value]
    # bytes, exceptions and all others: as the line would show them
    text = value if isinstance(value, str) else repr(value)
    return _SECRET_TEXT.sub(lambda found: f"{found[found.lastindex or 0]}***", text)


def readable(_: Any, __: str, event: Mapping[Any, Any]) -> dict[Any, Any]:
    """Write out what a terminal would act upon; a traceback keeps its lines."""
    return {key: _lines(value) if key in MANY_LINES else _line(value) for key, value in event.items()}


def _line(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _lines(value: Any) -> Any:
    return "\n".join(map(printable, value.split("\n"))) if isinstance(value, str) else value


def of_step(command: Envelope, ended: Mapping[str, Any]) -> dict[str, Any]:
    """What a line about a try that is over says, of its *command* and of how it *ended*."""
    data = command.data
    place: Mapping[str, Any] = next((data[side] for side in ("destination", "place", "source") if data.get(side)), {})
    about = {name: data.get(name) for name in ("migration", "step", "attempt", "action", "kind")}
    about |= {"name": ended.get("name"), "cloud": place.get("cloud"), "project": place.get("project")}
    about["resource"] = ended.get("destination_id") or data.get("resource") or data.get("volume") or data.get("image")
    about |= {name: ended.get(name) for name in ("reason", "seconds")} | {"trace": command.trace or None}
    return {name: value for name, value in about.items() if value is not None}


def configure(level: str = "INFO", style: str = "text") -> None:
    """Set up structlog and the standard library's logging to write one line an event."""
    warnings.filterwarnings("ignore", module="eventlet")
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
        readable,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    render: Any = (
        structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("keystoneauth", "urllib3", "openstack", "amqp", "kombu", "stevedore", "alembic", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel("WARNING")


def logger(name: str) -> Any:
    """A logger; its calls take keywords: ``log.info("exported", count=3)``."""
    return structlog.stdlib.get_logger(name)
