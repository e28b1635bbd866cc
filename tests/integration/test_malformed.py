"""Ten thousand messages that nobody can act on, between good ones: all parked with a reason, nobody harmed."""

from __future__ import annotations

import bz2
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from amqp import Message as AMQPMessage
from stackferry import topology
from stackferry.bus import Outgoing, Publisher, connect
from stackferry.client import Client
from stackferry.definitions import password_hash
from stackferry.envelope import CONTENT_TYPE, MAX_BYTES
from stackferry.errors import Error, NoAnswer
from stackferry.messages import REGISTRY, Answer, Command, MigrationChanged
from stackferry_cli.broker_users import local
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from ..conftest import scratch

pytestmark = pytest.mark.integration

COUNT = int(os.environ.get("MALFORMED") or 10_000)
BATCH = 250
HOST = topology.Enrolled("some-host", "somewhere")


# -- good messages, to spoil ---------------------------------------------------------------------------------

GOLDEN = Path(__file__).parents[1] / "contract" / "golden"
PLACE = {"cloud": "nowhere"}
STEP = {"migration": str(uuid.UUID(int=1)), "step": "network/1", "attempt": 1}
DOCUMENT = {"type": "openstack.network.Network", "params": {"name": "n"}, "_info": {}}
RESOURCE = {**STEP, "destination": PLACE, "kind": "network", "document": DOCUMENT}
GOOD: dict[str, dict[str, Any]] = {
    "request-migration": {"migration": STEP["migration"], "source": PLACE, "destination": PLACE},
    "submit-documents": {"migration": STEP["migration"], "part": 1, "documents": [DOCUMENT]},
    "control-migration": {"migration": STEP["migration"], "action": "pause"},
    "describe-migrations": {"reply_to": "nobody"},
    "export-project": {"migration": STEP["migration"], "attempt": 1, "source": PLACE},
    "check-cloud": {"place": PLACE, "reply_to": "nobody"},
    "try-cloud": {"place": PLACE, "reply_to": "nobody"},
    "ensure-resource": RESOURCE,
    "compare-resource": RESOURCE,
    "finish-resource": RESOURCE,
    "remove-resource": RESOURCE,
    "documents-exported": {"migration": STEP["migration"], "attempt": 1, "part": 1, "documents": [DOCUMENT]},
    "export-ended": {"migration": STEP["migration"], "attempt": 1, "parts": 1, "outcome": "done"},
    "step-claimed": {**STEP, "token": "t", "again": False, "reply_to": "nobody"},
    "step-ended": {**STEP, "outcome": "created"},
    "step-progressed": {**STEP, "done": 1},
    "image-offered": {**STEP, "address": "host:1", "certificate": "PEM"},
    "offer-image": {**STEP, "source": PLACE, "image": "i", "certificates": []},
    "fetch-image": {**STEP, "destination": PLACE, "image": "i", "address": "host:1", "certificate": "PEM"},
    "save-image": {**STEP, "source": PLACE, "image": "i", "folder": "/f"},
    "load-image": {**STEP, "destination": PLACE, "image": "i", "folder": "/f", "source_id": "s"},
    "perform-action": {**STEP, "place": PLACE, "action": "look", "kind": "server", "resource": "s"},
    "segment-offered": {**STEP, "address": "host:1", "certificate": "PEM", "size": 1},
    "worker-seen": {"service": "importer", "instance": "host:1"},
    "agent-seen": {"host": "h", "instance": "i", "cloud": "c", "slots": 1, "version": "1", "certificate": "PEM"},
    **{name: json.loads((GOLDEN / f"stackferry.{name}.v1.json").read_text())["data"]
       for name in ("offer-segment", "fetch-segment")},
}  # fmt: skip
TYPES = {f"stackferry.{name}.v1": data for name, data in GOOD.items()}


def types_of(queue: topology.WorkQueue) -> list[str]:
    return [type_ for type_ in TYPES if belongs(type_, queue)]


def belongs(type_: str, queue: topology.WorkQueue) -> bool:
    return any(topology.on(one, queue.name) for one in REGISTRY[type_].queues)  # type: ignore[attr-defined]


def required(type_: str) -> list[str]:
    return [name for name, field in REGISTRY[type_]().fields.items() if field.required]


# -- spoiling ------------------------------------------------------------------------------------------------


