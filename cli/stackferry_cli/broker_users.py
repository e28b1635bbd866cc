"""Users of the broker, made and deleted with ``rabbitmqctl`` wherever the broker runs.

The words of a command say how to reach it there. A password is never one of them: the broker gets its hash.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer
from stackferry.definitions import user_definitions
from stackferry.errors import BrokerUnavailable, Error
from stackferry.topology import User

from .local.rabbitmq import Node
from .local.stack import Stack, home

VARIABLE = "STACKFERRY_RABBITMQCTL"
SAY = f"--rabbitmqctl (or {VARIABLE}) says how: 'docker-compose exec -T rabbitmq rabbitmqctl', 'ssh broker rabbitmqctl'"
Rabbitmqctl = Annotated[
    str | None,
    typer.Option(
        "--rabbitmqctl", metavar="COMMAND", rich_help_panel="Access",
        help="How to run rabbitmqctl where the broker is, to make and delete users: 'docker-compose exec -T rabbitmq "
        f"rabbitmqctl'; or {VARIABLE}. That of the local broker otherwise.",
    ),
]  # fmt: skip
PATIENCE = 120.0  # seconds for one command
GONE = 67  # rabbitmqctl's exit code for what isn't there (EX_NOUSER)


@dataclass(frozen=True)
class Control:
    """``rabbitmqctl`` of the broker. *words* begin its command."""

    words: tuple[str, ...]
    environ: dict[str, str] = field(default_factory=dict)

    def make(self, users: dict[User, str], vhost: str = "/") -> None:
        """Make users, each with the hash of its password; those that are there get it, and their rights, again."""
        if users:
            self._run("import_definitions", content=json.dumps(user_definitions(users, vhost)))

    def delete(self, users: Iterable[User]) -> None:
        """Delete users; their connections end. One that isn't there is fine."""
        for user in users:
            self._run("delete_user", user.name, fine=(GONE,))

    def delete_queues(self, prefix: str, vhost: str = "/") -> None:
        """Delete the queues whose names begin so."""
        listed = self._run("list_queues", "-q", "--no-table-headers", "-p", vhost, "name")
        for name in listed.splitlines():
            if name.startswith(prefix):
                self._run("delete_queue", "-p", vhost, name)

    def _run(self, *words: str, content: str = "", fine: tuple[int, ...] = ()) -> str:
        try:
            done = subprocess.run(
                [*self.words, *words], env={**os.environ, **self.environ}, input=content, capture_output=True,
                text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BrokerUnavailable(f"`{shlex.join([*self.words, *words])}` can't be run: {error}") from None
        if done.returncode not in (0, *fine):
            why = (done.stderr or done.stdout).strip()[-500:]
            raise BrokerUnavailable(f"`{shlex.join([*self.words, *words])}` failed: {why}")
        return done.stdout


def control(command: str | None) -> Control:
    """How users are made: by this *command*, else at the private node; raise Error that says what to do."""
    if given := command or os.environ.get(VARIABLE):
        try:
            words = shlex.split(given)
        except ValueError as error:
            raise Error(f"--rabbitmqctl {given}: {error}") from None
        return Control(tuple(words))
    if os.environ.get("AMQP_URI"):
        raise Error(f"a user of the broker is to be made, or deleted: how is that done there? {SAY}")
    return local(Stack(home()).node)


def local(node: Node) -> Control:
    """``rabbitmqctl`` of a private broker."""
    words, environ = node.control()
    return Control(tuple(words), environ)


def vhost_of(uri: str) -> str:
    """The virtual host that a URI names, as RabbitMQ's URI specification has it: an empty path is ``/``, too."""
    path = urlsplit(uri).path[1:]
    return unquote(path) or "/"


@contextmanager
def written(file: Path, uri: str) -> Iterator[None]:
    """Put a URI with its password into *file*, where only this user reads it, once what is done inside has worked.

    So the old one stays while it's still the one that works. Raises Error when it can't be written.
    """
    try:
        descriptor, new = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # 0600
    except OSError as error:
        raise Error(f"{file} can't be written: {error}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as content:
            content.write(f"{uri}\n")
        yield
        os.replace(new, file)
    finally:
        Path(new).unlink(missing_ok=True)
