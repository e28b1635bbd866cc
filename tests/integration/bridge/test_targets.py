"""Other systems' own servers: NATS, mosquitto, Kafka's protocol as librdkafka's mock cluster speaks it, and a file."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from stackferry.errors import Error
from stackferry.messages import RequestMigration
from stackferry_bridge.targets.oslo import Oslo
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import free_port
from stackferry_cli.local.stack import Stack

from ...conftest import private_node
from .carried import Bridge, Teller, once

pytestmark = pytest.mark.integration


@contextmanager
def server(words: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that listens."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    with log.open("ab") as out, subprocess.Popen(words, stdout=out, stderr=out) as process:
        try:
            assert until(lambda: listens(port), 20), log.read_text()
            yield process
        finally:
            process.kill()


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Nats:
    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.url = f"nats://127.0.0.1:{self.port}"

    def __call__(self) -> Any:
        words = ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder / "js")]
        return server(words, self.port, self.folder / "nats.log")

    def read(self) -> list[tuple[str, str]]:
        """(subject, id) of all that the stream holds."""

        async def read() -> list[tuple[str, str]]:
            client = await nats.connect(self.url)
            stream, found = client.jetstream(), []
            pulled = await stream.pull_subscribe("stackferry.events.>", stream="stackferry-events")
            left = (await stream.stream_info("stackferry-events")).state.messages
            while len(found) < left:
                for message in await pulled.fetch(min(100, left - len(found)), timeout=5):
                    found.append((message.subject, json.loads(message.data)["id"]))
                    await message.ack()
            await client.close()
            return found

        return asyncio.run(read())


def test_nats_has_each_event_once_in_order_over_kills_and_while_it_was_away(
    stack: Stack, told: Teller, tmp_path: Path
) -> None:
    beyond = Nats(tmp_path)
    with beyond():
        bridge = Bridge(stack, tmp_path / "b", "nats", target=beyond.url).start()
        assert until((tmp_path / "b/state/nats.json").exists, 20), bridge.said()
        ids = told.tell(100)
        for _ in range(3):
            bridge.kill()
            ids += told.tell(300)
            bridge.start()
    ids += told.tell(40)  # nobody is there to take it
    assert until(lambda: "the target is away" in bridge.said(), 60), bridge.said()
    with beyond():
        assert until(lambda: len(beyond.read()) >= len(ids), 90), bridge.said()
        bridge.stop()
        (tmp_path / "b/state/nats.json").unlink()  # NATS says itself where to go on
        ids += told.tell(10)
        with Bridge(stack, tmp_path / "b", "nats", target=beyond.url) as again:
            assert until(lambda: len(beyond.read()) >= len(ids), 60), again.said()
        found = beyond.read()
    assert [id_ for _, id_ in found] == ids
    subject = found[0][0].split(".")
    assert (subject[:3], len(subject)) == (["stackferry", "events", "old"], 6)
    assert subject[4] in told.migrations
    assert "Traceback" not in bridge.said()


def test_requests_come_by_nats_and_are_answered_there(stack: Stack, tmp_path: Path) -> None:
    beyond = Nats(tmp_path)
    with beyond(), Bridge(stack, tmp_path / "b", "nats", target=beyond.url, requests="ferry.ask") as bridge:

        async def ask(body: bytes) -> dict[str, Any]:
            client = await nats.connect(beyond.url)
            try:
                for _ in range(50):
                    try:
                        return json.loads((await client.request("ferry.ask", body, timeout=20)).data)  # type: ignore[no-any-return]
                    except nats.errors.NoRespondersError:
                        await asyncio.sleep(0.2)
                raise AssertionError(bridge.said())
            finally:
                await client.close()

        migration = str(uuid.uuid4())
        data = {"migration": migration, "source": {"cloud": "a"}, "destination": {"cloud": "b"}, "mode": "plan"}
        event = RequestMigration.make("me", {**data, "reply_to": "elsewhere"})
        assert asyncio.run(ask(event.to_bytes())) == {"parts": [{"migration": migration}]}
        assert asyncio.run(ask(event.to_bytes())) == {"parts": [{"migration": migration}]}  # once more: once
        other = RequestMigration.make("me", {**data, "reply_to": "x", "mode": "run"})
        assert "used for another request" in str(asyncio.run(ask(other.to_bytes()))["error"])
        wrong = {**json.loads(event.to_bytes()), "id": str(uuid.uuid4()), "data": {**data, "destination": None}}
        for body, names in (
            (b"no JSON", "undecodable"), (b"[]", "undecodable"), (json.dumps(wrong).encode(), "destination"),
            (json.dumps({**wrong, "type": "stackferry.step-ended.v1"}).encode(), "no request"),
            (json.dumps({**wrong, "type": "stackferry.try-cloud.v1"}).encode(), "no request"),
            (json.dumps({**wrong, "type": "stackferry.ensure-resource.v1"}).encode(), "no request"),
        ):  # fmt: skip
            assert names in str(asyncio.run(ask(body))["error"]), (body, names)


def test_mqtt_has_each_event_over_kills(stack: Stack, told: Teller, tmp_path: Path) -> None:
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto_sub is not installed")
    port, config = free_port(), tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    heard = tmp_path / "heard"
    words = ["mosquitto_sub", "-V", "5", "-p", str(port), "-q", "1", "-t", "stackferry/events/#", "-F", "%t\\t%p"]
    broker = server(["mosquitto", "-c", str(config)], port, tmp_path / "mosquitto.log")
    with broker, heard.open("wb") as out, subprocess.Popen(words, stdout=out) as listening, ExitStack() as cleanup:
        bridge = Bridge(stack, tmp_path / "b", "mqtt", target=f"mqtt://127.0.0.1:{port}").start()
        cleanup.callback(listening.kill)
        assert until((tmp_path / "b/state/mqtt.json").exists, 20), bridge.said()
        ids = told.tell(100)

        def got() -> list[str]:
            return [json.loads(line.partition("\t")[2])["id"] for line in heard.read_text().splitlines()]

        assert until(lambda: once(got()) == ids, 30), bridge.said()
        bridge.kill()
        ids += told.tell(50)
        (tmp_path / "b/state/mqtt.json").unlink()  # the broker says itself where to go on
        with bridge:
            assert until(lambda: once(got()) == ids, 30), bridge.said()
        listening.terminate()
    topic = heard.read_text().splitlines()[0].split("\t")[0].split("/")
    assert (topic[:3], topic[4] in told.migrations, len(topic)) == (["stackferry", "events", "old"], True, 6)


def test_kafka_keeps_the_order_of_each_migration_over_kills(stack: Stack, told: Teller, tmp_path: Path) -> None:
    mock = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock"})  # Kafka's protocol, in this process
    brokers = mock.list_topics(timeout=10).brokers.values()
    servers = ",".join(f"{one.host}:{one.port}" for one in brokers)
    bridge = Bridge(stack, tmp_path / "b", "kafka", target=servers).start()
    assert until((tmp_path / "b/state/kafka.json").exists, 30), bridge.said()
    ids = told.tell(200)
    assert until(lambda: once(list(consumed(servers))) != [], 30), bridge.said()
    bridge.kill()
    ids += told.tell(100)
    (tmp_path / "b/state/kafka.json").unlink()
    with bridge:
        assert until(lambda: set(ids) <= set(consumed(servers)), 60), bridge.said()
    by_key: dict[str, list[str]] = {}
    for id_, key in consumed(servers).items():
        by_key.setdefault(key, []).append(id_)
    assert set(told.migrations) <= set(by_key)  # and some that were told before: it doesn't know where it had begun
    for number, migration in enumerate(told.migrations):
        whose = [id_ for first in (ids[:200], ids[200:]) for id_ in first[number :: len(told.migrations)]]
        assert by_key[migration] == whose


def consumed(servers: str) -> dict[str, str]:
    """id → key of all events of the topic, in the order of their partitions; what came again is where it was first."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": uuid.uuid4().hex})
    known = consumer.list_topics("stackferry.events", timeout=10).topics["stackferry.events"].partitions
    found: dict[str, str] = {}
    for number in known:
        where = TopicPartition("stackferry.events", number, 0)
        _, left = consumer.get_watermark_offsets(where, timeout=10)
        consumer.assign([where])
        while left and (message := consumer.poll(10.0)) is not None:
            if not message.error():
                found.setdefault(json.loads(message.value())["id"], message.key().decode())
                left -= 1
    consumer.close()
    return found


