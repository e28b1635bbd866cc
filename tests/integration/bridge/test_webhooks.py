"""Webhooks: what is sent, to whom, how it's signed, and what becomes of it when nobody takes it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from stackferry_bridge.targets import webhook as target
from stackferry_bridge.targets.webhook import Forbidden, _address
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from .carried import Bridge, Receiver, Teller, once

pytestmark = pytest.mark.integration
SECRET = base64.b64encode(b"s" * 32).decode()


def hooks(folder: Path, *those: dict[str, Any]) -> Path:
    file = folder / "hooks.yaml"
    fresh = folder / "hooks.new"
    fresh.write_text(yaml.safe_dump({"webhooks": [{"private": True, **one} for one in those]}))
    fresh.replace(file)
    return file


def test_each_event_comes_signed_and_as_it_was_told(
    stack: Stack, told: Teller, receiver: Receiver, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"whsec_{SECRET}\n")
    file = hooks(tmp_path, {"name": "cmdb", "url": receiver.url, "secret_file": str(secret)})
    told.tell(3)  # before the first start: not for it
    with Bridge(stack, tmp_path / "b", "webhooks", webhooks=file) as bridge:
        assert until((tmp_path / "b/state/cmdb.json").exists, 20), bridge.said()
        ids = told.tell(50)
        assert until(lambda: len(receiver.got) >= 50, 30), bridge.said()
        assert receiver.ids() == ids
    for headers, body in receiver.got:
        said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mark = base64.b64encode(hmac.new(b"s" * 32, said, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{mark}"
        assert headers["webhook-id"] == json.loads(body)["id"]
        assert abs(time.time() - int(headers["webhook-timestamp"])) < 60
        assert headers["content-type"] == "application/cloudevents+json"
        assert json.loads(body)["type"] == "stackferry.migration-changed.v1"
    assert "s" * 32 not in bridge.said()
    assert SECRET not in bridge.said()


def test_killed_at_any_time_none_is_missing_and_the_order_stays(
    stack: Stack, told: Teller, receiver: Receiver, tmp_path: Path
) -> None:
    file = hooks(tmp_path, {"name": "k", "url": receiver.url})
    bridge = Bridge(stack, tmp_path / "b", "webhooks", webhooks=file).start()
    assert until((tmp_path / "b/state/k.json").exists, 20)
    ids = []
    for _ in range(5):
        ids += told.tell(60)
        many = len(receiver.got)
        assert until(lambda m=many: len(receiver.got) > m + 10, 20), bridge.said()
        bridge.kill()
        ids += told.tell(20)
        bridge.start()
    assert until(lambda: len(once(receiver.ids())) == len(ids), 60), bridge.said()
    bridge.stop()
    assert once(receiver.ids()) == ids
    assert len(receiver.got) <= len(ids) + 5  # at most the one that was under way comes once more


def test_one_that_is_not_taken_is_tried_again_and_holds_up_nobody_else(
    stack: Stack, told: Teller, receiver: Receiver, tmp_path: Path
) -> None:
    other, closed = Receiver(), Receiver()
    closed.close()
    slow, states = Receiver(), iter([500, 302, 410, 429])
    slow.answer = lambda _: None
    receiver.answer = lambda _: next(states, 200)
    file = hooks(tmp_path, {"name": "bad", "url": receiver.url}, {"name": "good", "url": other.url},
                 {"name": "gone", "url": closed.url}, {"name": "slow", "url": slow.url})  # fmt: skip
    code = "import stackferry_bridge.targets.webhook as w; w.WAITS = (0.3,) * 7; import runpy; runpy.run_module('stackferry_bridge', run_name='__main__')"
    bridge = Bridge(stack, tmp_path / "b", "webhooks", webhooks=file)
    with bridge.log.open("ab") as log:
        bridge.process = subprocess.Popen([sys.executable, "-c", code], env=bridge.env, stdout=log, stderr=log)
    try:
        assert until(lambda: len(list((tmp_path / "b/state").glob("*.json"))) == 4, 30), bridge.said()
        ids = told.tell(3)
        assert until(lambda: other.ids() == ids, 20), bridge.said()
        assert until(lambda: len(receiver.got) == 7, 30), bridge.said()
        assert receiver.ids() == [ids[0]] * 5 + ids[1:]  # in order: the others waited for it
        assert len({headers["webhook-id"] for headers, _ in receiver.got[:5]}) == 1
        failed = tmp_path / "b/state/gone.failed.jsonl"
        assert until(lambda: failed.exists() and len(failed.read_text().splitlines()) == 3, 60), bridge.said()
        lines = [json.loads(line) for line in failed.read_text().splitlines()]
        assert [line["event"]["id"] for line in lines] == ids  # given up, and kept
        assert json.loads((tmp_path / "b/state/gone.json").read_text())["number"] == lines[-1]["number"]
        assert slow.got == []
    finally:
        slow.stalled.set()
        bridge.stop()
        other.close()
        slow.close()
    assert "Traceback" not in bridge.said()


def test_hooks_choose_by_name_cloud_and_labels_and_come_and_go(
    stack: Stack, told: Teller, receiver: Receiver, tmp_path: Path
) -> None:
    everything = {"name": "all", "url": receiver.url + "/all"}
    others = [
        {"name": "team", "url": receiver.url + "/team", "labels": {"team": "web"}},
        {"name": "cloud", "url": receiver.url + "/cloud", "clouds": ["else"]},
        {"name": "ends", "url": receiver.url + "/ends", "events": ["step-ended"]},
        {"name": "chat", "url": receiver.url + "/chat", "format": "slack", "labels": {"team": "web"}},
        {"name": "own", "url": receiver.url + "/own", "format": "template", "labels": {"team": "web"},
         "template": '{"what": {{ text | tojson }}, "m": "{{ migration }}", "n": "{{ event.data.phase }}"}'},
    ]  # fmt: skip
    file = hooks(tmp_path, everything, *others)
    with Bridge(stack, tmp_path / "b", "webhooks", webhooks=file) as bridge:
        state = tmp_path / "b/state"
        assert until(lambda: len(list(state.glob("*.json"))) == 6, 30), bridge.said()
        web = told.tell(2, labels={"team": "web"})
        shop = told.tell(2, labels={"team": "shop"})
        elsewhere = told.tell(2, source="else")
        ids = [*web, *shop, *elsewhere]
        assert until(lambda: len(receiver.got) == 6 + 2 + 2 + 0 + 2 + 2, 30), [len(receiver.got), bridge.said()]
        bodies = [json.loads(body) for _, body in receiver.got]
        counted = {one: [body.get("id") for body in bodies].count(one) for one in ids}
        assert [counted[one] for one in web] == [2, 2]
        assert [counted[one] for one in shop] == [1, 1]
        assert [counted[one] for one in elsewhere] == [2, 2]
        chats = [body["text"] for body in bodies if "text" in body]
        assert len(chats) == 2
        assert all(text.startswith("web: running: ") and "é <x>" in text for text in chats)
        owns = [body for body in bodies if "what" in body]
        assert [(one["m"], one["n"]) for one in owns] == [("web", "running")] * 2
        receiver.got.clear()
        hooks(tmp_path, everything)
        assert until(lambda: "a file was read again" in bridge.said(), 20)
        told.tell(1, labels={"team": "web"})
        assert until(lambda: len(receiver.got) >= 1, 20)
        hooks(tmp_path, everything, {"name": "new", "url": receiver.url + "/new"})
        assert until((state / "new.json").exists, 20), bridge.said()
        ids = told.tell(1)
        assert until(lambda: receiver.ids().count(ids[0]) == 2, 20), bridge.said()
        file.write_text("webhooks: [{name: x}]")
        assert until(lambda: "can't be read again" in bridge.said(), 20)
        ids = told.tell(1)
        assert until(lambda: receiver.ids().count(ids[0]) == 2, 20), bridge.said()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1",
                                  "192.168.1.1", "0.0.0.0", "224.0.0.1", "fd00::1", "100.64.0.1", "64:ff9b::a9fe:a9fe",
                                  "2002:a9fe:a9fe::1", "64:ff9b:1::7f00:1", "::7f00:1", "fec0::1", "ff02::1"])  # fmt: skip
def test_private_addresses_are_spoken_to_where_that_is_allowed_only(host: str) -> None:
    with pytest.raises(Forbidden, match="private"):
        _address(host, 80, False)
    assert _address(host, 80, True)


def test_addresses_for_everybody_are_spoken_to() -> None:
    for host in ("192.0.9.1", "2a00:1450:4001::1", "64:ff9b::c000:901"):
        assert _address(host, 443, False) == host


def test_the_waits_are_eight_tries_over_a_day() -> None:
    assert len(target.WAITS) + 1 == 8
    assert 20 * 3600 <= sum(target.WAITS) <= 26 * 3600


@pytest.mark.parametrize(("said", "names"), [
    ("webhooks: 3", "webhooks"), ("", "Invalid"), ("{", "can't be read"), ("webhooks: [{name: a}]", "url"),
    ("webhooks: [{name: a, url: 'ftp://x'}]", "http"), ("webhooks: [{name: a, url: 'http://u:p@x'}]", "password"),
    ("webhooks: [{name: a, url: 'http://x:99999'}]", "url"), ("webhooks: [{name: ../a, url: 'http://x'}]", "name"),
    ("webhooks: [{name: a, url: 'http://x', format: template}]", "template"),
    ("webhooks: [{name: a, url: 'http://x', format: template, template: '{{'}]", "can't be used"),
    ("webhooks: [{name: a, url: 'http://x', events: [nothing]}]", "events"),
    ("webhooks: [{name: a, url: 'http://x', colour: red}]", "colour"),
    ("webhooks: [{name: a, url: 'http://x'}, {name: a, url: 'http://y'}]", "stands twice"),
    ("webhooks: [{name: a, url: 'http://x', secret_file: /none}]", "secret_file"),
])  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused_by_its_field(tmp_path: Path, said: str, names: str) -> None:
    file = tmp_path / "hooks.yaml"
    file.write_text(said)
    env = {"STACKFERRY_WEBHOOKS": str(file), "STACKFERRY_STATE_DIR": str(tmp_path / "state"), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "stackferry_bridge"], env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert names in done.stderr
    assert "STACKFERRY_WEBHOOKS" in done.stderr
