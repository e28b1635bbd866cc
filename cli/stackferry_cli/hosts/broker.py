"""How the agents on the hosts reach the broker, and as whom."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stackferry import topology
from stackferry.errors import Error

from ..local.stack import Stack, home

VARIABLE = "STACKFERRY_AGENT_AMQP_URI"
SAY = f"set {VARIABLE}, or {VARIABLE}_FILE or --agent-amqp-uri-file to a file with it, such as amqps://name:5671//"
SERVER_ID = "{server_id}"  # what agents complete, who know where they run
OWN_USER = topology.host_user(SERVER_ID).name


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


def with_own_user(uri: str, password: str) -> str:
    """The URI for one host, as its user data holds it before anybody knows the server's id."""
    parts = urlsplit(uri)
    return parts._replace(netloc=f"{OWN_USER}:{password}@{parts.netloc}").geturl()


def vhost_of(uri: str) -> str:
    """The virtual host that a URI names, as RabbitMQ's URI specification has it: an empty path is ``/``, too."""
    path = urlsplit(uri).path[1:]
    return unquote(path) or "/"


def write(file: Path, uri: str) -> None:
    """Write a URI with its password where only this user reads it; raise Error when it can't be written."""
    try:
        file.unlink(missing_ok=True)  # whoever has it open, or may read it, must not get this one
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as content:
            content.write(f"{uri}\n")
    except OSError as error:
        raise Error(f"{file} can't be written: {error}") from None


def only_here(uri: str) -> bool:
    """Whether the broker is named as only this machine can reach it."""
    host = urlsplit(uri).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _content(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Error(f"{file} can't be read: {error}") from None