LISTENER = """
import json, sys
from oslo_config import cfg
import oslo_messaging

class Endpoint:
    def info(self, context, publisher_id, event_type, payload, metadata):
        sys.stdout.write(json.dumps([publisher_id, event_type, payload["id"], metadata["timestamp"]]) + chr(10))
        sys.stdout.flush()

conf = cfg.ConfigOpts()
conf([])
transport = oslo_messaging.get_notification_transport(conf, url=sys.argv[1])
listener = oslo_messaging.get_notification_listener(
    transport, [oslo_messaging.Target(topic="notifications")], [Endpoint()], executor="threading")
conf.set_override("executor_thread_pool_size", 1)  # or their order would be that of its threads
listener.start()
listener.wait()
"""


def test_openstacks_own_listener_hears_each_event_also_of_the_time_when_it_was_not_there(
    stack: Stack, told: Teller, tmp_path: Path, sandbox_python: Path
) -> None:
    heard = tmp_path / "heard"

    @contextmanager
    def listener(url: str) -> Iterator[None]:
        with (
            heard.open("ab") as out,
            (tmp_path / "listener.log").open("ab") as log,
            subprocess.Popen([sandbox_python, "-c", LISTENER, url], stdout=out, stderr=log) as process,
        ):
            try:
                yield
            finally:
                process.kill()

    def got() -> list[str]:
        return [json.loads(line)[2] for line in heard.read_text().splitlines()] if heard.exists() else []

    with private_node() as beyond:
        url = beyond.uri("admin").replace("amqp://", "rabbit://")
        with Bridge(stack, tmp_path / "b", "oslo", target=url) as bridge:
            assert until((tmp_path / "b/state/oslo.json").exists, 20), bridge.said()
            ids = told.tell(20)
            assert until(lambda: "the target is away" in bridge.said(), 30), bridge.said()
            with listener(url):
                assert until(lambda: got() == ids, 90), (bridge.said(), (tmp_path / "listener.log").read_text())
            bridge.kill()
            ids += told.tell(100)
            bridge.start()
            with listener(url):
                assert until(lambda: once(got()) == ids, 60), bridge.said()
        assert beyond.uri("admin").split(":")[2].partition("@")[0] not in bridge.said(), "its password is in the log"
    publisher, event_type, _, time_ = json.loads(heard.read_text().splitlines()[0])
    assert (publisher, event_type) == ("stackferry.bridge", "stackferry.migration-changed")
    assert time_.startswith("20")


