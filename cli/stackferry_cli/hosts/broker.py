"""How the agents on the hosts reach the broker: a secret, so it's never a word of a command line."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from stackferry.errors import Error

from ..local.stack import Stack, home

VARIABLE = "STACKFERRY_AGENT_AMQP_URI"
SAY = f"set {VARIABLE}, or {VARIABLE}_FILE or --agent-amqp-uri-file to a file with it (user `transfer`)"


def agent_uri(file: Path | None) -> str:
    """The URI of the broker for the user `transfer`; raise Error that says how to give one."""
    if file is None and (named := os.environ.get(f"{VARIABLE}_FILE")):
        file = Path(named)
    if file is not None:
        uri = _content(file)
    elif given := os.environ.get(VARIABLE):
        uri = given
    elif os.environ.get("AMQP_URI"):
        raise Error(f"AMQP_URI is how this command reaches the broker; how do the hosts? {SAY}")
    else:
        uri = Stack(home()).uri("transfer")
    parts = urlsplit(uri)
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
        raise Error(
            f"the broker's URI for the hosts makes no sense: expected amqp(s)://user:password@host:port/vhost; {SAY}"
        )
    return uri


def only_here(uri: str) -> bool:
    """Whether the broker is named as only this machine can reach it."""
    host = urlsplit(uri).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _content(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Error(f"{file} can't be read: {error}") from None
