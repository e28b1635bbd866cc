"""R9, R10: messages that make no sense; and all messages three times, in another order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from amqp import Message
from stackferry import topology
from stackferry.bus import connect

from .board import SEED, scaled, scored
from .world import World

pytestmark = [pytest.mark.scoreboard, pytest.mark.clouds, pytest.mark.timeout(7200)]


def test_r9_malformed_messages_on_every_queue() -> None:
    """The test of the queues of the services and of a host, with more of them."""
    many = scaled(1000) * (len(topology.WORK_QUEUES) + 1)
    with scored("R9", "malformed messages, 1,000 a queue, of 22 sorts, on every queue, a host's too") as row:
        environ = {**os.environ, "SEED": str(SEED), "MALFORMED": str(many)}
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-s",
            "-p",
            "no:cacheprovider",
            "tests/integration/test_malformed.py",
        ]
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        row.attempted = many
        if done.returncode:
            row.unexpected += 1
            row.notes.append(done.stdout[-1500:])
        found = re.search(r"(\d+) malformed .* to (\d+) queues .*parked after [\d.]+ s: (\{.*?\}); questions answered: (\{.*?\})",
                          done.stdout)  # fmt: skip
        if found:
            row.notes.append(f"{found[2]} queues; parked {found[3]}; answered meanwhile {found[4]}")
            row.recovered = many
            row.acknowledged = row.completed = sum(map(int, re.findall(r": (\d+)", found[4])))


class Echo:
    """Publishes each command and each fact twice more, a while later, in its sender's name (RabbitMQ's `impersonator`)."""

    def __init__(self, world: World) -> None:
        words, environ = world.stack.node.control()
        subprocess.run([*words, "set_user_tags", "admin", "administrator", "impersonator"],
                       env={**os.environ, **environ}, check=True, capture_output=True)  # fmt: skip
        self.uri, self.random = world.stack.node.uri("admin"), world.random
        self.late: list[tuple[float, str, str, Any]] = []
        self.said: Counter[str] = Counter()
        self.over = threading.Event()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.ready.wait(30)

    def stop(self) -> None:
        self.over.set()
        self.thread.join(60)

    def _run(self) -> None:
        with connect(self.uri, "echo", heartbeat=0) as connection:
            channel = connection.channel()
            channel.auto_decode = False
            channel.queue_declare("echo", exclusive=True)
            for queue in topology.WORK_QUEUES:
                for key in queue.facts or (queue.name,):
                    channel.queue_bind("echo", queue.exchange.name, routing_key=key)
            channel.basic_consume("echo", no_ack=True, callback=self._heard)
            self.ready.set()
            while not self.over.is_set() or self.late:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.05)
                self._repeat(channel)

    def _heard(self, message: Any) -> None:
        headers = message.properties.get("application_headers") or {}
        if "echo" in headers:
            return
        about = message.delivery_info
        for _ in range(2):
            when = time.monotonic() + self.random.uniform(0, 4)
            self.late.append((when, about["exchange"], about["routing_key"], message))

    def _repeat(self, channel: Any) -> None:
        now = time.monotonic()
        due = [one for one in self.late if one[0] <= now]
        self.late = [one for one in self.late if one[0] > now]
        self.random.shuffle(due)
        for _, exchange, key, message in due:
            copy = {name: message.properties[name] for name in ("content_type", "content_encoding", "message_id",
                    "correlation_id", "user_id", "delivery_mode") if name in message.properties}  # fmt: skip
            channel.basic_publish(
                Message(message.body, application_headers={"echo": True}, **copy), exchange=exchange, routing_key=key
            )
            self.said[key] += 1


def test_r10_every_message_three_times_and_shuffled(world: World) -> None:
    with scored("R10", "each command, request and fact twice more, up to four seconds later, in any order") as row:
        echo = Echo(world)
        try:
            for _ in range(scaled(10)):
                crossing = world.crossing(row, size=8, payload=2)
                crossing.judge(row)
        finally:
            echo.stop()
        row.attempted = row.recovered = sum(echo.said.values())
        row.notes.append(f"repeated: {dict(echo.said)}")
