"""What attackers, full disks, and streams that are made anew did to the bridge, until these tests."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import nats
import pytest
from stackferry import topology
from stackferry.bus import connect
from stackferry.errors import BrokerUnavailable
from stackferry_bridge.events import Event
from stackferry_bridge.targets import Away
from stackferry_bridge.targets.mqtt import Mqtt
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import free_port
from stackferry_cli.local.stack import Stack
from stackferry_runtime import history

from .carried import Bridge, Receiver, Teller, once
from .test_targets import Nats, server
from .test_webhooks import hooks

pytestmark = pytest.mark.integration


def test_it_begins_while_events_flow(stack: Stack, told: Teller, tmp_path: Path) -> None:
    over = threading.Event()

    def flow() -> None:
        while not over.wait(0.03):
            told.tell(1)

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        began = time.monotonic()
        with connect(stack.node.uri("bridge"), "tests", heartbeat=0) as connection:
            assert history.latest(connection) >= 0
        path = tmp_path / "events.jsonl"
        with Bridge(stack, tmp_path / "b", "file", target=path) as bridge:
            assert until(lambda: path.exists() and len(path.read_text().splitlines()) > 20, 30), bridge.said()
        assert time.monotonic() - began < 30
    finally:
        over.set()
        thread.join()


def test_a_late_answer_is_no_empty_stream(stack: Stack, told: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    told.tell(1)
    monkeypatch.setattr(history, "FIRST", 0.1)
    monkeypatch.setattr(history, "consume", lambda *_: None)  # its events don't come in time
    with connect(stack.node.uri("bridge"), "tests", heartbeat=0) as connection:
        with connection.channel() as channel:
            name = topology.history_queue().name
            assert until(lambda: channel.queue_declare(name, passive=True).message_count, 20)  # it counts now and then
        with pytest.raises(BrokerUnavailable, match="gives none of them now"):
            history.latest(connection)


def test_a_stream_that_was_made_anew_is_carried_from_its_beginning(stack: Stack, told: Teller, tmp_path: Path) -> None:
    beyond, path = Nats(tmp_path), tmp_path / "events.jsonl"
    with beyond():
        several = [
            Bridge(stack, tmp_path / "f", "file", target=path),
            Bridge(stack, tmp_path / "n", "nats", target=beyond.url),
        ]
        for bridge in several:
            bridge.start()
            assert until(lambda b=bridge: list((b.folder / "state").glob("*.json")), 20)
        told.tell(5)
        assert until(lambda: len(beyond.read()) >= 5 and path.exists(), 30), several[1].said()
        for bridge in several:
            bridge.stop()
        with connect(stack.node.uri("admin"), "tests", heartbeat=0) as connection, connection.channel() as channel:
            channel.queue_delete(topology.history_queue().name)
        assert until(lambda: made_again(stack) and told.is_heard(), 60), "the coordinator makes no history"
        place = json.loads((tmp_path / "f/state/file.json").read_text())["number"]
        ids = told.tell(place + 10)  # more than there were: the number alone tells nothing
        for bridge in several:
            bridge.start()

        def lines() -> list[str]:
            return [json.loads(line)["event"]["id"] for line in path.read_text().splitlines()]

        assert until(lambda: lines()[-len(ids) :] == ids, 60), several[0].said()
        assert until(lambda: [id_ for _, id_ in beyond.read()][-len(ids) :] == ids, 60), several[1].said()
        for bridge in several:
            bridge.stop()
            assert "another one by now" in bridge.said()


def made_again(stack: Stack) -> bool:
    with connect(stack.node.uri("admin"), "tests", heartbeat=0) as connection, connection.channel() as channel:
        try:
            channel.queue_declare(topology.history_queue().name, passive=True)
        except Exception:
            return False
    return True


def test_what_mqtt_refuses_has_not_arrived(tmp_path: Path) -> None:
    if shutil.which("mosquitto") is None:
        pytest.skip("mosquitto is not installed")
    port, config, rights = free_port(), tmp_path / "mosquitto.conf", tmp_path / "acl"
    rights.write_text("topic readwrite stackferry/number\n")
    rights.chmod(0o644)
    tmp_path.chmod(0o755)
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nacl_file {rights}\n")
    with server(["mosquitto", "-c", str(config)], port, tmp_path / "mosquitto.log"):
        target = Mqtt(f"mqtt://127.0.0.1:{port}")
        try:
            with pytest.raises(Away, match="refuses"):
                list(target.send([Event(n, "a.b.m.step-ended", b'{"id": "1"}') for n in range(3)]))
            assert target.position() is None
        finally:
            target.close()


def test_a_cursor_that_cannot_be_written_sends_nothing_again_and_again(
    stack: Stack, told: Teller, receiver: Receiver, tmp_path: Path
) -> None:
    file = hooks(tmp_path, {"name": "k", "url": receiver.url})
    with Bridge(stack, tmp_path / "b", "webhooks", webhooks=file) as bridge:
        state = tmp_path / "b/state"
        assert until((state / "k.json").exists, 20)
        (state / "k.new").mkdir()  # as a full disk would
        ids = told.tell(3)
        assert until(lambda: "can't be written to" in bridge.said(), 20), bridge.said()
        assert until(lambda: bridge.said().count("can't be written to") >= 3, 20), bridge.said()
        assert receiver.ids() == ids[:1]
        (state / "k.new").rmdir()
        assert until(lambda: once(receiver.ids()) == ids, 30), bridge.said()
        assert len(receiver.got) == 3


def test_a_template_that_stumbles_is_a_try_like_any_other_and_urls_are_not_logged(
    stack: Stack, told: Teller, receiver: Receiver, tmp_path: Path
) -> None:
    bad = {"url": receiver.url + "/SECRET", "format": "template"}
    file = hooks(tmp_path, {"name": "a", **bad, "template": "{{ event.data.none | tojson }}"},
                 {"name": "b", **bad, "template": "{{ 7 / 0 }}"}, {"name": "c", "url": receiver.url + "/SECRET"})  # fmt: skip
    with Bridge(stack, tmp_path / "b", "webhooks", webhooks=file) as bridge:
        assert until(lambda: len(list((tmp_path / "b/state").glob("*.json"))) == 3, 20)
        ids = told.tell(1)
        assert until(lambda: receiver.ids() == ids, 20), bridge.said()
        assert until(lambda: bridge.said().count("1 of 8 tries") == 2, 20), bridge.said()
        assert "SECRET" not in bridge.said()
        assert "nothing is carried any more" not in bridge.said()


def test_answers_to_requests_go_to_inboxes_only_and_their_role_counts(
    stack: Stack, told: Teller, tmp_path: Path
) -> None:
    beyond = Nats(tmp_path)
    with beyond(), Bridge(stack, tmp_path / "b", "nats", target=beyond.url, requests="ferry.ask",
                          requests_role="viewer") as bridge:  # fmt: skip
        assert until((tmp_path / "b/state/nats.json").exists, 20)
        told.tell(5)
        assert until(lambda: len(beyond.read()) == 5, 30), bridge.said()

        async def attack() -> dict[str, Any]:
            client = await nats.connect(beyond.url)
            await client.publish("ferry.ask", b"no request", reply="$JS.API.STREAM.PURGE.stackferry-events")
            body = {"specversion": "1.0", "type": "stackferry.request-migration.v1", "source": "me", "id": "1",
                    "time": "2027-01-01T00:00:00Z", "datacontenttype": "application/json",
                    "data": {"migration": told.migrations[0], "source": {"cloud": "a"}, "destination": {"cloud": "b"}}}  # fmt: skip
            answer = await client.request("ferry.ask", json.dumps(body).encode(), timeout=20)
            await client.close()
            return json.loads(answer.data)  # type: ignore[no-any-return]

        assert "STACKFERRY_REQUESTS_ROLE" in str(asyncio.run(attack()))
        assert len(beyond.read()) == 5
