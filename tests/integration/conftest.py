"""A broker that may be stopped and killed, and a probe service to watch deliveries with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stackferry import topology
from stackferry.bus import BUS_ERRORS, Outgoing, Publisher, connect, connected
from stackferry.messages import TryCloud
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import Node

from ..conftest import private_node

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def own_node() -> Iterator[Node]:
    with private_node() as node:
        yield node


@pytest.fixture
def node(own_node: Node) -> Iterator[Node]:
    """The session's own broker, running and empty; a test may stop or kill it."""
    own_node.start()
    yield own_node
    own_node.start()
    try:
        _empty(own_node)
    except BUS_ERRORS:  # RabbitMQ 3.10 doesn't always find its streams and quorum queues again after a kill
        own_node.stop()
        shutil.rmtree(own_node.folder / "mnesia")
        own_node.start()
        _empty(own_node)


def _empty(node: Node) -> None:
    """Empty every queue, and see that each stream is there."""
    with connected(node.uri("admin"), "cleaner", heartbeat=0) as connection:
        channel = connection.channel()
        for queue in topology.queues():
            if queue.queue_arguments["x-queue-type"] == "stream":
                channel.queue_declare(queue.name, passive=True)
            else:
                channel.queue_purge(queue.name)


def watermark(node: Node, part: str) -> None:
    """Let the broker have so much of the memory before it takes nothing any more: "0.000001", or "0.4" as usual."""
    words, environ = node.control()
    command = [*words, "set_vm_memory_high_watermark", part]
    subprocess.run(command, env={**os.environ, **environ}, check=True, capture_output=True)


@dataclass
class Broker:
    """What a test asks the broker as its administrator."""

    uri: str

    def count(self, queue: str) -> int:
        """Messages that are ready in *queue*."""
        with connect(self.uri, "counter", heartbeat=0) as connection:
            found: int = connection.channel().queue_declare(queue, passive=True).message_count
            return found

    def has(self, queue: str, count: int, timeout: float = 20) -> bool:
        return until(lambda: self.count(queue) == count, timeout)

    def take(self, queue: str, count: int | None = None, timeout: float = 20) -> list[Any]:
        """Take *count* messages away from *queue*, or all that are there; fewer when time is over."""
        found: list[Any] = []
        with connect(self.uri, "taker", heartbeat=0) as connection:
            channel = connection.channel()
            channel.auto_decode = False

            def one() -> bool:
                while (message := channel.basic_get(queue, no_ack=True)) is not None:
                    message.properties.get("application_headers", {}).pop("x-delivery-count", None)  # the broker's
                    found.append(message)
                return count is None or len(found) >= count

            until(one, timeout)
        return found


@pytest.fixture
def broker(node: Node) -> Broker:
    return Broker(node.uri("admin"))


class Whoever(Publisher):
    """Publishes as the administrator, and commands as the coordinator, whose commands alone are heeded."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.uri("admin"), "tests")
        self.coordinator = Publisher(node.uri("coordinator"), "tests")

    def publish_all(self, messages: Sequence[Outgoing]) -> list[Any]:
        if messages and messages[0].exchange == topology.COMMANDS.name:
            return self.coordinator.publish_all(messages)
        return super().publish_all(messages)

    def close(self) -> None:
        self.coordinator.close()
        super().close()


@pytest.fixture
def publisher(node: Node) -> Iterator[Publisher]:
    publisher = Whoever(node)
    yield publisher
    publisher.close()


def question(label: str, what: str = "ok", **headers: Any) -> Outgoing:
    """A message that tells the probe *what* to do, and to call it *label*."""
    envelope = TryCloud.make("tests", {"place": {"cloud": what}, "reply_to": label})
    queue = topology.IMPORTER_CHECKS.name
    return Outgoing(topology.COMMANDS.name, queue, envelope.to_bytes(), envelope.id, headers)


@pytest.fixture(name="question")
def _question() -> Callable[..., Outgoing]:
    return question


@dataclass
class Probe:
    """Processes of the probe service, and what they wrote down."""

    folder: Path
    uri: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, drain: float = 30) -> subprocess.Popen[bytes]:
        ready = self.folder / f"ready-{len(self.processes)}"
        environ = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "PROBE_FOLDER": str(self.folder),
            "STACKFERRY_AMQP_URI": self.uri,
            "STACKFERRY_READY_FILE": str(ready),
            "STACKFERRY_DRAIN_TIMEOUT": str(drain),
        }
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "probe_service"], env=environ, stdout=log, stderr=log
            )
        self.processes.append(process)
        assert until(lambda: ready.exists() or process.poll() is not None, 60), self.log
        assert process.poll() is None, self.log
        return process

    def stop(self) -> int:
        """Ask the latest process to end; return its exit code."""
        self.processes[-1].send_signal(signal.SIGTERM)
        return self.processes[-1].wait(60)

    def release(self) -> None:
        (self.folder / "release").touch()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def lines(self, *words: str) -> list[list[str]]:
        """The journal's lines that begin with *words*."""
        try:
            journal = [line.split() for line in (self.folder / "journal").read_text().splitlines()]
        except OSError:
            journal = []
        return [line for line in journal if line[: len(words)] == list(words)]

    def count(self, word: str) -> int:
        """How many handlers have *began*, or have *ended*."""
        return sum(line[1] == word for line in self.lines())


@pytest.fixture
def probe(node: Node) -> Iterator[Probe]:
    """The probe with an importer's rights; it isn't started yet."""
    with tempfile.TemporaryDirectory(prefix="stackferry-probe-") as folder:
        probe = Probe(Path(folder), node.uri("importer"))
        yield probe
        for process in probe.processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
