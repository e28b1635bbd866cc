"""Structured logs on stderr, with one processor that hides secrets whoever logs them."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from typing import Any

import structlog

_SECRET_KEY = re.compile(r"passw|secret|token|private|credential|authorization", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"(?P<keep>://[^:/@\s]+:)[^@\s]+(?=@)"  # a password in a URI
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----)[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----"
    r"|(?P<fernet>gAAAA)[\w=-]{20,}"  # a Keystone token
)


def redact(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Hide values of telling keys, and secrets inside of texts."""
    return {key: "***" if _SECRET_KEY.search(key) and value else _hide(value) for key, value in event.items()}


def _hide(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET_TEXT.sub(lambda m: (m["keep"] or m["pem"] or m["fernet"] or "") + "***", value)
    if isinstance(value, dict):
        return redact(None, "", value)
    if isinstance(value, list):
        return [_hide(item) for item in value]
    return value


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
    for noisy in ("keystoneauth", "urllib3", "openstack", "amqp", "kombu", "stevedore", "alembic"):
        logging.getLogger(noisy).setLevel("WARNING")


def logger(name: str) -> Any:
    """A logger; its calls take keywords: ``log.info("exported", count=3)``."""
    return structlog.stdlib.get_logger(name)
