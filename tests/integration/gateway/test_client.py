"""The Python client of the HTTP API, against a real gateway: lost answers, gateways that die, addresses of others."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack
from stackferryclient import Client, Event, FerryError, Refused, Unavailable, transport

from .asking import NETWORK, NOBODYS, RATE, answers, caller, request, token

pytestmark = pytest.mark.integration


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.gateway.url(), token=token("root")) as found:
        yield found


def imported(client: Client, many: int = 3, **more: Any) -> str:
    documents = [{**NETWORK, "params": {"name": f"net-{n}"}, "_info": {"id": f"n{n}"}} for n in range(many)]
    return str(client.request({"destination": {"cloud": "dst"}, "documents": documents, **more})["id"])


def test_a_migration_from_its_request_to_its_end(client: Client) -> None:
    id_ = imported(client, name="by the client", labels={"wave": "7"})
    assert client.wait(id_, 60)["phase"] == "done"
    assert client.find("by the client")["id"] == client.find(id_)["id"] == id_
    assert id_ in [one["id"] for one in client.migrations(["done"], {"wave": "7"}, newest=True)]
    assert {step["name"] for step in client.steps(id_, kinds=["network"])} == {"net-0", "net-1", "net-2"}
    assert [step["state"] for step in client.steps(id_, ["failed"])]
    assert list(client.steps(id_, kinds=["server"])) == []
    assert client.report(id_)["kinds"][-1]["skipped"] == 3
    assert client.workloads(id_)["items"] == client.id_map(id_) == client.hosts() == []
    assert {one["service"] for one in client.workers()} == {"exporter", "importer"}
    with pytest.raises(Refused, match="can't be told to start") as no:
        client.act(id_, "start")
    assert (no.value.status, no.value.help) == (409, f"stackferry show {id_}")
    with pytest.raises(Refused, match="this is no plan"):
        list(client.plan(id_))
    client.forget(id_)
    with pytest.raises(FerryError, match="no migration has the id or the name"):
        client.find("by the client")


def test_lists_of_many_pages_are_read_to_their_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAGE", 2)
    id_ = imported(client, 7)
    assert client.wait(id_, 60)["phase"] == "done"
    names = [step["name"] for step in client.steps(id_) if step["action"] == "ensure"]
    assert len(names) == len(set(names)) == 7


def test_what_is_refused_says_which_field(stack: Stack, client: Client) -> None:
    with pytest.raises(Refused) as no:
        client.request({**request(), "mode": "fly", "labels": {"a": 1}})
    assert no.value.status == 422
    assert {one["pointer"] for one in no.value.errors} == {"/mode", "/labels/a/value"}
    assert "/mode: " in str(no.value)
    twice = "the same name"
    for _ in range(2):
        imported(client, 1, name=twice)
    with pytest.raises(FerryError, match="2 migrations are called 'the same name'"):
        client.find(twice)
    for name in ("../hosts", "a/b", "?", "#", "\n", "%2e", ".", "..", "x" * 600):
        with pytest.raises(FerryError):
            client.show(name)
    for person, status in (("late", 401), ("guest", 403)):
        with Client(stack.gateway.url(), token=token(person)) as other, pytest.raises(Refused) as no:
            other.request(request())
        assert no.value.status == status
    with Client(stack.gateway.url(), token="wrong") as nobody, pytest.raises(Refused, match="nobody has this token"):
        next(nobody.events())


def whole(sending: socket.socket) -> bytes:
    """A request or an answer, with its body; empty when there's none any more."""
    found = b""
    while b"\r\n\r\n" not in found:
        if not (part := sending.recv(1 << 20)):
            return b""
        found += part
    lines = found.lower().partition(b"\r\n\r\n")[0].split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)
    while len(found.partition(b"\r\n\r\n")[2]) < length:
        found += sending.recv(1 << 20)
    return found


@contextmanager
def proxy(stack: Stack, lost: list[bytes]) -> Iterator[str]:
    """Something between client and gateway, that loses the answer to the first request that begins with each of *lost*."""
    to = urlsplit(stack.gateway.url())

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=carry, args=(near,), daemon=True).start()

    def carry(near: socket.socket) -> None:
        with near, socket.create_connection((to.hostname, to.port)) as far:
            while asked := whole(near):
                far.sendall(asked)
                answer = whole(far)
                if one := next((one for one in lost if asked.startswith(one)), None):
                    lost.remove(one)
                    return
                near.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def test_a_request_whose_answer_is_lost_is_taken_once(stack: Stack, client: Client) -> None:
    lost = [b"POST /v1/migrations ", b"GET "]
    with proxy(stack, lost) as url, Client(url, token=token("root")) as far:
        id_ = far.request(request(name="lost answer"))["id"]
        assert far.show(id_)["name"] == "lost answer"
    assert lost == []
    assert [one["id"] for one in client.migrations() if one.get("name") == "lost answer"] == [id_]


