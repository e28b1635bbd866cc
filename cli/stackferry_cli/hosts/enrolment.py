"""Users of the broker for conversion hosts: each host has its own, which can do that host's work and nothing else.

The user's name holds cloud, project and id of the host's server, so it's made once the server is. The password is in
the server's user data alone; its metadata hold the hash, from which the user can be made again at any time.
``rabbitmqctl`` makes users, wherever the broker runs: the words of a command say how to reach it there.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field

from stackferry.definitions import user_definitions
from stackferry.errors import BrokerUnavailable, Error
from stackferry.topology import Enrolled, User, host_user

from ..local.rabbitmq import Node
from ..local.stack import Stack, home

VARIABLE = "STACKFERRY_RABBITMQCTL"
SAY = f"--rabbitmqctl (or {VARIABLE}) says how: 'docker-compose exec -T rabbitmq rabbitmqctl', 'ssh broker rabbitmqctl'"
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

    def enrol(self, hashes: dict[Enrolled, str], vhost: str = "/") -> None:
        """Make the users of hosts, each with the hash of its password."""
        self.make({host_user(host): hash_ for host, hash_ in hashes.items()}, vhost)

    def dismiss(self, hosts: Iterable[Enrolled]) -> None:
        """Delete the users of hosts."""
        self.delete(map(host_user, hosts))

    def _run(self, *words: str, content: str = "", fine: tuple[int, ...] = ()) -> None:
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
