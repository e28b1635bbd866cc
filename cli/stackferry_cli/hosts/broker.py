"""How the agents on the hosts reach the broker, and as whom."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, urlsplit

from stackferry.errors import Error
from stackferry.topology import SERVER_ID, Enrolled

from ..local.stack import Stack, home

VARIABLE = "STACKFERRY_AGENT_AMQP_URI"
SAY = f"set {VARIABLE}, or {VARIABLE}_FILE or --agent-amqp-uri-file to a file with it, such as amqps://name:5671//"


def agent_uri(file: Path | None) -> str:
    """Where hosts reach the broker, as a URI; raise Error that says how to give one.

    With a user in it, it's what all hosts get, word by word. Without, each host has a user of its own.
    """
    if file is None and (named := os.environ.get(f"{VARIABLE}_FILE")):
        file = Path(named)
    if file is not None:
        uri = _content(file)
    elif given := os.environ.get(VARIABLE):
        uri = given
    elif os.environ.get("AMQP_URI"):
        raise Error(f"AMQP_URI is how this command reaches the broker; how do the hosts? {SAY}")
    else:
        uri = Stack(home()).node.address()
    parts = urlsplit(uri)
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
        raise Error(f"the broker's URI for the hosts makes no sense: expected amqp(s)://host:port/vhost; {SAY}")
    return uri


def names_user(uri: str) -> bool:
    """Whether all hosts use one user, which the URI names: then nothing keeps a host from speaking for another."""
    return bool(urlsplit(uri).username)


def with_own_user(uri: str, password: str, cloud: str, project: str | None = None) -> str:
    """The URI for one host, as its user data holds it before anybody knows the server's id."""
    parts, user = urlsplit(uri), quote(Enrolled(SERVER_ID, cloud, project or "").user, safe="{}")
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc}").geturl()


def only_here(uri: str) -> bool:
    """Whether the broker is named as only this machine can reach it."""
    host = urlsplit(uri).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _content(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Error(f"{file} can't be read: {error}") from None