@pytest.mark.parametrize(
    ("url", "names"),
    [("kafka://h", "expected rabbit://"), ("rabbit://u:p@a,u:p@b/", "one host"), ("rabbit:///", "vhost"),
     ("rabbit://u:p@h/?driver=x", "?ssl=1 for TLS, nothing else")],
)  # fmt: skip
def test_a_transport_url_that_cannot_be_kept_to_is_refused_without_its_password(url: str, names: str) -> None:
    with pytest.raises(Error, match=re.escape(names)) as wrong:
        Oslo(url)
    assert "p@" not in str(wrong.value).replace("password@", "")


def test_a_transport_url_with_tls_is_spoken_to_with_tls() -> None:
    for url in ("rabbit://u:p@h:5671/v?ssl=1", "amqps://u:p@h:5671/v"):
        assert Oslo(url)._publisher.uri == "amqps://u:p@h:5671/v"
    assert Oslo("rabbit://u:p@h/")._publisher.uri == "amqp://u:p@h/"


def test_a_file_has_each_event_once_whatever_cut_it_short(stack: Stack, told: Teller, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    bridge = Bridge(stack, tmp_path / "b", "file", target=path).start()
    assert until((tmp_path / "b/state/file.json").exists, 20), bridge.said()

    def ids() -> list[str]:
        return [json.loads(line)["event"]["id"] for line in path.read_text().splitlines()] if path.exists() else []

    sent = told.tell(500)
    assert until(lambda: len(ids()) == 500, 30), bridge.said()
    bridge.kill()
    with path.open("r+b") as content:  # a line that a kill, or a full disk, has cut short
        content.truncate(path.stat().st_size - 30)
    sent += told.tell(100)
    with bridge:
        assert until(lambda: ids() == sent, 30), bridge.said()
        path.rename(tmp_path / "rotated")
        more = told.tell(5)
        assert until(lambda: ids() == more, 30), bridge.said()
    numbers = [json.loads(line)["number"] for line in (tmp_path / "rotated").read_text().splitlines()]
    assert numbers == sorted(set(numbers))


def test_the_command_carries_from_this_machines_broker(stack: Stack, told: Teller, tmp_path: Path) -> None:
    path, log = tmp_path / "events.jsonl", tmp_path / "log"
    env = {**os.environ, "STACKFERRY_HOME": str(stack.folder)}
    words = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "stackferry_cli.app",
        "bridge",
        "--to",
        "file",
        "--target",
        str(path),
    ]
    with log.open("wb") as out, subprocess.Popen(words, env=env, stdout=out, stderr=out) as running:
        try:
            cursor = stack.folder / "bridge" / "file" / "file.json"
            assert until(cursor.exists, 30), log.read_text()
            ids = told.tell(3)
            assert until(lambda: path.exists() and len(path.read_text().splitlines()) == 3, 30), log.read_text()
            assert [json.loads(line)["event"]["id"] for line in path.read_text().splitlines()] == ids
        finally:
            running.terminate()
        assert running.wait(30) == 0
    wrong = subprocess.run([*words[:-3], "nowhere"], env=env, capture_output=True, text=True, timeout=60)
    assert (wrong.returncode, "STACKFERRY_TO" in wrong.stderr, "Traceback" in wrong.stderr) == (2, True, False), wrong


def test_ready_is_a_bridge_whose_target_takes_what_it_carries(stack: Stack, told: Teller, tmp_path: Path) -> None:
    beyond, port = Nats(tmp_path), free_port()
    url = f"http://127.0.0.1:{port}"

    def ready() -> int:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code

    with beyond(), Bridge(stack, tmp_path / "b", "nats", target=beyond.url, metrics_address=f"127.0.0.1:{port}"):
        assert until(lambda: ready() == 200, 30)
        assert httpx.get(f"{url}/livez", trust_env=False).status_code == 200
    with Bridge(stack, tmp_path / "b", "nats", target=beyond.url, metrics_address=f"127.0.0.1:{port}"):
        told.tell(1)
        assert until(lambda: ready() == 503, 30)
        assert "stackferry_ready 0.0" in httpx.get(f"{url}/metrics", trust_env=False).text