def test_an_action_whose_answer_is_lost_is_not_told_again(stack: Stack, client: Client) -> None:
    id_ = client.request(request())["id"]
    lost = [b"POST "]
    with (
        proxy(stack, lost) as url, Client(url, token=token("root")) as far,
        pytest.raises(Unavailable, match="look before you tell it again"),
    ):  # fmt: skip
        far.act(id_, "cancel")
    assert client.wait(id_, 60)["phase"] == "cancelled"
    assert lost == []


def test_who_is_no_gateway_is_said(cloud: dict[str, Any]) -> None:
    with Client(cloud["auth"]["auth_url"], token="t") as other:
        with pytest.raises(Unavailable, match="as a gateway of Stackferry"):
            other.show(NOBODYS)
        with pytest.raises(Unavailable, match="not as a gateway of Stackferry"):
            other.request(request())
    with socket.create_server(("127.0.0.1", 0)) as full:
        port = full.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", token="t") as nowhere, pytest.raises(Unavailable, match="doesn't answer"):
        nowhere.hosts()


class Scripted(BaseHTTPRequestHandler):
    """A gateway that answers streams as its script says, one after another; then as the last one."""

    script: ClassVar[list[tuple[int, str, bytes]]] = []
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        type(self).asked.append(f"{self.path} {self.headers.get('Last-Event-ID')}")
        status, media, body = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


STREAM, PROBLEM = "text/event-stream; charset=utf-8", "application/problem+json"
EVENT = b"event: migration-changed\nid: 5\ndata: {}\n\n"


@contextmanager
def scripted(*script: tuple[int, str, bytes]) -> Iterator[Client]:
    Scripted.script, Scripted.asked = list(script), []
    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{server.server_address[1]}", token="t") as client:
            yield client
        server.shutdown()


def test_a_stream_that_is_refused_for_a_moment_is_opened_again() -> None:
    slow = json.dumps({"detail": "slow down", "status": 429}).encode()
    with scripted((200, STREAM, b"retry: 1\nid: 4\n\n"), (429, PROBLEM, slow), (503, PROBLEM, slow),
                  (200, STREAM, b"retry: 1\nid: 4\n\n" + EVENT)) as client:  # fmt: skip
        assert next(client.events()).number == 5
    assert Scripted.asked[1:] == ["/v1/events?progress=false 4"] * 3


def test_a_listener_that_began_before_anything_was_told_misses_nothing() -> None:
    with scripted((200, STREAM, b"retry: 1\n\n"), (200, STREAM, b"retry: 1\nid: 5\n\n" + EVENT)) as client:
        assert next(client.events()).number == 5
    assert Scripted.asked == ["/v1/events?progress=false None", "/v1/events?progress=false&after=-1 None"]


@pytest.mark.parametrize("answer", [(200, "text/html", b"<html>"), (200, STREAM, b""), (502, "text/html", b"")])
def test_what_is_no_stream_is_given_up(answer: tuple[int, str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "SILENCE", 1.0)
    with scripted(answer) as client, pytest.raises(Unavailable, match="can't be heard"):
        next(client.events())


def test_the_program_in_the_documentation_runs_as_it_stands(stack: Stack) -> None:
    page = (Path(__file__).parents[3] / "docs" / "http.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    env = {"PATH": os.environ["PATH"], "FERRY": stack.gateway.url(), "FERRY_TOKEN": token("root")}
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("stuck ")  # this cloud lets nobody in
    assert "409 a migration that is stuck can't be told to start" in ran.stdout


def test_a_listener_misses_nothing_while_its_gateway_is_killed(stack: Stack, client: Client) -> None:
    heard: list[Event] = []
    over = threading.Event()

    def hear() -> None:
        with Client(stack.gateway.url(), token=token("root")) as listener:
            for event in listener.events(after=-1):
                heard.append(event)
                if over.is_set() and event.type == "migration-changed":
                    return

    thread = threading.Thread(target=hear, daemon=True)
    thread.start()
    assert until(lambda: heard, 20)
    stack.process("gateway").stop(timeout=0)
    stack.up({"gateway": 1}, RATE)
    with caller(stack, "root") as http:
        assert until(lambda: answers(http), 30)
    imported(client)
    over.set()
    imported(client)
    thread.join(60)
    assert not thread.is_alive()
    numbers = [event.number for event in heard if event.number is not None]
    assert numbers == sorted(set(numbers))
    with caller(stack, "root") as http, http.stream("GET", "/v1/events?after=-1&progress=false") as everything:
        kept: list[int] = []
        for line in everything.iter_lines():
            kept += [int(line.removeprefix("id: "))] if line.startswith("id: ") and line[4:].isdecimal() else []
            if kept and kept[-1] >= numbers[-1]:
                break
    assert json.dumps(numbers) == json.dumps(sorted({one for one in kept if one <= numbers[-1]}))
