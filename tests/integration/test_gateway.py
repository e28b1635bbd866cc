"""The HTTP API: a gateway beside the real services and broker, asked by httpx, which knows nothing of ours."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator
from stackferry.bus import connect
from stackferry.client import Client
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from ..conftest import scratch

pytestmark = pytest.mark.integration
PEOPLE: dict[str, dict[str, Any]] = {
    "root": {"role": "admin"},
    "mover": {"role": "operator"},
    "guest": {"role": "viewer"},
    "team": {"role": "operator", "clouds": ["src", "dst"], "labels": {"team": "web"}},
    "other": {"role": "admin", "clouds": ["elsewhere"]},
    "late": {"role": "admin", "expires": "2020-01-01T00:00:00Z"},
}
NOBODYS = "6f1e4b0a-8b58-4e0c-9d62-5c7f4a1f0e12"
RATE = {"STACKFERRY_RATE": "1000"}
NETWORK = {"type": "openstack.network.Network", "params": {"name": "net"}, "_info": {}, "_migration_params": {}}


def token(name: str) -> str:
    return f"token-of-{name}"


class _Keystone(BaseHTTPRequestHandler):
    """A cloud that lets nobody in: so everything that is asked of it fails at once."""

    def do_GET(self) -> None:
        versions = {"version": {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": self._url}]}}
        self._answer(200, versions)

    def do_POST(self) -> None:
        self._answer(401, {"error": {"code": 401, "title": "Unauthorized", "message": "nobody is let in"}})

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v3"

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def cloud() -> Iterator[dict[str, Any]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Keystone) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v3"
        names = {"user_domain_name": "Default", "project_domain_name": "Default"}
        yield {"auth": {"auth_url": url, "username": "u", "password": "p", "project_name": "p", **names}}
        server.shutdown()


@pytest.fixture(scope="module")
def stack(cloud: dict[str, Any]) -> Iterator[Stack]:
    with scratch("gateway") as folder, pytest.MonkeyPatch.context() as patch:
        patch.delenv("AMQP_URI", raising=False)
        clouds = folder / "clouds.yaml"
        clouds.write_text(yaml.safe_dump({"clouds": dict.fromkeys(("src", "dst", "elsewhere"), cloud)}))
        stack = Stack(folder / "home")
        try:
            stack.folder.mkdir(parents=True)
            stack.gateway.settings()
            known = [{"name": name, "sha256": hashlib.sha256(token(name).encode()).hexdigest(), **about}
                     for name, about in PEOPLE.items()]  # fmt: skip
            stack.gateway.tokens_file.write_text(yaml.safe_dump({"tokens": known}))
            stack.up({"gateway": 1}, {"OS_CLIENT_CONFIG_FILE": str(clouds), **RATE})
            with caller(stack, "root") as http:
                assert until(lambda: http.get("/readyz").status_code == 200, 30)
                assert until(lambda: _knows(http), 30), "no worker has said which clouds it knows"
            yield stack
        finally:
            stack.down()


def _knows(http: httpx.Client) -> bool:
    request = {"source": {"cloud": "nowhere"}, "destination": {"cloud": "dst"}, "mode": "plan"}
    return http.post("/v1/migrations", json=request).status_code == 422


@contextmanager
def caller(stack: Stack, person: str | None) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token(person)}"} if person else {}
    with httpx.Client(base_url=stack.gateway.url(), headers=headers, timeout=60, trust_env=False) as http:
        yield http


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with caller(stack, "root") as found:
        yield found


def request(**more: Any) -> dict[str, Any]:
    return {"source": {"cloud": "src"}, "destination": {"cloud": "dst"}, "mode": "plan", **more}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found["type"].startswith("urn:stackferry:problem:")
    assert found["detail"]
    return found


def made(http: httpx.Client, **more: Any) -> str:
    response = http.post("/v1/migrations", json=request(**more))
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def imported(http: httpx.Client, many: int = 3, **more: Any) -> str:
    """A migration of documents, whose destination can't be reached: it has steps, and they fail."""
    documents = [{**NETWORK, "params": {"name": f"net-{n}"}, "_info": {"id": f"n{n}"}} for n in range(many)]
    response = http.post("/v1/migrations", json={"destination": {"cloud": "dst"}, "documents": documents, **more})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def phase(http: httpx.Client, migration: str) -> str:
    return str(http.get(f"/v1/migrations/{migration}").json()["phase"])


