"""A Keystone that is away, slow, or says nonsense; and people who come with what it can't know."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack
from stackferry_gateway import callers
from stackferry_gateway.callers import AT_ONCE, WAITING, Callers
from stackferry_gateway.people import Tokens
from stackferry_gateway.problems import Problem

from ...gateways import gateway

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
        with suppress(OSError):  # who asked has left
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
def people(server: Hostile, tmp_path: Path) -> Callable[[], Callers]:
    tokens, file = tmp_path / "tokens.yaml", tmp_path / "keystone.yaml"
    own = {"name": "own", "role": "admin", "sha256": hashlib.sha256(b"own").hexdigest()}
    tokens.write_text(yaml.safe_dump({"tokens": [own]}))
    rule = {"keystone_role": "member", "role": "operator"}
    url = f"http://127.0.0.1:{server.server_address[1]}/v3"
    file.write_text(yaml.safe_dump({"auth_url": url, "people": [rule]}))
    return lambda: Callers(Tokens(str(tokens)), str(file))


async def problem(known: Callers, token: bytes = TOKEN, address: str = "") -> Problem:
    with pytest.raises(Problem) as found:
        await known.of(token, address)
    return found.value


def test_keystone_is_asked_once_in_a_while(server: Hostile, people: Callable[[], Callers]) -> None:
    async def several() -> None:
        known = people()
        for _ in range(3):
            assert (await known.of(TOKEN)).client.role == "operator"
        assert len(server.asked) == 1
        await asyncio.gather(*(known.of(TOKEN[:-1] + b"y") for _ in range(20)))
        assert len(server.asked) == 2

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
    (200, b'{"token": {}}', {}, 503),
    (200, b'{"token": ' + b"[" * 100_000, {}, 503),
    (200, json.dumps({"token": {**GOOD["token"], "roles": [None], "project": "x"}}).encode(), {}, 503),
    (200, json.dumps({"token": {**GOOD["token"], "roles": []}}).encode(), {}, 403),
    (302, b"", {"Location": "http://127.0.0.1:1/"}, 503),
    (200, b"{", {"Content-Length": "9"}, 503),
    (200, json.dumps(GOOD).encode(), {"Content-Encoding": "gzip"}, 503),
])  # fmt: skip
def test_what_keystone_says_instead(
    server: Hostile, people: Callable[[], Callers], status: int, body: bytes, headers: dict[str, str], found: int
) -> None:
    server.status, server.body, server.headers = status, body, headers
    known = people()
    assert asyncio.run(problem(known)).status == found
    assert asyncio.run(known.of(b"own")).name == "own"
    server.status, server.body, server.headers = 200, json.dumps(GOOD).encode(), {}
    assert asyncio.run(people().of(TOKEN)).client.role == "operator"


def test_keystone_is_away(server: Hostile, people: Callable[[], Callers]) -> None:
    known = people()
    server.shutdown()
    server.server_close()
    assert asyncio.run(problem(known)).status == 503


def test_a_slow_keystone_holds_up_nobody_whom_it_need_not_be_asked_about(
    server: Hostile, people: Callable[[], Callers]
) -> None:
    async def crowd() -> None:
        known = people()
        assert (await known.of(TOKEN)).client.role == "operator"
        server.may_go.clear()
        strangers = [asyncio.create_task(problem(known, TOKEN + b"%d" % n, f"a{n}")) for n in range(WAITING + 10)]
        while len(server.asked) < 1 + AT_ONCE:
            await asyncio.sleep(0.01)
        assert (await known.of(TOKEN)).client.role == "operator"
        assert (await known.of(b"own")).name == "own"
        assert len(server.asked) == 1 + AT_ONCE
        late = await problem(known, TOKEN + b"late")
        assert (late.status, "many tokens are new" in late.detail) == (503, True)
        for one in strangers:
            one.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)
        server.may_go.set()
        while known._waiting:
            await asyncio.sleep(0.01)
        assert (await known.of(TOKEN + b"late")).client.role == "operator", "those who left hold nobody up"

    asyncio.run(crowd())


def test_strangers_do_not_lock_out_who_is_known(
    server: Hostile, people: Callable[[], Callers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "KEEPS", 0.0)  # it's always time to ask again
    monkeypatch.setattr(callers, "PATIENCE", 0.2)

    async def flood() -> None:
        known = people()
        assert (await known.of(TOKEN)).client.role == "operator"
        server.may_go.clear()
        strangers = [asyncio.create_task(problem(known, TOKEN + b"%d" % n, f"a{n}")) for n in range(WAITING)]
        while len(server.asked) < 1 + AT_ONCE:
            await asyncio.sleep(0.01)
        for _ in range(5):
            assert (await known.of(TOKEN)).client.role == "operator", "Keystone hangs: what it said before counts"
        assert len(server.asked) == 2 + AT_ONCE, "and is asked in turns of its own, once at a time"
        server.may_go.set()
        await asyncio.gather(*strangers, return_exceptions=True)
        server.status = 404
        while known._asking:  # what was asked while it hung
            await asyncio.sleep(0.01)
        assert (await problem(known)).status == 401, "but what it says now counts more"

    asyncio.run(flood())


def test_what_was_said_counts_ten_minutes_while_keystone_is_away(
    server: Hostile, people: Callable[[], Callers], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        known = people()
        assert (await known.of(TOKEN)).client.role == "operator"
        server.status = 500
        monkeypatch.setattr(callers, "KEEPS", 0.0)
        assert (await known.of(TOKEN)).client.role == "operator"
        monkeypatch.setattr(callers, "GRACE", 0.0)
        assert (await problem(known)).status == 503

    asyncio.run(away())


def test_who_comes_with_many_wrong_tokens_is_slowed_down_alone(server: Hostile, people: Callable[[], Callers]) -> None:
    server.status = 404

    async def guess() -> None:
        known = people()
        found = [(await problem(known, TOKEN + b"%d" % n, "192.0.2.1")).status for n in range(60)]
        assert found[:40] == [401] * 40
        assert 429 in found[40:]
        assert (await problem(known, TOKEN + b"0", "192.0.2.1")).status == 401, "that was said already"
        assert len(server.asked) < 60
        server.status = 200
        assert (await known.of(TOKEN, "192.0.2.2")).client.role == "operator"

    asyncio.run(guess())


def test_one_token_is_asked_about_once_however_many_come_with_it(
    server: Hostile, people: Callable[[], Callers]
) -> None:
    async def together() -> None:
        known = people()
        server.may_go.clear()
        all_ = [asyncio.create_task(known.of(TOKEN)) for _ in range(150)]
        while not server.asked:
            await asyncio.sleep(0.01)
        all_[0].cancel()  # it isn't lost for the others
        server.may_go.set()
        found = await asyncio.gather(*all_, return_exceptions=True)
        assert {one.client.role for one in found[1:]} == {"operator"}  # type: ignore[union-attr]
        assert len(server.asked) == 1

    asyncio.run(together())


def test_the_gateways_own_tokens_are_shown_to_nobody(
    server: Hostile, tmp_path: Path, people: Callable[[], Callers]
) -> None:
    expired, gone = secrets.token_urlsafe(32).encode(), secrets.token_urlsafe(32).encode()
    own = [{"name": "late", "role": "admin", "expires": "2020-01-01T00:00:00Z",
            "sha256": hashlib.sha256(TOKEN).hexdigest()}]  # fmt: skip
    people()
    (tmp_path / "tokens.yaml").write_text(yaml.safe_dump({"tokens": own}))
    known = Callers(Tokens(str(tmp_path / "tokens.yaml")), str(tmp_path / "keystone.yaml"))
    assert "has expired" in asyncio.run(problem(known, TOKEN)).detail
    assert asyncio.run(problem(known, gone)).status == asyncio.run(problem(known, expired)).status == 401
    assert server.asked == []


@pytest.mark.parametrize("token", [b"", b"short", b"x" * 5000, b"x" * 40 + b"\r\nX-A: b", b"\xff" * 40, b"a b" * 20])
def test_what_can_be_no_token_of_keystones_is_not_asked_about(
    server: Hostile, people: Callable[[], Callers], token: bytes
) -> None:
    assert asyncio.run(problem(people(), token)).status == 401
    assert server.asked == []


def test_an_answer_is_good_until_the_token_is_over_or_the_file_says_otherwise(
    server: Hostile, people: Callable[[], Callers], tmp_path: Path
) -> None:
    known = people()
    assert asyncio.run(known.of(TOKEN)).client.role == "operator"
    file = tmp_path / "keystone.yaml"
    file.write_text(file.read_text().replace("role: operator", "role: viewer"))
    assert asyncio.run(known.of(TOKEN)).client.role == "viewer", "the file was read again"
    over = {"token": {**GOOD["token"], "expires_at": "2020-01-01T00:00:00Z"}}
    server.body = json.dumps(over).encode()
    assert "has expired" in asyncio.run(problem(people())).detail


def test_behind_a_proxy_each_caller_counts_by_itself(
    server: Hostile, people: Callable[[], Callers], stack: Stack, tmp_path: Path
) -> None:
    people()  # which writes the files
    files = {"TOKENS": str(tmp_path / "tokens.yaml"), "KEYSTONE": str(tmp_path / "keystone.yaml")}
    server.status = 404
    with (
        gateway(stack, tmp_path, PROXIES="127.0.0.1", **files) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as http, ThreadPoolExecutor(160) as crowd,
    ):  # fmt: skip

        def ask(number: int, address: str) -> int:
            headers = {"X-Auth-Token": f"gAAAAA{'x' * 40}{number}", "X-Forwarded-For": address}
            return http.get("/v1/hosts", headers=headers).status_code

        server.may_go.clear()  # all of them are there before one is answered
        first = [crowd.submit(ask, number, "192.0.2.1") for number in range(120)]
        assert until(lambda: any(one.done() and one.result() == 429 for one in first), 30)
        others = [crowd.submit(ask, 1000 + number, "192.0.2.2") for number in range(20)]
        server.may_go.set()
        assert {one.result() for one in others} == {401}


@pytest.mark.parametrize(("one", "other", "same"), [
    ("192.0.2.1", "192.0.2.2", False), ("2001:db8::1", "2001:db8::ffff:1", True), ("2001:db8::1", "2001:db8:0:1::1", False),
    ("", "", True), ("unix", "unix", True),
])  # fmt: skip
def test_a_network_of_ipv6_is_one_caller(one: str, other: str, same: bool) -> None:
    assert (callers._network(one) == callers._network(other)) is same
