"""A Keystone that is away, slow, or says nonsense; and people who come with what it can't know."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from stackferry_gateway import keystone
from stackferry_gateway.keystone import AT_ONCE, WAITING, People
from stackferry_gateway.people import Tokens
from stackferry_gateway.problems import Problem

pytestmark = pytest.mark.integration
GOOD = {"token": {"user": {"id": "u", "name": "ann", "domain": {"name": "Default"}}, "roles": [{"name": "member"}],
                  "project": {"name": "web", "domain": {"name": "Default"}}, "expires_at": "2099-01-01T00:00:00Z"}}  # fmt: skip
TOKEN = b"gAAAAA" + b"x" * 100


class Hostile(ThreadingHTTPServer):
    """Answers everything with what it was told to; counts."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, json.dumps(GOOD).encode(), {}
        self.asked: list[dict[str, str]] = []
        self.may_go = threading.Event()
        self.may_go.set()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Hostile

    def do_GET(self) -> None:
        self.server.asked.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
        self.server.may_go.wait(30)
        self.send_response(self.server.status)
        for name, value in {"Content-Length": str(len(self.server.body)), **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Hostile]:
    with Hostile() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.may_go.set()
        found.shutdown()


@pytest.fixture
def people(server: Hostile, tmp_path: Path) -> Callable[[], People]:
    tokens, file = tmp_path / "tokens.yaml", tmp_path / "keystone.yaml"
    own = {"name": "own", "role": "admin", "sha256": hashlib.sha256(b"own").hexdigest()}
    tokens.write_text(yaml.safe_dump({"tokens": [own]}))
    rule = {"keystone_role": "member", "role": "operator"}
    url = f"http://127.0.0.1:{server.server_address[1]}/v3"
    file.write_text(yaml.safe_dump({"auth_url": url, "people": [rule]}))
    return lambda: People(Tokens(str(tokens)), str(file))


async def problem(known: People, token: bytes = TOKEN) -> Problem:
    with pytest.raises(Problem) as found:
        await known.of(token)
    return found.value


def test_keystone_is_asked_once_in_a_while(server: Hostile, people: Callable[[], People]) -> None:
    async def several() -> None:
        known = people()
        for _ in range(3):
            assert (await known.of(TOKEN)).client.role == "operator"
        assert len(server.asked) == 1
        await asyncio.gather(*(known.of(TOKEN[:-1] + b"y") for _ in range(20)))
        assert len(server.asked) <= 1 + AT_ONCE

    asyncio.run(several())
    (asked, *_) = server.asked
    assert asked["path"].startswith("/v3/auth/tokens")
    assert asked["x-auth-token"] == asked["x-subject-token"] == TOKEN.decode()


@pytest.mark.parametrize(("status", "body", "headers", "found"), [
    (404, b"{}", {}, 401),
    (401, b"<html>", {}, 401),
    (500, b"", {}, 503),
    (429, b"", {}, 503),
    (200, b"<html>", {}, 503),
    (200, b"[]", {}, 503),
    (200, b'{"token": []}', {}, 503),
    (200, b'{"token": null}', {}, 503),
    (200, b'{"token": {}}', {}, 403),
    (302, b"", {"Location": "http://127.0.0.1:1/"}, 503),
    (200, b"{", {"Content-Length": "9"}, 503),
    (200, json.dumps(GOOD).encode(), {"Content-Encoding": "gzip"}, 503),
])  # fmt: skip
def test_what_keystone_says_instead(
    server: Hostile, people: Callable[[], People], status: int, body: bytes, headers: dict[str, str], found: int
) -> None:
    server.status, server.body, server.headers = status, body, headers
    known = people()
    assert asyncio.run(problem(known)).status == found
    assert asyncio.run(known.of(b"own")).name == "own"
    server.status, server.body, server.headers = 200, json.dumps(GOOD).encode(), {}
    assert asyncio.run(people().of(TOKEN)).client.role == "operator"


def test_keystone_is_away(server: Hostile, people: Callable[[], People]) -> None:
    known = people()
    server.shutdown()
    server.server_close()
    assert asyncio.run(problem(known)).status == 503


def test_a_slow_keystone_holds_up_nobody_whom_it_need_not_be_asked_about(
    server: Hostile, people: Callable[[], People], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystone, "TAKES", 1.0)

    async def crowd() -> None:
        known = people()
        assert (await known.of(TOKEN)).client.role == "operator"
        server.may_go.clear()
        strangers = [asyncio.create_task(problem(known, TOKEN + b"%d" % n)) for n in range(WAITING + 10)]
        while len(server.asked) < 1 + AT_ONCE:
            await asyncio.sleep(0.01)
        assert (await known.of(TOKEN)).client.role == "operator"
        assert (await known.of(b"own")).name == "own"
        assert len(server.asked) == 1 + AT_ONCE
        late = await problem(known, TOKEN + b"late")
        assert (late.status, "too many tokens" in late.detail) == (503, True)
        for one in strangers:
            one.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)
        server.may_go.set()
        assert (await known.of(TOKEN + b"late")).client.role == "operator", "those who left hold nobody up"

    asyncio.run(crowd())


@pytest.mark.parametrize("token", [b"", b"short", b"x" * 5000, b"x" * 40 + b"\r\nX-A: b", b"\xff" * 40, b"a b" * 20])
def test_what_can_be_no_token_of_keystones_is_not_asked_about(
    server: Hostile, people: Callable[[], People], token: bytes
) -> None:
    assert asyncio.run(problem(people(), token)).status == 401
    assert server.asked == []


def test_an_answer_is_good_until_the_token_is_over_or_the_file_says_otherwise(
    server: Hostile, people: Callable[[], People], tmp_path: Path
) -> None:
    known = people()
    assert asyncio.run(known.of(TOKEN)).client.role == "operator"
    file = tmp_path / "keystone.yaml"
    file.write_text(file.read_text().replace("role: operator", "role: viewer"))
    assert asyncio.run(known.of(TOKEN)).client.role == "viewer", "the file was read again"
    over = {"token": {**GOOD["token"], "expires_at": "2020-01-01T00:00:00Z"}}
    server.body = json.dumps(over).encode()
    assert "has expired" in asyncio.run(problem(people())).detail