# -- who may -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer"},
    {"Authorization": f"Bearer {token('late')}"}, {"X-Auth-Token": token("root")},
], ids=["none", "wrong", "basic", "empty", "expired", "elsewhere"])  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/migrations", "/v1/events", f"/v1/migrations/{NOBODYS}/steps"])
def test_without_a_good_token_nothing_is_told(stack: Stack, headers: dict[str, str], path: str) -> None:
    with caller(stack, None) as nobody:
        response = nobody.get(path, headers=headers)
    problem(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_roles(stack: Stack) -> None:
    with caller(stack, "guest") as guest, caller(stack, "mover") as mover, caller(stack, "root") as root:
        problem(guest.post("/v1/migrations", json=request()), 403)
        migration = made(mover)
        assert guest.get(f"/v1/migrations/{migration}").status_code == 200
        problem(guest.post(f"/v1/migrations/{migration}/actions", json={"action": "cancel"}), 403)
        problem(mover.post(f"/v1/migrations/{migration}/actions", json={"action": "undo"}), 403)
        problem(mover.delete(f"/v1/migrations/{migration}"), 403)
        problem(
            mover.post(f"/v1/migrations/{migration}/cleanup", json={"workloads": ["server/x"], "names": ["x"]}), 403
        )
        assert mover.post(f"/v1/migrations/{migration}/actions", json={"action": "cancel"}).status_code == 202
        assert until(lambda: phase(root, migration) == "cancelled", 60)
        assert root.delete(f"/v1/migrations/{migration}").status_code == 204
        problem(root.get(f"/v1/migrations/{migration}"), 404)


def test_who_may_touch_some_clouds_or_labels_knows_of_nothing_else(stack: Stack) -> None:
    with caller(stack, "team") as team, caller(stack, "other") as other, caller(stack, "root") as root:
        mine, plain = made(team, name="mine"), made(root, name="plain")
        assert root.get(f"/v1/migrations/{mine}").json()["labels"] == {"team": "web"}
        for path in ("", "/steps", "/workloads", "/report", "/id-map", "/events"):
            problem(team.get(f"/v1/migrations/{plain}{path}"), 404)
            problem(other.get(f"/v1/migrations/{mine}{path}"), 404)
        problem(other.post(f"/v1/migrations/{mine}/actions", json={"action": "cancel"}), 404)
        problem(other.delete(f"/v1/migrations/{mine}"), 404)
        problem(other.post("/v1/migrations", json=request()), 403)
        problem(other.get("/v1/clouds/src/check"), 403)
        seen = [one["id"] for one in team.get("/v1/migrations").json()["items"]]
        assert mine in seen
        assert plain not in seen
        assert other.get("/v1/migrations").json() == {"items": [], "next": None}


def test_tokens_are_read_again(stack: Stack) -> None:
    before = stack.gateway.tokens_file.read_text()
    try:
        known = yaml.safe_load(before)
        known["tokens"].append({"name": "new", "role": "viewer",
                                "sha256": hashlib.sha256(token("new").encode()).hexdigest()})  # fmt: skip
        stack.gateway.tokens_file.write_text(yaml.safe_dump(known))
        with caller(stack, "new") as new:
            assert new.get("/v1/hosts").json() == {"items": []}
            stack.gateway.tokens_file.write_text("tokens: [{name: new")
            assert new.get("/v1/hosts").status_code == 200, "a file that can't be read changes nothing"
            stack.gateway.tokens_file.write_text(before)
            problem(new.get("/v1/hosts"), 401)
    finally:
        stack.gateway.tokens_file.write_text(before)


# -- requests ------------------------------------------------------------------------------------------


def test_a_request_is_taken_and_can_be_found(http: httpx.Client) -> None:
    response = http.post("/v1/migrations", json=request(name="web", labels={"wave": "1"}))
    migration = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/migrations/{migration['id']}"
    assert (migration["name"], migration["labels"], migration["mode"]) == ("web", {"wave": "1"}, "plan")
    assert migration["created"].endswith("Z")
    found = http.get(response.headers["location"])
    assert found.json()["id"] == migration["id"]
    listed = http.get("/v1/migrations", params={"label": "wave=1"}).json()["items"]
    assert migration["id"] in [one["id"] for one in listed]
    assert http.get("/v1/migrations", params={"label": "wave=2"}).json()["items"] == []


def test_the_same_key_and_body_are_taken_once_and_another_body_is_refused(http: httpx.Client, stack: Stack) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    one = http.post("/v1/migrations", json=request(), headers=key)
    again = http.post("/v1/migrations", json=request(), headers=key)
    assert (one.status_code, again.status_code) == (202, 202)
    assert one.json()["id"] == again.json()["id"]
    problem(http.post("/v1/migrations", json=request(name="else"), headers=key), 409)
    with caller(stack, "mover") as mover:
        assert mover.post("/v1/migrations", json=request(), headers=key).json()["id"] != one.json()["id"]


def test_what_was_refused_leaves_nothing_behind(http: httpx.Client) -> None:
    def documents(name: str) -> list[Any]:
        return [{**NETWORK, "params": {"name": name}, "_info": {"id": name}}]

    key = {"Idempotency-Key": uuid.uuid4().hex}
    wrong = {"destination": {"cloud": "nowhere"}, "documents": documents("old")}
    problem(http.post("/v1/migrations", json=wrong, headers=key), 422)
    body = {"destination": {"cloud": "dst"}, "documents": documents("new")}
    response = http.post("/v1/migrations", json=body, headers=key)
    assert response.status_code == 202, response.text
    migration = response.json()["id"]
    problem(http.post("/v1/migrations", json={**body, "documents": documents("other")}, headers=key), 409)
    assert http.post("/v1/migrations", json=body, headers=key).json()["id"] == migration
    assert until(lambda: phase(http, migration) == "done", 60)
    steps = http.get(f"/v1/migrations/{migration}/steps", params={"kind": "network"}).json()["items"]
    assert [step["key"] for step in steps] == ["network/new"]


def test_a_body_of_many_errors_keeps_nobody_waiting(stack: Stack, http: httpx.Client) -> None:
    body = json.dumps({"destination": {"cloud": "dst"}, "documents": [{}] * 50_000}).encode()
    answers: list[httpx.Response] = []

    def send() -> None:
        with caller(stack, "mover") as mover:
            answers.append(mover.post("/v1/migrations", content=body, headers={"Content-Type": "application/json"}))

    sender = threading.Thread(target=send)
    sender.start()
    longest = 0.0
    while sender.is_alive():
        began = time.monotonic()
        assert http.get("/livez").status_code == 200
        longest = max(longest, time.monotonic() - began)
    assert len(problem(answers[0], 422)["errors"]) == 100
    assert longest < 2


def test_a_folder_of_the_services_is_for_administrators_of_everything(stack: Stack) -> None:
    with caller(stack, "mover") as mover, caller(stack, "team") as team:
        for one in (mover, team):
            problem(one.post("/v1/migrations", json=request(mode="export", destination=None, image_blobs="/etc")), 403)


def test_a_label_has_one_value(stack: Stack) -> None:
    with caller(stack, "team") as team:
        made(team)
        assert team.get("/v1/migrations", params={"label": "team=web"}).json()["items"]
        for labels in (["team=db"], ["a=1", "a=2"]):
            assert team.get("/v1/migrations", params={"label": labels}).json() == {"items": [], "next": None}


def test_a_wrong_cursor_leaves_nothing_with_the_broker(stack: Stack, http: httpx.Client) -> None:
    def parked() -> int:
        with connect(stack.node.uri("admin"), "tests") as admin, admin.channel() as channel:
            return int(channel.queue_declare("stackferry.dead", passive=True).message_count)

    migration, before = made(http), parked()
    wrong = base64.urlsafe_b64encode(b"network/none").decode().rstrip("=")
    with caller(stack, "guest") as guest:
        for path in (f"/v1/migrations/{migration}/steps", "/v1/migrations"):
            problem(guest.get(path, params={"cursor": wrong}), 422)
    assert parked() == before


@pytest.mark.parametrize(("body", "status"), [
    (b'{"\\ud800": 1}', 400), (b'{"labels": {"\\ud800": "x"}}', 400), (b'{"mode": "\\ud800"}', 400),
    (b'{"mapping": ' + b"[" * 200 + b"]" * 200 + b"}", 400), (b'{"n": ' + b"1" * 5000 + b"}", 400),
])  # fmt: skip
def test_what_cannot_be_sent_on_is_refused(http: httpx.Client, body: bytes, status: int) -> None:
    problem(http.post("/v1/migrations", content=body, headers={"Content-Type": "application/json"}), status)


def test_methods_and_paths_that_are_none(http: httpx.Client) -> None:
    response = http.request("OPTIONS", "/v1/migrations")
    problem(response, 405)
    assert {one.strip() for one in response.headers["allow"].split(",")} == {"GET", "HEAD", "POST"}
    away = http.get("/v1/migrations/", headers={"Host": "elsewhere.example"})
    problem(away, 404)
    assert http.head("/v1/events").status_code == 200, "and it ends"
    assert http.head("/v1/migrations").content == b""
    problem(http.post(f"/v1/migrations/{NOBODYS}/actions", json={"action": "cutover", "servers": []}), 422)


@pytest.mark.parametrize(("body", "pointer"), [
    ({"mode": "plan"}, "/source"),
    (request(mode="dance"), "/mode"),
    (request(colour="red"), "/colour"),
    (request(source={"cloud": "src", "user": "me"}), "/source/user"),
    (request(labels={"": "x"}), "/labels//key"),
    (request(migration=NOBODYS), "/migration"),
    (request(parts=3), "/parts"),
    (request(source={"cloud": "nowhere"}), "/source"),
    (request(documents=[{"type": "openstack.network.Network"}]), "/documents/0/params"),
    (request(volumes_at_once=0), "/volumes_at_once"),
    (request(mapping={"flavors": 3}), "/mapping"),
    ([], ""),
    ("text", ""),
], ids=repr)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_its_field(http: httpx.Client, body: Any, pointer: str) -> None:
    found = problem(http.post("/v1/migrations", json=body), 422)
    pointers = [one["pointer"] for one in found["errors"]]
    assert any(one.startswith(pointer) for one in pointers), found


@pytest.mark.parametrize(("content", "media", "status"), [
    (b"{", "application/json", 400), (b"\xff", "application/json", 400), (b'{"mode": NaN}', "application/json", 400),
    (b'{"mode": "run", "mode": "plan"}', "application/json", 400), (b"[" * 100_000, "application/json", 400),
    (b"{}", "text/plain", 415), (b"{}", "", 415), (b"", "application/json", 400),
])  # fmt: skip
def test_a_body_that_is_none(http: httpx.Client, content: bytes, media: str, status: int) -> None:
    problem(http.post("/v1/migrations", content=content, headers={"Content-Type": media}), status)


@pytest.mark.parametrize("path", [
    "/v1/migrations/none", "/v1/migrations/..%2f..%2fetc", f"/v1/migrations/{NOBODYS}", "/v1/nothing", "/",
    "/v1/migrations/%00", f"/v1/migrations/{'a' * 5000}", "/v1/migrations/{migration}", "/v1/hosts/none/actions",
])  # fmt: skip
def test_what_is_not_there(http: httpx.Client, path: str) -> None:
    response = http.post(path, json={"action": "drain"}) if path.endswith("actions") else http.get(path)
    problem(response, 404)


@pytest.mark.parametrize("query", [
    "limit=0", "limit=x", "limit=1&limit=2", "cursor=%ff", "cursor=AAAA", "colour=red", "phase=dancing", "label=x",
])  # fmt: skip
def test_a_question_that_makes_no_sense(http: httpx.Client, query: str) -> None:
    problem(http.get(f"/v1/migrations?{query}"), 422)


def test_another_method(http: httpx.Client) -> None:
    response = http.put("/v1/migrations", json={})
    problem(response, 405)
    assert "POST" in response.headers["allow"] or "GET" in response.headers["allow"]


def test_a_body_that_is_too_long_is_not_read_to_its_end(http: httpx.Client, stack: Stack) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 20
            yield b"[" * (1 << 20)

    with suppress(httpx.TransportError):  # it may hang up amid the body
        problem(http.post("/v1/migrations", content=endless(), headers={"Content-Type": "application/json"}), 413)
    assert sent < 256 << 20


# -- lists ---------------------------------------------------------------------------------------------


def test_pages_show_each_migration_once(http: httpx.Client) -> None:
    label = uuid.uuid4().hex
    ids = [made(http, labels={"page": label}) for _ in range(5)]
    seen, cursor = [], None
    for _ in range(10):
        params = {"limit": 2, "label": f"page={label}", **({"cursor": cursor} if cursor else {})}
        page = http.get("/v1/migrations", params=params).json()
        seen += [one["id"] for one in page["items"]]
        assert len(page["items"]) <= 2
        if not (cursor := page["next"]):
            break
    assert seen == ids


def test_steps_report_and_what_became_of_ids(http: httpx.Client) -> None:
    migration = imported(http, 4)
    assert until(lambda: phase(http, migration) == "done", 120)
    first = http.get(f"/v1/migrations/{migration}/steps", params={"limit": 2}).json()
    rest = http.get(f"/v1/migrations/{migration}/steps", params={"cursor": first["next"]}).json()
    keys = [step["key"] for step in [*first["items"], *rest["items"]]]
    assert set(keys) >= {f"network/n{n}" for n in range(4)}
    assert len(keys) == len(set(keys))
    assert rest["next"] is None
    failed = http.get(f"/v1/migrations/{migration}/steps", params={"state": "failed", "kind": "network"}).json()
    report = http.get(f"/v1/migrations/{migration}/report").json()
    assert report["migration"]["phase"] == "done"
    assert report["kinds"][-1]["failed"] + report["kinds"][-1]["skipped"] == 4
    assert {one["key"] for one in report["attention"]} >= {one["key"] for one in failed["items"]}
    table = http.get(f"/v1/migrations/{migration}/report", params={"format": "csv"})
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["kind"] for row in rows] == ["network", "all"]
    assert http.get(f"/v1/migrations/{migration}/id-map").json() == {"items": []}
    assert http.get(f"/v1/migrations/{migration}/workloads").json()["items"] == []
    problem(http.get(f"/v1/migrations/{migration}/plan"), 409)
    problem(http.post(f"/v1/migrations/{migration}/actions", json={"action": "pause"}), 409)
    problem(http.post(f"/v1/migrations/{migration}/cleanup", json={"workloads": ["server/x"], "names": ["x"]}), 422)


