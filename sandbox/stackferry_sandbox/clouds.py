"""What is known of each cloud: its name, its ports, its passwords; and how a new one gets them."""

import re
import secrets
import shutil
import socket
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.files import read_json, write_json
from stackferry_sandbox.layout import CloudPaths, State
from stackferry_sandbox.services import PORTS_PER_CLOUD, port_of, url_of

PORT_STEP = 10
"""Distance between the first ports of two clouds: rounder than 6, and easier to read in a log."""

MAX_CLOUDS = 100


@dataclass(frozen=True)
class Cloud:
    """One cloud, as it was made."""

    name: str
    number: int
    """Counts from 0; gives the cloud an external address range of its own."""
    first_port: int
    paths: CloudPaths
    environment: str | None = None
    """Digest of the environment that it was made with: other versions can't read its databases."""

    def port(self, service: str) -> int:
        """The port of a service."""
        return port_of(self.first_port, service)

    def url(self, service: str) -> str:
        """The URL of a service."""
        return url_of(self.first_port, service)

    @property
    def credentials(self) -> "Credentials":
        """The cloud's passwords."""
        return Credentials(**read_json(self.paths.credentials))


@dataclass(frozen=True)
class Credentials:
    """The passwords of a cloud's users, all different."""

    admin: str
    service: str
    tenant: str

    @classmethod
    def generate(cls) -> "Credentials":
        """New random passwords. They need no quoting in INI, YAML or URLs."""
        return cls(*(secrets.token_hex(16) for _ in range(3)))


def check_name(name: str) -> None:
    """Refuse a name that can't be a folder, a host name and an entry of clouds.yaml at once."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name.endswith(("-", "-admin")):
        raise SandboxError(
            f"{name!r} is no name for a cloud: use small letters, digits and dashes; "
            "'-admin' at the end is taken by the administrator's entry in clouds.yaml"
        )


def find(state: State, name: str) -> Cloud | None:
    """The cloud of that name, if it was made."""
    paths = state.cloud(name)
    record = read_json(paths.record)
    return Cloud(paths=paths, **record) if record else None


def get(state: State, name: str) -> Cloud:
    """The cloud of that name; an error if there is none."""
    cloud = find(state, name)
    if cloud is None:
        raise SandboxError(f"there is no cloud {name!r} in {state.root}; `stackferry-sandbox up {name}` makes it")
    return cloud


def check_version(cloud: Cloud, environment: str) -> None:
    """Refuse to start a cloud with other versions of OpenStack than those that made it."""
    if cloud.environment not in (None, environment):
        raise SandboxError(
            f"cloud {cloud.name!r} was made with other versions of OpenStack than are installed now; "
            f"make it anew: `stackferry-sandbox destroy {cloud.name}`, then `up {cloud.name}`"
        )


def known(state: State) -> list[Cloud]:
    """All clouds, in the order in which they were made."""
    found = [find(state, path.parent.name) for path in state.clouds.glob("*/cloud.json")]
    return sorted((cloud for cloud in found if cloud), key=lambda cloud: cloud.number)


def is_free(port: int) -> bool:
    """Whether a server could listen on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_ports(first_port: int, taken: Iterable[int], free: Callable[[int], bool] = is_free) -> int:
    """The first port of a new cloud: six free ports in a row that no other cloud was given.

    Args:
        first_port: where to begin.
        taken: the first ports of the clouds that exist, running or not.
        free: tells whether a port is free.
    """
    taken = set(taken)
    last = min(first_port + PORT_STEP * MAX_CLOUDS, 65536 - PORTS_PER_CLOUD)
    for candidate in range(first_port, last, PORT_STEP):
        if all(abs(candidate - other) >= PORTS_PER_CLOUD for other in taken) and all(
            free(candidate + offset) for offset in range(PORTS_PER_CLOUD)
        ):
            return candidate
    raise SandboxError(
        f"no {PORTS_PER_CLOUD} free ports in a row between {first_port} and {last}; "
        "set STACKFERRY_SANDBOX_PORT to begin elsewhere"
    )


def draft(state: State, name: str, first_port: int, environment: str) -> Cloud:
    """Give a new cloud its folders, number, ports and passwords. It exists once it is recorded."""
    paths = state.cloud(name)
    if paths.root.exists():  # left by a start that was killed half way
        shutil.rmtree(paths.root)
    others = known(state)
    numbers = {cloud.number for cloud in others}
    paths.make()
    write_json(paths.credentials, asdict(Credentials.generate()), 0o600)
    return Cloud(
        name=name,
        number=next(number for number in range(MAX_CLOUDS) if number not in numbers),
        first_port=choose_ports(first_port, (cloud.first_port for cloud in others)),
        environment=environment,
        paths=paths,
    )


def record(cloud: Cloud) -> None:
    """Make a drafted cloud exist."""
    content = {name: value for name, value in vars(cloud).items() if name != "paths"}
    write_json(cloud.paths.record, content)
