"""What is taken, and what is refused, by its field."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from stackferry.bus import connect
from stackferry.client import Client
from stackferry.errors import Refused
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from .asking import NETWORK, NOBODYS, caller, made, phase, problem, request
from .listening import Listener, phases

pytestmark = pytest.mark.integration


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
    "/v1/migrations/none", "/v1/migrations/..%2f..%2fetc", f"/v1/migrations/{NOBODYS}", "/v1/nothing", "/v1", "/nothing",
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


def test_a_request_over_the_bus_that_is_refused_leaves_no_documents_behind(stack: Stack) -> None:
    with Client(stack.uri()) as ferry:
        before = {row["id"] for row in ferry.migrations()}
        with pytest.raises(Refused, match="nowhere"):
            ferry.migrate(None, "nowhere", documents=[NETWORK])
        assert {row["id"] for row in ferry.migrations()} == before


@pytest.mark.parametrize("many", [1, 600])  # in one transaction, and slice by slice
def test_a_trace_goes_through_everything_that_follows(stack: Stack, http: httpx.Client, many: int) -> None:
    trace = secrets.token_hex(16)
    documents = [{**NETWORK, "_info": {"id": f"n{n}"}, "params": {"name": f"net-{n}"}} for n in range(many)]
    headers = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    with Listener(stack) as listener:
        body = {"destination": {"cloud": "dst"}, "documents": documents}
        migration = http.post("/v1/migrations", json=body, headers=headers).json()["id"]
        assert until(lambda: phases(listener, migration)[-1:] == ["done"], 60)
        told = listener.of(migration)
    assert {one["event"] for one in told} >= {"migration-changed", "step-ended"}
    assert {one["data"].get("traceparent", "").split("-")[1:2] == [trace] for one in told} == {True}
    for service in ("gateway", "importer"):
        assert f"trace={trace}" in stack.process(service).log.read_text(), service


@pytest.mark.parametrize("wrong", ["x", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00-" + "a" * 32 + "-" + "1" * 16,
                                   "ff-" + "a" * 32 + "-" + "1" * 16 + "-01"])  # fmt: skip
def test_what_is_no_trace_is_left_out(stack: Stack, http: httpx.Client, wrong: str) -> None:
    with Listener(stack) as listener:
        migration = http.post("/v1/migrations", json=request(), headers={"traceparent": wrong}).json()["id"]
        assert until(lambda: phases(listener, migration), 30)
        assert [one for one in listener.of(migration) if one["data"].get("traceparent")] == []