@dataclass
class Bad:
    """A message, and the reason that it's to be parked with."""

    reason: str
    body: bytes
    content_type: str | None = CONTENT_TYPE
    content_encoding: str = "utf-8"
    headers: dict[str, Any] = field(default_factory=dict)
    properties: bytes | None = None  # as they go over the wire, instead of all others


class Spoiler:
    """Makes malformed messages from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        spoilers = [getattr(self, name) for name in dir(self) if name.startswith("bad_")]
        self.spoilers: list[Callable[[topology.WorkQueue], Bad]] = spoilers

    def one(self, queue: topology.WorkQueue) -> tuple[str, Bad]:
        spoiler = self.random.choice(self.spoilers)
        bad = spoiler(queue)
        if self.random.random() < 0.2:
            bad.headers |= self.odd_headers()
        return spoiler.__name__, bad

    def event(self, queue: topology.WorkQueue) -> dict[str, Any]:
        type_ = self.random.choice(types_of(queue))
        data = json.loads(json.dumps(TYPES[type_]))
        return {"specversion": "1.0", "id": str(uuid.UUID(int=self.random.getrandbits(128))), "source": "tests",
                "type": type_, "data": data}  # fmt: skip

    def odd_headers(self) -> dict[str, Any]:
        return self.random.choice(
            [
                {"x-attempt": "three"}, {"x-attempt": -1}, {"x-attempt": 10**15}, {"x-attempt": [1]},
                {"x-replayed": "perhaps"}, {"x-death": "mine"}, {"x-queue": 7, "x-reason": [], "x-error": {"a": 1}},
                {"compression": "nonsense"}, {"compression": "zlib"}, {"bytes": b"\xff\xfe"}, {"é" * 50: "\ud800"},
                {"deep": {"deep": {"deep": [[[None, 1.5, True]]]}}}, {"long": "x" * 10_000},
            ]
        )  # fmt: skip

    # what can't be decoded

    def bad_json(self, queue: topology.WorkQueue) -> Bad:
        good = json.dumps(self.event(queue)).encode()
        cut = self.random.randrange(len(good))
        spoilt = [good[:cut], good + b"}", b"", b" ", b"\xef\xbb\xbf" + good, good.replace(b'"', b"'"), b"{" + good]
        return Bad("undecodable", self.random.choice(spoilt))

    def bad_noise(self, queue: topology.WorkQueue) -> Bad:
        return Bad("undecodable", b"\x00" + self.random.randbytes(self.random.randrange(2000)))

    def bad_top_level(self, queue: topology.WorkQueue) -> Bad:
        value = self.random.choice([None, True, 7, -0.0, "text", [], [{}], {}, {"data": {}}])
        return Bad("undecodable", json.dumps(value).encode())

    def bad_depth(self, queue: topology.WorkQueue) -> Bad:
        depth = self.random.choice([2_000, 20_000, 100_000])
        deep = self.random.choice(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth])
        text = json.dumps(self.event(queue) | {"data": {"a": "@"}}).replace('"@"', deep)
        return Bad("undecodable", text.encode())

    def bad_utf8(self, queue: topology.WorkQueue) -> Bad:
        good = json.dumps(self.event(queue))
        return self.random.choice(
            [
                Bad("undecodable", good.replace("tests", "t\xe9sts").encode("latin-1"), content_encoding="latin-1"),
                Bad("undecodable", good.encode("utf-16"), content_encoding="utf-16"),
                Bad("undecodable", good.replace("tests", "\ud800").encode("utf-8", "surrogatepass")),
                Bad("undecodable", good.encode().replace(b"tests", b"\xc0\x80")),
            ]
        )

    def bad_duplicate(self, queue: topology.WorkQueue) -> Bad:
        good = json.dumps(self.event(queue))
        twice = self.random.choice(['{"id":"x",' + good[1:], good.replace('"data": {', '"data": {"a":1,"a":1,', 1)])
        return Bad("undecodable", twice.encode())

    def bad_constant(self, queue: topology.WorkQueue) -> Bad:
        event = self.event(queue)
        event["data"]["x"] = self.random.choice([float("nan"), float("inf"), float("-inf")])
        return Bad("undecodable", json.dumps(event).encode())

    def bad_number(self, queue: topology.WorkQueue) -> Bad:
        text = json.dumps(self.event(queue) | {"attempt": 1}).replace('"attempt": 1', f'"attempt": {"9" * 5000}')
        return Bad("undecodable", text.encode())

    def bad_envelope(self, queue: topology.WorkQueue) -> Bad:
        event = self.event(queue)
        name = self.random.choice(["specversion", "id", "source", "type", "data"])
        if self.random.random() < 0.5:
            del event[name]
        else:
            event[name] = self.random.choice([None, 7, [], "" if name != "data" else "data"])
        return Bad("undecodable", json.dumps(event).encode())

    def bad_version(self, queue: topology.WorkQueue) -> Bad:
        spoilt = self.random.choice([{"specversion": "0.3"}, {"attempt": "one"}, {"attempt": True}, {"attempt": 1.5}])
        return Bad("undecodable", json.dumps(self.event(queue) | spoilt).encode())

    def bad_content_type(self, queue: topology.WorkQueue) -> Bad:
        wrong = [None, "application/json", "text/plain", "application/cloudevents", "application/x-python-serialize"]
        return Bad("undecodable", json.dumps(self.event(queue)).encode(), self.random.choice(wrong))

    def bad_pickle(self, queue: topology.WorkQueue) -> Bad:
        type_ = self.random.choice(["application/x-python-serialize", CONTENT_TYPE])
        return Bad("undecodable", pickle.dumps(Spoilt()), type_, "binary")

    def bad_compression(self, queue: topology.WorkQueue) -> Bad:
        packed = zlib.compress(json.dumps(self.event(queue)).encode())
        name = self.random.choice(["zlib", "application/x-gzip", "bzip2", "nonsense"])
        return Bad("undecodable", packed, headers={"compression": name})

    def bad_properties(self, queue: topology.WorkQueue) -> Bad:
        late = (
            struct.pack(">H", 0x2000) + struct.pack(">I", 12) + b"\x02at" + b"T" + struct.pack(">Q", 1_700_000_000_000)
        )
        texts = [struct.pack(">H", flag) + b"\x02\xff\xfe" for flag in (0x8000, 0x4000, 0x0400, 0x0080, 0x0020)]
        body = json.dumps(self.event(queue)).encode()
        return Bad("undecodable", body, properties=self.random.choice([late, *texts]))

    # what can be decoded

    def bad_type(self, queue: topology.WorkQueue) -> Bad:
        type_ = self.random.choice(["x", "stackferry.check-cloud.v2", "stackferry..v1", "__class__", "a" * 9999])
        return Bad("unknown", json.dumps(self.event(queue) | {"type": type_}).encode())

    def bad_missing_field(self, queue: topology.WorkQueue) -> Bad:
        event = self.event(queue)
        del event["data"][self.random.choice(required(event["type"]))]
        return Bad("invalid", json.dumps(event).encode())

    def bad_field(self, queue: topology.WorkQueue) -> Bad:
        event = self.event(queue)
        event["data"][self.random.choice(required(event["type"]))] = self.random.choice([None, {"no": "thing"}])
        return Bad("invalid", json.dumps(event).encode())

    def bad_unknown_field(self, queue: topology.WorkQueue) -> Bad:
        event = self.event(queue)
        if not issubclass(REGISTRY[event["type"]], Command):
            return self.bad_field(queue)
        event["data"][self.random.choice(["extra", "", "a" * 5000, "$where"])] = 1
        return Bad("invalid", json.dumps(event).encode())

    def bad_filter(self, queue: topology.WorkQueue) -> Bad:
        if queue is not topology.COORDINATOR:
            return self.bad_missing_field(queue)
        pattern = self.random.choice(["(", "a{99999999999999999999}", "(" * 5000 + ")" * 5000, 7, None, "[z-a]"])
        data = TYPES["stackferry.request-migration.v1"] | {"selection": {"filters": {"network": [{"regex": pattern}]}}}
        event = self.event(queue) | {"type": "stackferry.request-migration.v1", "data": data}
        return Bad("invalid", json.dumps(event).encode())

    def bad_queue(self, queue: topology.WorkQueue) -> Bad:
        others = [type_ for type_ in TYPES if not belongs(type_, queue)]
        event = self.event(queue)
        foreign = self.random.choice(others)
        told = self.random.choice(
            [
                (foreign, TYPES[foreign]),
                (MigrationChanged.type, {"migration": STEP["migration"], "phase": "done"}),
                (Answer.type, {}),
            ]
        )
        return Bad("misrouted", json.dumps(event | {"type": told[0], "data": told[1]}).encode())

    # a few big ones

    def huge(self, queue: topology.WorkQueue, size: int) -> Bad:
        event = self.event(queue)
        text = json.dumps(event | {"padding": "x" * size})
        return Bad("undecodable", text.encode())

    def bomb(self, queue: topology.WorkQueue) -> Bad:
        return Bad("undecodable", bz2.compress(bytes(100_000_000)), headers={"compression": "bzip2"})


class Spoilt:
    """What must never be unpickled: it would leave a trace."""

    def __reduce__(self) -> Any:
        return os.mkdir, (f"{tempfile.gettempdir()}/stackferry-unpickled-{os.getpid()}",)


# -- sending and finding again -------------------------------------------------------------------------------


class Wire:
    """Publishes what :class:`Publisher` refuses to make: messages without an id, or with broken properties."""

    def __init__(self, uri: str) -> None:
        self.connection = connect(uri, "tests", heartbeat=0)
        self.channel = self.connection.channel()

    def publish(self, key: str, bad: Bad) -> None:
        properties: dict[str, Any] = {"delivery_mode": 2, "application_headers": bad.headers}
        if bad.content_type is not None:
            properties["content_type"] = bad.content_type
        message = AMQPMessage(bad.body, **properties)
        if (raw := bad.properties) is not None:
            message._serialize_properties = lambda: raw
        self.channel.basic_publish_confirm(message, topology.RETURNS.name, key, mandatory=True)

    def close(self) -> None:
        self.connection.release()


def read(wire: Wire) -> list[topology.WorkQueue]:
    """The work queues that somebody reads; a host's, which its agents look into from time to time, with them."""
    declared = {queue: wire.channel.queue_declare(queue.name, passive=True) for queue in topology.WORK_QUEUES}
    return [*(queue for queue, answer in declared.items() if answer.consumer_count), topology.host_queue(HOST.host)]


