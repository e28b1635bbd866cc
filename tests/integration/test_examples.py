"""The examples of docs/bus.md, as they stand: each asks for a plan, and hears why a wrong request is refused."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from amqp.exceptions import NotFound
from stackferry import topology
from stackferry.bus import connect
from stackferry.client import Client
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import free_port
from stackferry_cli.local.stack import Stack

from ..conftest import scratch

pytestmark = pytest.mark.integration
PAGE = (Path(__file__).parents[2] / "docs" / "bus.md").read_text("utf-8")
CLOUD = {"auth": {"auth_url": "http://127.0.0.1:9/", "username": "u", "password": "p", "project_name": "p"}}
UNKNOWN = "nowhere"


def example(heading: str, language: str) -> str:
    """The program below a heading."""
    section = re.split(r"^## ", PAGE, flags=re.M)
    (text,) = [part for part in section if part.startswith(f"{heading}\n")]
    (program,) = re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)
    return program


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The services, which know the clouds `src` and `dst`, and a broker with the management plugin where it's there."""
    import yaml

    with scratch("examples") as folder, pytest.MonkeyPatch.context() as patch:
        patch.delenv("AMQP_URI", raising=False)
        clouds = folder / "clouds.yaml"
        clouds.write_text(yaml.safe_dump({"clouds": {"src": CLOUD, "dst": CLOUD}}))
        stack = Stack(folder / "home")
        try:
            stack.up(environ={"OS_CLIENT_CONFIG_FILE": str(clouds)})
            yield stack
        finally:
            stack.down()


@pytest.fixture(scope="module")
def uri(stack: Stack) -> str:
    """The client's URI in the form that every client takes, once the workers have said which clouds they know."""
    with Client(stack.uri(), timeout=20) as ferry:

        def is_refused() -> bool:
            migration = ferry.migrate("src", UNKNOWN, mode="plan")
            try:
                ferry.show(migration)
            except Exception as error:
                return "no importer has credentials for a cloud 'nowhere'" in str(error)
            return False

        assert until(is_refused, 30)
    return urlsplit(stack.uri())._replace(path="/%2F").geturl()


def run(words: list[str], uri: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "AMQP_URI": uri, "PYTHONWARNINGS": "ignore", **more}
    return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize("heading", ["Python", "kombu", "pika"])
def test_python(heading: str, uri: str, stack: Stack, tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    program.write_text(example(heading, "python"))
    with Client(stack.uri()) as ferry:
        before = len(ferry.migrations())
        done = run([sys.executable, str(program), "src", "dst"], uri)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(ferry.migrations()) == before + 1
        refused = run([sys.executable, str(program), "src", UNKNOWN], uri)
        assert refused.returncode == 1
        assert "no importer has credentials for a cloud 'nowhere' in its clouds.yaml; known: dst, src" in refused.stderr
        assert len(ferry.migrations()) == before + 1


@pytest.mark.skipif(shutil.which("npm") is None, reason="optional: npm is not installed")
@pytest.mark.timeout(600)
def test_node_js(uri: str, stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "example.js").write_text(example("Node.js", "javascript"))
    installed = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "amqplib@0.10.9"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"optional: amqplib can't be installed: {installed.stderr[-200:]}")
    done = run(["node", str(tmp_path / "example.js"), "src", "dst"], uri)
    assert (done.returncode, done.stderr) == (0, "")
    refused = run(["node", str(tmp_path / "example.js"), "src", UNKNOWN], uri)
    assert refused.returncode == 1
    assert "no importer has credentials for a cloud 'nowhere'" in refused.stderr


@pytest.mark.skipif(shutil.which("rabbitmqadmin") is None, reason="optional: rabbitmqadmin is not installed")
def test_rabbitmqadmin(uri: str, stack: Stack, tmp_path: Path) -> None:
    port, node = free_port(), stack.node
    words, environ = node.control()

    def control(*more: str) -> None:
        done = subprocess.run(
            [*words, *more], env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout

    control("set_user_tags", "client", "management")
    listener = f'[{{port, {port}}}, {{ip, "127.0.0.1"}}]'
    control("eval", f"application:set_env(rabbitmq_management, tcp_config, {listener}, [{{persistent, true}}]).")
    words = [words[0].replace("rabbitmqctl", "rabbitmq-plugins")]
    control("enable", "rabbitmq_management")
    program, split = tmp_path / "example.sh", urlsplit(uri)
    program.write_text(example("rabbitmqadmin", "sh"))
    assert split.username
    assert split.password
    about = {"HOST": "127.0.0.1", "PORT": str(port), "NAME": split.username, "PASSWORD": split.password}

    def ask(destination: str) -> str:
        done = run(
            ["sh", "-e", str(program), "src", destination], uri, ID=str(uuid.uuid4()), MIGRATION=str(uuid.uuid4()), **about
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    assert "error" not in ask("dst")
    assert "no importer has credentials for a cloud 'nowhere'" in ask(UNKNOWN)


def test_the_history_is_read_from_its_beginning(uri: str, stack: Stack, tmp_path: Path) -> None:
    with Client(stack.uri()) as ferry:
        ferry.control(migration := ferry.migrate("src", "dst", mode="plan"), "cancel")
        ferry.wait_for(migration, "cancelled")
    program = tmp_path / "example.py"
    program.write_text(example("What was told before", "python"))

    def told() -> list[list[str]]:
        done = run([sys.executable, str(program)], uri)
        assert done.returncode == 0, done.stderr
        return [line.split() for line in done.stdout.splitlines()]

    assert until(
        lambda: [words for words in told() if words[1:] == ["stackferry.migration-changed.v1", "cancelled"]], 30
    )
    offsets = [int(words[0]) for words in told()]
    assert offsets == sorted(set(offsets))
    assert [words[1] for words in told()].count("stackferry.request-refused.v1") >= 1


def test_queues_that_somebody_has_deleted_are_made_anew(uri: str, stack: Stack) -> None:
    every = [queue.name for queue in topology.WORK_QUEUES]
    with connect(stack.node.uri("admin"), "tests", heartbeat=0) as connection, Client(stack.uri(), timeout=30) as ferry:
        channel = connection.channel()
        for name in every:
            channel.queue_delete(name)

        def readers(name: str) -> int:
            try:
                with connection.channel() as looking:
                    return int(looking.queue_declare(name, passive=True).consumer_count)
            except NotFound:
                return 0

        own = [queue.name for queue in topology.WORK_QUEUES if queue.service == "coordinator"]
        assert until(lambda: all(map(readers, own)), 60)
        migration = ferry.migrate("src", "dst")  # its export goes to a queue that is gone
        assert ferry.wait_for(migration, "stuck", 150)["reason"].startswith("the source can't be read")
        assert readers("stackferry.exporter") == 1
