"""What tests share: a real broker, two real clouds, projects of their own, and the services as processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from stackferry.bus import connect, declare
from stackferry.client import Client
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import Node
from stackferry_cli.local.stack import Stack

from . import workers
from .skips import Skips

RABBITMQ_IMAGE = os.environ.get("STACKFERRY_RABBITMQ_IMAGE", "rabbitmq:3-management")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Skips())
    config.pluginmanager.register(workers)


def roomy_memory() -> str | None:
    """The folder in memory, where it has 2 GiB: a broker's confirm waits for fsync, and a busy disk takes seconds."""
    with suppress(OSError):
        if shutil.disk_usage("/dev/shm").free >= 2 << 30:
            return "/dev/shm"
    return None


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder for what a test's processes keep, a broker and a database above all; no place for volumes."""
    with tempfile.TemporaryDirectory(prefix=f"stackferry-{name}-", dir=roomy_memory()) as folder:
        yield Path(folder)


@contextmanager
def private_node() -> Iterator[Node]:
    with scratch("rabbitmq") as folder:
        node = Node(folder)
        try:
            node.start()
            yield node
        finally:
            node.stop()


@contextmanager
def container(image: str) -> Iterator[str]:
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    from testcontainers.community.rabbitmq import RabbitMqContainer

    with RabbitMqContainer(image) as running:
        port = running.get_exposed_port(5672)
        yield f"amqp://{running.username}:{running.password}@127.0.0.1:{port}//"


def has_image(image: str) -> bool:
    if not Path("/var/run/docker.sock").exists():
        return False
    import docker

    with suppress(docker.errors.DockerException):
        client = docker.from_env(timeout=5)
        client.images.get(image)
        return True
    return False


@pytest.fixture(scope="session")
def broker_uri() -> Iterator[str]:
    """A broker with the topology: a container when engine and image are there, else AMQP_URI, else a private node."""
    if has_image(RABBITMQ_IMAGE):
        source: Any = container(RABBITMQ_IMAGE)
    elif given := os.environ.get("AMQP_URI"):
        source = nullcontext(given)
    else:
        source = private_node()
    with source as found:
        uri = found.uri("admin") if isinstance(found, Node) else found
        with connect(uri, "tests", heartbeat=0) as connection:
            declare(connection)
        yield uri


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Any]:
    """Two running clouds, src and dst; those of STACKFERRY_SANDBOX are used, and left as they were found."""
    from stackferry_sandbox import Sandbox

    box = Sandbox()
    ran = {cloud.name for cloud in box.status() if all(s.pid for s in cloud.services)}
    box.up("src", "dst")
    yield box
    for name in {"src", "dst"} - ran:
        box.down(name)


@dataclass
class Tenant:
    """A project of one's own in a cloud; ``entry`` is its name in the services' clouds.yaml."""

    entry: str
    cloud: str
    name: str
    auth: dict[str, Any]
    box: Any
    _connection: Any = None

    def connect(self) -> Any:
        from stackferry_sandbox.connections import connect as log_in

        if self._connection is None:
            self._connection = log_in(self.auth)
        return self._connection


@dataclass
class CloudsFile:
    """A clouds.yaml that grows with the tests' tenants."""

    path: Path
    entries: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, entry: dict[str, Any]) -> None:
        self.entries[name] = entry
        new = self.path.with_suffix(".new")
        new.write_text(yaml.safe_dump({"clouds": self.entries}))
        new.replace(self.path)


@pytest.fixture(scope="session")
def clouds_file() -> Iterator[CloudsFile]:
    with scratch("clouds") as folder:
        file = CloudsFile(folder / "clouds.yaml")
        file.add(
            "nobody",
            {"auth": {"auth_url": "http://127.0.0.1:1/v3", "username": "u", "password": "p", "project_name": "p"}},
        )
        yield file


@contextmanager
def tenants(sandbox: Any, clouds_file: CloudsFile) -> Iterator[Callable[..., Tenant]]:
    """Make projects; they're deleted with all that they have."""
    made: list[Tenant] = []

    def make(cloud: str, admin: bool = False) -> Tenant:
        name = f"t-{uuid.uuid4().hex[:8]}"
        auth = sandbox.create_tenant(cloud, name, admin=admin)
        tenant = Tenant(f"{cloud}-{name}", cloud, name, auth, sandbox)
        clouds_file.add(tenant.entry, auth)
        made.append(tenant)
        return tenant

    try:
        yield make
    finally:
        for tenant in made:
            tenant.box.delete_tenant(tenant.cloud, tenant.name)


@pytest.fixture
def new_tenant(sandbox: Any, clouds_file: CloudsFile) -> Iterator[Callable[..., Tenant]]:
    with tenants(sandbox, clouds_file) as make:
        yield make


@pytest.fixture
def source(new_tenant: Callable[..., Tenant]) -> Tenant:
    return new_tenant("src")


@pytest.fixture
def destination(new_tenant: Callable[..., Tenant]) -> Tenant:
    return new_tenant("dst")


@pytest.fixture(scope="session")
def stack(clouds_file: CloudsFile) -> Iterator[Stack]:
    """The services as processes with a broker of their own; they know the tests' tenants."""
    with scratch("home") as folder:
        running = Stack(folder)
        try:
            running.up(environ={"OS_CLIENT_CONFIG_FILE": str(clouds_file.path)})
            yield running
        finally:
            running.down()


@pytest.fixture
def ferry(stack: Stack) -> Iterator[Client]:
    with Client(stack.uri()) as client:
        yield client


def postgresql_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A private PostgreSQL server on a Unix socket; the program refuses to run as root."""
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL's programs are not installed")
    user = {"user": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    with scratch("postgresql") as folder:
        if user:
            shutil.chown(folder, "postgres")
        data = folder / "data"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        subprocess.run([programs / "initdb", "-D", data, "-U", "test", "--auth=trust"], check=True, **quiet, **user)
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        server = subprocess.Popen([programs / "postgres", "-D", data, *options], **quiet, **user)
        try:
            assert until(lambda: (folder / ".s.PGSQL.5432").exists(), 30)
            yield f"postgresql+psycopg://test@/postgres?host={folder}"
        finally:
            server.terminate()
            server.wait(30)