def parked(uri: str, count: int) -> list[Any]:
    """Take *count* messages from the parking queue."""
    found: list[Any] = []
    with connect(uri, "tests", heartbeat=0) as connection:
        channel = connection.channel()
        channel.auto_decode = False
        channel.basic_consume(topology.DEAD.name, no_ack=True, callback=found.append)
        deadline = time.monotonic() + 60
        while len(found) < count and time.monotonic() < deadline:
            connection.drain_events(timeout=30)
    return found


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """The real services with a broker of their own, and no cloud."""
    monkeypatch.delenv("AMQP_URI", raising=False)
    with scratch("malformed") as folder:
        clouds = folder / "clouds.yaml"
        clouds.write_text("clouds: {}\n")
        stack = Stack(folder)
        try:
            stack.up(environ={"OS_CLIENT_CONFIG_FILE": str(clouds)})
            yield stack
        finally:
            stack.down()


@pytest.fixture
def agent(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """An agent on a conversion host; its queue is there, and read."""
    folder = Path(stack.folder)
    local(stack.node).make({topology.host_user(HOST): password_hash("pw")})
    uri = stack.node.address().replace("://", f"://{HOST.user}:pw@")
    environ = {"STACKFERRY_AMQP_URI": uri, "STACKFERRY_CLOUD": HOST.cloud, "STACKFERRY_SERVER_ID": HOST.host,
               "STACKFERRY_STATE_DIR": str(folder / "agent")}  # fmt: skip
    with (folder / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "stackferry_transfer"], env={**os.environ, **environ}, stderr=log
        )
    try:
        with Client(stack.uri()) as ferry:
            assert until(lambda: any(host["state"] == "ready" for host in ferry.hosts()), 30)
        yield process
    finally:
        process.terminate()
        process.wait(60)