def test_a_plan_says_why_it_cannot_be_and_can_be_asked_for_again(http: httpx.Client) -> None:
    migration = imported(http, 1, mode="plan")
    assert until(lambda: phase(http, migration) == "planned", 120)
    (step,) = http.get(f"/v1/migrations/{migration}/plan").json()["items"]
    assert (step["key"], step["state"]) == ("network/n0", "failed")
    assert step["reason"]
    response = http.post(f"/v1/migrations/{migration}/actions", json={"action": "retry"})
    assert response.status_code == 202
    assert until(lambda: phase(http, migration) == "planned", 120)


def test_nothing_is_sent_again_that_is_known_already(http: httpx.Client) -> None:
    migration = made(http)
    assert until(lambda: phase(http, migration) in ("stuck", "planned", "done"), 120)
    first = http.get(f"/v1/migrations/{migration}")
    again = http.get(f"/v1/migrations/{migration}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get(f"/v1/migrations/{migration}", headers={"If-None-Match": '"else"'}).status_code == 200


def test_workers_say_what_they_know_to_those_who_may_know_it(stack: Stack, http: httpx.Client) -> None:
    found = http.get("/v1/workers").json()["items"]
    assert {(one["service"], tuple(sorted(one["clouds"]))) for one in found} == {
        (service, ("dst", "elsewhere", "src")) for service in ("exporter", "importer")
    }
    assert all(one["seen"] < 120 and one["version"] for one in found)
    with caller(stack, "other") as other:
        assert [one["clouds"] for one in other.get("/v1/workers").json()["items"]] == [["elsewhere"]] * len(found)
    with Client(stack.uri(), timeout=20) as ferry:
        assert {one["service"] for one in ferry.workers()} == {"exporter", "importer"}


def test_the_credentials_of_a_cloud_are_tried(http: httpx.Client) -> None:
    found = problem(http.get("/v1/clouds/src/check"), 409)
    assert "src" in found["detail"] or "127.0.0.1" in found["detail"]
    problem(http.get("/v1/clouds/src/check", params={"side": "middle"}), 422)


# -- events --------------------------------------------------------------------------------------------


class Listener:
    """Somebody who hears a stream of events, by HTTP/1.0 on a socket: what was told, as it came."""

    def __init__(self, stack: Stack, path: str = "/v1/events", person: str = "root", **headers: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self.is_lost, self.opened, self._over = False, threading.Event(), threading.Event()
        host, port = urlsplit(stack.gateway.url()).netloc.split(":")
        lines = [f"GET {path} HTTP/1.0", f"Host: {host}", f"Authorization: Bearer {token(person)}",
                 *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]  # fmt: skip
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()
        assert self.opened.wait(20)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(20)
        self._socket.close()
        assert not self._thread.is_alive()

    def _hear(self) -> None:
        rest = b""
        while not self._over.is_set():
            try:
                part = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                part = b""
            if not part:
                self.is_lost = True
                self.opened.set()
                return
            *frames, rest = (rest + part).replace(b"\r\n", b"\n").split(b"\n\n")
            for frame in frames:
                self._take(frame.decode())

    def _take(self, frame: str) -> None:
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith((":", "HTTP")))
        if "data" in fields:
            self.events.append({**fields, "data": json.loads(fields["data"])})
        if "retry" in fields:  # after the headers
            self.opened.set()

    def of(self, migration: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["data"].get("subject") == migration]

    @property
    def numbers(self) -> list[int]:
        return [int(one["id"]) for one in self.events if "id" in one]


def phases(listener: Listener, migration: str) -> list[str]:
    return [one["data"]["data"]["phase"] for one in listener.of(migration) if one["event"] == "migration-changed"]


@pytest.mark.parametrize("whose", ["/v1/events", "/v1/migrations/{migration}/events"])
def test_events_come_as_they_are_told_numbered_and_in_order(stack: Stack, http: httpx.Client, whose: str) -> None:
    migration = imported(http, 3, mode="plan", labels={"told": "yes"})
    with Listener(stack, whose.format(migration=migration)) as listener:
        assert until(lambda: phase(http, migration) == "planned", 120)
        http.post(f"/v1/migrations/{migration}/actions", json={"action": "retry"})
        assert until(
            lambda: phases(listener, migration)[-1:] == ["planned"] and len(phases(listener, migration)) > 1, 60
        )
    assert listener.numbers == sorted(set(listener.numbers))
    for event in listener.of(migration):
        assert event["data"]["specversion"] == "1.0"
        assert event["data"]["type"] == f"stackferry.{event['event']}.v1"
        assert event["data"]["data"]["labels"] == {"told": "yes"}
    assert {"step-ended", "migration-changed"} <= {event["event"] for event in listener.of(migration)}


def test_who_was_away_goes_on_where_it_was(stack: Stack, http: httpx.Client) -> None:
    first = imported(http, 2, mode="plan")
    assert until(lambda: phase(http, first) == "planned", 120)
    with Listener(stack, "/v1/events?after=-1") as everything:
        assert until(lambda: phases(everything, first)[-1:] == ["planned"], 30)
    middle = everything.numbers[len(everything.numbers) // 2]
    second = imported(http, 2, mode="plan")
    assert until(lambda: phase(http, second) == "planned", 120)
    with Listener(stack, Last_Event_ID=middle) as later:
        assert until(lambda: phases(later, second)[-1:] == ["planned"], 30)
    after = [number for number in everything.numbers if number > middle]
    assert later.numbers[: len(after)] == after
    assert later.numbers == list(range(middle + 1, later.numbers[-1] + 1)), "none is missing"
    with Listener(stack, Last_Event_ID=10**9) as ahead:  # of a stream that was deleted since
        assert until(lambda: bool(ahead.events), 30)
    assert ahead.events[0]["event"] == "reset"


def test_who_may_see_little_hears_little(stack: Stack, http: httpx.Client) -> None:
    with caller(stack, "team") as team, Listener(stack, person="team") as few, Listener(stack, person="other") as none:
        mine, plain = made(team), made(http)
        with Listener(stack, "/v1/events?after=-1") as everything:
            for migration in (mine, plain):
                assert until(lambda m=migration: len(phases(everything, m)) >= 2, 60)
        assert until(lambda: len(phases(few, mine)) >= 2, 60)
        assert {event["data"]["subject"] for event in few.events} == {mine}
        assert none.events == []


@pytest.mark.parametrize("query", ["after=x", "after=-2", "colour=red", "progress=perhaps"])
def test_a_stream_that_makes_no_sense(http: httpx.Client, query: str) -> None:
    problem(http.get(f"/v1/events?{query}"), 422)


def test_the_gateway_is_killed_and_nobody_misses_anything(stack: Stack, http: httpx.Client) -> None:
    """A listener that comes back with the last number it heard has every event, once and in order."""
    heard: list[int] = []
    with Listener(stack) as listener:
        migration = imported(http, 3, mode="plan")
        assert until(lambda: bool(listener.numbers), 60)
        stack.process("gateway").stop(timeout=0)
        assert until(lambda: listener.is_lost, 20)
        heard += listener.numbers
    stack.up({"gateway": 1}, RATE)
    with caller(stack, "root") as back:
        assert until(lambda: _answers(back), 30)
        assert until(lambda: phase(back, migration) == "planned", 120)
        later = imported(back, 2, mode="plan")
        with Listener(stack, Last_Event_ID=heard[-1]) as again:
            assert until(lambda: phases(again, later)[-1:] == ["planned"], 30)
            heard += again.numbers
    assert heard == list(range(heard[0], heard[-1] + 1))


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_broker_goes_away_and_comes_back(stack: Stack, http: httpx.Client) -> None:
    with Listener(stack) as listener:
        stack.node.stop()
        assert until(lambda: http.get("/readyz").status_code == 503, 30)
        assert http.get("/livez").status_code == 200
        with caller(stack, "root") as hasty:
            hasty.timeout = httpx.Timeout(60)
            problem(hasty.post("/v1/migrations", json=request()), 503)
        stack.node.start()
        assert until(lambda: http.get("/readyz").status_code == 200, 60)
        migration = imported(http, 1, mode="plan")
        assert until(lambda: phases(listener, migration)[-1:] == ["planned"], 120), "the same stream goes on"
        assert not listener.is_lost


def test_a_stream_ends_with_its_token(stack: Stack, http: httpx.Client) -> None:
    before = stack.gateway.tokens_file.read_text()
    known = yaml.safe_load(before)
    about = {"name": "brief", "role": "viewer", "sha256": hashlib.sha256(token("brief").encode()).hexdigest()}
    try:
        stack.gateway.tokens_file.write_text(yaml.safe_dump({"tokens": [*known["tokens"], about]}))
        with Listener(stack, person="brief") as listener:
            migration = made(http)
            assert until(lambda: bool(listener.of(migration)), 30)
            stack.gateway.tokens_file.write_text(before)
            assert until(lambda: listener.is_lost, 30)
    finally:
        stack.gateway.tokens_file.write_text(before)


def test_a_gateway_with_listeners_stops_at_once(stack: Stack, http: httpx.Client) -> None:
    with Listener(stack) as one, Listener(stack, "/v1/events?after=-1") as other:
        process, began = stack.process("gateway"), time.monotonic()
        assert process.stop(timeout=20)
        assert time.monotonic() - began < 10
        assert until(lambda: one.is_lost and other.is_lost, 10)
    assert "Traceback" not in process.last_lines(40)
    stack.up({"gateway": 1}, RATE)
    assert until(lambda: _answers(http), 30)


@pytest.mark.parametrize(("settings", "said"), [
    ({}, "STACKFERRY_TOKENS names no file"),
    ({"TOKENS": "/nowhere"}, "STACKFERRY_TOKENS: /nowhere can't be read"),
    ({"TOKENS": "{tokens}", "ADDRESS": "0.0.0.0"}, "tokens would travel in clear text"),
    ({"TOKENS": "{tokens}", "PORT": "{port}"}, "can't be used: Address already in use"),
    ({"TOKENS": "{tokens}", "TLS_CERTIFICATE": "/nowhere", "TLS_KEY": "/nowhere"}, "TLS_CERTIFICATE /nowhere"),
    ({"TOKENS": "{tokens}", "TLS_CERTIFICATE": "{tokens}", "TLS_KEY": "{tokens}"}, "can't be used, as PEM"),
    ({"TOKENS": "{tokens}", "TLS_KEY": "{tokens}"}, "go together"),
    ({"TOKENS": "{tokens}", "URL_FILE": "/nowhere/url"}, "/nowhere/url can't be written"),
    ({"TOKENS": "{tokens}", "PORT": "many"}, "STACKFERRY_PORT can't be used"),
], ids=lambda value: str(value)[:40])  # fmt: skip
def test_settings_that_make_no_sense_end_it_with_a_sentence(stack: Stack, settings: dict[str, str], said: str) -> None:
    known = {"tokens": stack.gateway.tokens_file, "port": urlsplit(stack.gateway.url()).port}
    environ = {f"STACKFERRY_{name}": value.format(**known) for name, value in settings.items()}
    words = [sys.executable, "-W", "ignore", "-m", "stackferry_gateway"]
    ended = subprocess.run(
        words, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_history_that_was_deleted_begins_anew(stack: Stack, http: httpx.Client) -> None:
    first = imported(http, 2, mode="plan")
    with Listener(stack, "/v1/events?after=-1") as listener:
        assert until(lambda: phases(listener, first)[-1:] == ["planned"], 60)
        with connect(stack.node.uri("admin"), "tests") as admin, admin.channel() as channel:
            channel.queue_delete("stackferry.history")
        assert until(lambda: not _answers(http), 30)
        assert until(lambda: _answers(http), 90), "the coordinator makes it anew, and the gateway finds it"
        second = imported(http, 1, mode="plan")
        assert until(lambda: phases(listener, second)[-1:] == ["planned"], 60)
    assert [event["event"] for event in listener.events].count("reset") == 1
    with Listener(stack, "/v1/events?after=-1") as later:
        assert until(lambda: phases(later, second)[-1:] == ["planned"], 30)
    assert not later.of(first)


def test_many_ask_at_once_and_each_gets_its_own_answer(stack: Stack, http: httpx.Client) -> None:
    ids = [made(http, name=f"m{n}") for n in range(20)]
    wrong: list[Any] = []

    def ask(number: int) -> None:
        with caller(stack, "root") as mine:
            for turn in range(10):
                wanted = ids[(number + turn) % len(ids)]
                found = mine.get(f"/v1/migrations/{wanted}")
                if found.status_code != 200 or found.json()["id"] != wanted:
                    wrong.append(found.text)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_whoever_asks_too_often_is_slowed_down_and_nobody_else(stack: Stack) -> None:
    with caller(stack, None) as guesser:
        answers = [guesser.get("/v1/hosts", headers={"Authorization": f"Bearer guess-{n}"}) for n in range(40)]
        assert {answer.status_code for answer in answers} == {401, 429}
        slowed = next(answer for answer in answers if answer.status_code == 429)
        problem(slowed, 429)
        assert int(slowed.headers["retry-after"]) >= 1


# -- what it says of itself ------------------------------------------------------------------------------


def test_it_describes_itself_and_answers_as_described(http: httpx.Client) -> None:
    document = http.get("/v1/openapi.json").json()
    assert document == json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
    assert document["openapi"] == "3.1.0"
    migration = imported(http, 2)
    assert until(lambda: phase(http, migration) == "done", 120)
    for path, methods in document["paths"].items():
        answer = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).get("application/json")
        if answer is None or "cloud" in path or "plan" in path:
            continue
        found = http.get(path.replace("{migration}", migration)).json()
        root = {"$ref": answer["schema"]["$ref"], "components": document["components"]}
        Draft202012Validator(root).validate(found)


@pytest.mark.skipif(not shutil.which("curl"), reason="optional: curl is not installed")
def test_the_examples_of_the_page_as_they_stand(stack: Stack, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    commands = re.findall(r"(?m)^curl (?:.*\\\n)*.*$", re.findall(r"```sh\n(.*?)```", page, flags=re.S)[0])
    assert len(commands) == 6
    environ = {"PATH": os.environ["PATH"], "FERRY": f"{stack.gateway.url()}/v1",
               "AUTH": f"Authorization: Bearer {token('root')}", "no_proxy": "*"}  # fmt: skip
    with caller(stack, "root") as http:
        environ["ID"] = imported(http, 1, mode="plan")
        assert until(lambda: phase(http, environ["ID"]) == "planned", 60)
    said = []
    for command in commands:
        limit = " --max-time 2" if "events" in command else ""
        done = subprocess.run(
            ["bash", "-c", command.split("  #")[0] + limit], env=environ, capture_output=True, text=True
        )
        assert done.returncode == (28 if limit else 0), done.stderr
        said.append(done.stdout)
    listed, asked, planned, started, told, report = said
    assert environ["ID"] in [one["id"] for one in json.loads(listed)["items"]]
    assert json.loads(asked)["mode"] == "plan"
    assert [one["key"] for one in json.loads(planned)["items"]] == ["network/n0"]
    assert json.loads(started)["phase"] in ("running", "done")
    assert told.startswith("retry: ")
    assert report.startswith("kind,created")


def test_metrics_count_what_was_asked(http: httpx.Client) -> None:
    assert http.get("/v1/hosts").status_code == 200
    text = http.get("/metrics").text
    assert 'stackferry_http_requests_total{method="GET",path="/v1/hosts",status="200"}' in text
    assert "stackferry_ready 1.0" in text
    assert token("root") not in text


def test_no_token_is_in_any_log(stack: Stack) -> None:
    logs = "".join(file.read_text(errors="replace") for file in (stack.folder / "logs").iterdir())
    assert "audit=True" in logs
    for name in PEOPLE:
        assert token(name) not in logs
