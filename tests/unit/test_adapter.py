"""Being patient with clouds: how many requests at once, how long to wait, what is repeated."""

from __future__ import annotations

import io
import math
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from keystoneauth1.session import Session
from stackferry.errors import Error, Unfinished
from stackferry_clouds import adapter
from stackferry_clouds.adapter import MAX_WAIT, Endless, Gate, PatientAdapter, refused
from stackferry_clouds.failures import failure
from urllib3 import HTTPResponse

# -- the gate ------------------------------------------------------------------------------------------------


def test_an_overload_halves_the_gate_down_to_one() -> None:
    gate, limits = Gate(8), []
    for _ in range(5):
        gate.overloaded(0)
        limits.append(gate.limit)
    assert limits == [4, 2, 1, 1, 1]


def test_successes_widen_the_gate_little_by_little_and_no_further_than_before() -> None:
    gate = Gate(4)
    gate.overloaded(0)
    gate.went_well()
    assert 2 < gate.limit < 2.5
    for _ in range(100):
        gate.went_well()
    assert gate.limit == 4


def most_at_once(gate: Gate, callers: int = 8) -> int:
    inside, most, lock = 0, 0, threading.Lock()

    def call() -> None:
        nonlocal inside, most
        with gate.slot():
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert gate.busy == 0
    return most


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_than_the_limit_are_inside_at_once(most: int) -> None:
    assert most_at_once(Gate(most)) == most


def test_fewer_are_inside_after_an_overload() -> None:
    gate = Gate(4)
    gate.overloaded(0)
    assert most_at_once(gate) == 2


def test_nobody_calls_before_the_cloud_wants_to_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(adapter.time, "sleep", slept.append)
    gate = Gate(2)
    gate.overloaded(30)
    gate.overloaded(5)  # a shorter wait doesn't cut the longer one short
    with gate.slot():
        pass
    assert 29 < slept[0] <= 30


def test_a_call_that_fails_leaves_its_slot() -> None:
    gate = Gate(1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), gate.slot():
            raise ZeroDivisionError
    assert gate.busy == 0


# -- Retry-After ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "header", "wait"),
    [
        (429, "7", 7),
        (429, "0", 0),
        (429, "0.5", 0.5),
        (429, None, 1),
        (429, "soon", 1),
        (429, "-3", 0),
        (429, "100000", MAX_WAIT),
        (429, "inf", MAX_WAIT),
        (503, "7", 7),
        (503, None, None),  # it may have done it
        (503, "", None),
        (500, "7", None),
        (200, "7", None),
        (409, None, None),
        (413, "7", None),
    ],
)
def test_a_refusal_says_how_long_to_wait(status: int, header: str | None, wait: float | None) -> None:
    assert refused(status, header) == wait


def test_a_refusal_may_give_a_date() -> None:
    wait = refused(503, formatdate(time.time() + 20, usegmt=True))
    assert wait is not None
    assert 18 < wait <= 20
    assert refused(503, formatdate(time.time() - 20, usegmt=True)) == 0
    assert refused(429, formatdate(time.time() + 10**6, usegmt=True)) == MAX_WAIT


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20).filter(lambda text: "nan" not in text.lower()) | st.floats(allow_nan=False).map(str))
def test_any_header_gives_a_wait_that_can_be_waited(header: str) -> None:
    wait = refused(429, header)
    assert wait is not None
    assert 0 <= wait <= MAX_WAIT


def test_a_header_that_is_not_a_number_at_all_gives_a_wait() -> None:
    wait = refused(429, "nan")
    assert wait is not None
    assert not math.isnan(wait)


def test_a_write_that_has_waited_too_long_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def send(self: Any, request: Any, **_: Any) -> Any:
        sent.append(request.method)
        response = requests.Response()
        response.status_code, response.raw = 200, HTTPResponse(io.BytesIO(b"{}"), preload_content=False)
        return response

    monkeypatch.setattr(adapter.TCPKeepAliveAdapter, "send", send)
    monkeypatch.setattr(adapter, "FRESH", -1.0)
    patient = PatientAdapter(Gate(1))
    with pytest.raises(Unfinished, match="nothing was sent"):
        patient.send(requests.Request("POST", "http://cloud").prepare())
    patient.send(requests.Request("GET", "http://cloud").prepare())
    assert sent == ["GET"]


# -- answers -------------------------------------------------------------------------------------------------


class Cloud(BaseHTTPRequestHandler):
    """A cloud with bad manners, by path."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.seen.append(f"{self.headers['Host'].partition(':')[0]}{self.path} {self.headers.get('X-Auth-Token')}")
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/plain")
            self.end_headers()
            return
        if self.path == "/here":
            self.send_response(302)
            self.send_header("Location", f"http://{self.headers['Host']}/plain")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):  # the client may have had enough
            if self.path == "/endless":
                while True:
                    self.wfile.write(bytes(1 << 20))
            while self.path == "/slow":
                self.wfile.write(b"x")
                time.sleep(0.05)
            self.wfile.write(b"plain")

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def cloud() -> Iterator[tuple[str, Session]]:
    """Its URL, and a session with a token."""
    Cloud.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Cloud) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        plain = requests.Session()
        plain.mount("http://", PatientAdapter(Gate(2)))
        yield f"http://127.0.0.1:{server.server_address[1]}", Session(session=plain)
        plain.close()
        server.shutdown()


TOKEN = {"X-Auth-Token": "canary"}


def test_a_token_is_not_carried_to_another_host(cloud: tuple[str, Session]) -> None:
    url, session = cloud
    with pytest.raises(Error, match="127.0.0.1 leads to another host, localhost: nothing is sent there"):
        session.get(f"{url}/elsewhere", headers=TOKEN)
    assert Cloud.seen == ["127.0.0.1/elsewhere canary"]
    assert session.get(f"{url}/here", headers=TOKEN).text == "plain"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_without_end_is_given_up_and_asked_for_once(
    cloud: tuple[str, Session], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, session = cloud
    monkeypatch.setattr(adapter, "LONGEST", 4 << 20)
    with pytest.raises(Endless, match="its answer to /endless is longer than 4 MiB"):
        session.request(f"{url}/endless", method)
    assert len(Cloud.seen) == 1
    assert failure(Endless("x")) == ("interrupted", "the cloud did not answer: x", True)  # a write may have been done


def test_an_answer_that_drips_is_given_up(cloud: tuple[str, Session], monkeypatch: pytest.MonkeyPatch) -> None:
    url, session = cloud
    monkeypatch.setattr(adapter, "SLOWEST", 0.3)
    with pytest.raises(Endless, match="its answer to /slow is not over after"):
        session.get(f"{url}/slow", connect_retries=0)


def test_a_payload_may_be_as_long_as_it_is(cloud: tuple[str, Session], monkeypatch: pytest.MonkeyPatch) -> None:
    url, session = cloud
    monkeypatch.setattr(adapter, "LONGEST", 1)
    with session.get(f"{url}/plain", stream=True) as response:
        assert response.raw.read() == b"plain"
    assert session.get(f"{url}/here", stream=True).status_code == 200