class Asker:
    """Asks the services questions all the while."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.answered: Counter[str] = Counter()
        self.unanswered: list[str] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with Client(self.uri, timeout=90) as ferry:
            while not self.over.is_set():
                for name, ask in (
                    ("migrations", ferry.migrations),
                    ("source", lambda: ferry.check("nowhere", "source")),
                    ("destination", lambda: ferry.check("nowhere", "destination")),
                ):
                    try:
                        ask()
                    except NoAnswer as error:
                        self.unanswered.append(str(error))
                        return
                    except Error as error:
                        if "nowhere" not in str(error):  # that there's no such cloud is an answer too
                            self.unanswered.append(str(error))
                    self.answered[name] += 1

    def stop(self) -> None:
        self.over.set()
        self.thread.join(120)


@pytest.mark.timeout(600)
def test_malformed_messages_are_parked_and_good_ones_answered(
    stack: Stack, agent: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("SEED", "1"))  # the same each time; another by SEED=...
    print(f"SEED={seed}")
    spoiler, expected, kinds = Spoiler(seed), {}, Counter[str]()
    uri = stack.node.uri("admin")
    publisher, wire = Publisher(uri, "tests"), Wire(uri)
    queues = read(wire)
    assert len(queues) == len(topology.WORK_QUEUES) + 1
    pids = {name: stack.process(name).pid() for name in stack.names()}
    assert None not in pids.values()
    asker, began = Asker(stack.uri()), time.monotonic()
    anonymous: Counter[tuple[str, str]] = Counter()
    batch: list[Outgoing] = []
    try:
        for number in range(COUNT):
            queue = queues[number % len(queues)]
            kind, bad = spoiler.one(queue)
            if number % 2000 == 7:
                kind, bad = "huge", spoiler.huge(queue, spoiler.random.choice([MAX_BYTES, 1_572_864]))
            elif number == 5008:
                kind, bad = "bomb", spoiler.bomb(queue)
            kinds[kind] += 1
            if bad.properties is not None or bad.content_type is None or spoiler.random.random() < 0.02:
                wire.publish(queue.name, bad)
                anonymous[queue.name, bad.reason] += 1
            else:
                id_ = f"bad-{number}"
                expected[id_] = queue.name, bad.reason, bad.body
                batch.append(
                    Outgoing(
                        topology.RETURNS.name,
                        queue.name,
                        bad.body,
                        id_,
                        bad.headers,
                        bad.content_type,
                        bad.content_encoding,
                    )
                )
            if len(batch) == BATCH or number == COUNT - 1:
                assert publisher.publish_all(batch) == [None] * len(batch)
                batch = []
        sent = time.monotonic() - began

        def count() -> int:
            found: int = wire.channel.queue_declare(topology.DEAD.name, passive=True).message_count
            return found

        until(lambda: count() >= COUNT, 120)
        took = time.monotonic() - began
    finally:
        asker.stop()
        publisher.close()
        wire.close()

    logs = "\n".join(f"{name}:\n{stack.process(name).last_lines(40)}" for name in stack.names())
    assert {name: stack.process(name).pid() for name in stack.names()} == pids, logs
    assert agent.poll() is None, Path(stack.folder, "agent.log").read_text()[-4000:]
    found = parked(uri, COUNT)
    assert len(found) == COUNT, logs
    reasons: Counter[str] = Counter()
    for message in found:
        headers = message.properties["application_headers"]
        assert "x-reason" in headers, f"the broker parked it: {headers}, {message.body[:200]!r}\n{logs}"
        queue, reason, error = message.delivery_info["routing_key"], headers["x-reason"], headers["x-error"]
        reasons[reason] += 1
        assert error
        if id_ := message.properties.get("message_id"):
            assert (queue, reason) == expected[id_][:2], (id_, error, expected[id_][2][:300])
            assert bytes(message.body or b"") == expected[id_][2], "the copy isn't what was sent"
            del expected[id_]
        else:
            anonymous[queue, reason] -= 1
    assert not expected
    assert not +anonymous
    assert not -anonymous
    assert not asker.unanswered
    assert not asker.thread.is_alive()
    assert min(asker.answered[name] for name in ("migrations", "source", "destination")) >= (3 if COUNT >= 5_000 else 1)
    assert not os.path.exists(f"{tempfile.gettempdir()}/stackferry-unpickled-{os.getpid()}")
    with capsys.disabled():
        print(
            f"\n{COUNT} malformed (SEED={seed}) to {len(queues)} queues sent in {sent:.1f} s, parked after {took:.1f} s: {dict(reasons)}; "
            f"questions answered: {dict(asker.answered)}; kinds: {len(kinds)}"
        )
