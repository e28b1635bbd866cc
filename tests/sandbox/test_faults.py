"""Fault rules: what is accepted, how they get to a service, what they do there."""

import importlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stackferry_sandbox import faults
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.faults import Action, Rule
from stackferry_sandbox.layout import INSIDE


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that runs inside the services."""
    monkeypatch.syspath_prepend(INSIDE)
    return importlib.import_module("stackferry_inside.faults")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "neutron.json"


BUSY = {"path": "/networks", "method": "POST", "action": {"status": 503, "retry_after": 2}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "(", "action": {"status": 500}},
        {"path": "x", "action": {}},
        {"path": "x", "action": {"drop": "sometimes"}},
        {"path": "x", "action": {"drop": "after", "status": 500}},
        {"path": "x", "action": {"delay": 1, "retry_after": 2}},
        {"path": "x", "action": {"drop": "before", "performed": True}},
        {"path": "x", "action": {"status": 500}, "typo": 1},
        {"action": {"status": 500}},
    ],
)
def test_wrong_rules_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SandboxError):
        Rule.of(wrong)


def test_a_rule_has_a_json_form_without_what_is_not_said() -> None:
    rule = Rule.of(BUSY)
    assert rule.as_json() == {"id": rule.id, **BUSY}
    assert Rule.of(rule.as_json()) == rule
    assert Rule.of(rule) is rule


def test_rules_are_there_within_the_context_only(file: Path) -> None:
    with faults.active(file, [BUSY]) as (rule,):
        with faults.active(file, [Rule("/ports", Action(drop="after"))]):
            assert [each["path"] for each in json.loads(file.read_text())] == ["/networks", "/ports"]
        assert [each["id"] for each in json.loads(file.read_text())] == [rule.id]
    assert json.loads(file.read_text()) == []


def test_rules_go_when_the_test_fails(file: Path) -> None:
    with pytest.raises(ZeroDivisionError), faults.active(file, [BUSY]):
        _ = 1 / 0
    assert json.loads(file.read_text()) == []


def test_tests_that_run_at_once_keep_each_others_rules(file: Path) -> None:
    def one() -> None:
        for _ in range(20):
            with faults.active(file, [BUSY]) as (rule,):
                assert rule.id in file.read_text()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads(file.read_text()) == []


def test_the_first_rule_that_matches_and_is_not_used_up_acts(file: Path, inside: Any) -> None:
    rules = inside.RuleFile(file)
    with faults.active(file, [BUSY | {"id": "a", "times": 1}, BUSY | {"id": "b"}]):
        found = [rules.claim("POST", "/v2.0/networks", "tenant", named=False) for _ in range(3)]
        assert [rule["id"] for rule in found] == ["a", "b", "b"]
        assert rules.claim("GET", "/v2.0/networks", "tenant", named=False) is None
        assert rules.claim("POST", "/v2.0/ports", "tenant", named=False) is None
    assert rules.claim("POST", "/v2.0/networks", "tenant", named=False) is None


def test_rules_that_name_a_user_belong_to_the_gate_that_knows_him(file: Path, inside: Any) -> None:
    rules = inside.RuleFile(file)
    with faults.active(file, [BUSY | {"user": "tenant"}]):
        assert rules.claim("POST", "/networks", "tenant", named=False) is None
        assert rules.claim("POST", "/networks", "admin", named=True) is None
        assert rules.claim("POST", "/networks", "tenant", named=True) is not None


class Client:
    """Calls an application as a server would."""

    def __init__(self, inside: Any, file: Path) -> None:
        self.performed = 0
        self.near, self.far = socket.socketpair()
        self.inside = inside
        self.gate = inside.Gate(self.application, inside.RuleFile(file), named=False)

    def application(self, _environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.performed += 1
        start_response("200 OK", [])
        return [b"done"]

    def request(self) -> tuple[str, dict[str, str], bytes, dict[str, Any]]:
        """Status line, headers, body, environ."""
        said: list[Any] = []
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/networks", self.inside.CONNECTION: self.near}
        body = b"".join(self.gate(environ, lambda status, headers: said.extend((status, dict(headers)))))
        return said[0], said[1], body, environ


@pytest.fixture
def client(inside: Any, file: Path) -> Iterator[Client]:
    found = Client(inside, file)
    with found.near, found.far:
        yield found


def test_without_a_rule_nothing_happens(client: Client) -> None:
    assert client.request()[:3] == ("200 OK", {}, b"done")


def test_a_status_is_answered_and_nothing_is_performed(client: Client, file: Path) -> None:
    with faults.active(file, [Rule("/networks", Action(status=503, retry_after=2, body={"a": 1}), id="x")]):
        status, headers, body, environ = client.request()
    assert status == "503 Service Unavailable"
    assert headers["Retry-After"] == "2"
    assert headers["Content-Type"] == "application/json"
    assert body == b'{"a": 1}'
    assert client.performed == 0
    assert environ[client.inside.FAULT] == "x"


def test_a_request_may_be_performed_and_refused_all_the_same(client: Client, file: Path) -> None:
    with faults.active(file, [Rule("/networks", Action(status=403, performed=True))]):
        status, *_ = client.request()
    assert (status, client.performed) == ("403 Forbidden", 1)


@pytest.mark.parametrize(("when", "performed"), [("before", 0), ("after", 1)])
def test_a_dropped_connection_ends_without_an_answer(client: Client, file: Path, when: str, performed: int) -> None:
    with faults.active(file, [Rule("/networks", Action(drop=when))]):
        *_, environ = client.request()
    assert client.performed == performed
    assert client.far.recv(1) == b""
    assert environ[client.inside.DROPPED]


def test_a_delay_comes_before_the_work(client: Client, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(client.inside.time, "sleep", slept.append)
    with faults.active(file, [Rule("/networks", Action(delay=1.5))]):
        assert client.request()[2] == b"done"
    assert slept == [1.5]
