"""Being patient with clouds, and saying what went wrong with them."""

from __future__ import annotations

import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from keystoneauth1 import exceptions as ks
from openstack import exceptions as sdk
from stackferry.errors import EndedInError, Unfinished
from stackferry_runtime import clouds
from stackferry_runtime.clouds import (
    MAX_WAIT,
    CloudError,
    Clouds,
    CloudSilent,
    Gate,
    explained,
    failure,
    no_other_retries,
    refused,
)

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
    monkeypatch.setattr(clouds.time, "sleep", slept.append)
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


# -- what went wrong -----------------------------------------------------------------------------------------


def answer(status: int, text: str = "something about it") -> Exception:
    """What openstacksdk raises for an answer of Neutron."""
    response = requests.Response()
    response.status_code, response.url = status, "http://cloud/v2.0/networks"
    response.headers["content-type"] = "application/json"
    response._content = json.dumps({"NeutronError": {"message": text}}).encode()
    try:
        sdk.raise_from_response(response)
    except sdk.HttpException as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "outcome", "retryable"),
    [
        (answer(400), "failed", False),
        (answer(401), "failed", False),
        (answer(403), "failed", False),
        (answer(404), "failed", False),
        (answer(409), "conflict", False),
        (answer(409, "Quota exceeded for resources: ['network']."), "failed", False),
        (answer(412), "failed", False),
        (answer(413), "failed", False),
        (answer(429), "interrupted", True),
        (answer(500), "interrupted", True),
        (answer(502), "interrupted", True),
        (answer(503), "interrupted", True),
        (answer(504), "interrupted", True),
        (sdk.HttpException("no answer at all"), "interrupted", True),
        (ks.ConnectFailure("refused"), "interrupted", True),
        (ks.ConnectTimeout("too slow"), "interrupted", True),
        (ks.RetriableConnectionFailure("again"), "interrupted", True),
        (ks.Unauthorized("no"), "failed", False),
        (ks.Conflict("no"), "conflict", False),
        (ks.ServiceUnavailable("no"), "interrupted", True),
        (ks.InternalServerError("no"), "interrupted", True),
        (ks.EndpointNotFound("no"), "failed", False),
        (requests.ConnectionError("reset"), "interrupted", True),
        (requests.ReadTimeout("slow"), "interrupted", True),
        (TimeoutError("slow"), "interrupted", True),
        (ConnectionResetError("reset"), "interrupted", True),
        (CloudError("check clouds.yaml"), "failed", False),
        (CloudSilent("check the network"), "interrupted", True),
        (Unfinished("server 'a' is still being made"), "pending", True),
        (EndedInError("server 'a' ended in ERROR"), "failed", False),
        (KeyError("bug"), "failed", False),
        (ValueError(""), "failed", False),
        pytest.param(
            ks.UnknownConnectionError("broken in the middle", requests.exceptions.ChunkedEncodingError()),
            "interrupted", True,
        ),
        pytest.param(
            answer(408), "interrupted", True,
        ),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'status_code', '')}" if isinstance(value, Exception) else "",
)  # fmt: skip
def test_a_failure_is_told_from_a_doubt(error: Exception, outcome: str, retryable: bool) -> None:
    found, reason, again = failure(error)
    assert (found, again) == (outcome, retryable)
    assert reason.strip()
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (answer(400, "Invalid input for cidr."), "Invalid input for cidr."),
        (answer(403, "disallowed by policy"), "not allowed: "),
        (answer(409, "Quota exceeded for resources: ['network']."), "no quota left: "),
        (answer(500, "oops"), "the cloud failed: "),
        (ks.ConnectFailure("connection refused"), "the cloud did not answer: "),
        (ks.ConnectFailure("connection refused"), "connection refused"),
        (CloudError("check clouds.yaml"), "check clouds.yaml"),
        pytest.param(
            answer(403, "Quota exceeded, too many key pairs."), "no quota left: ",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_the_reason_says_what_the_cloud_said(error: Exception, words: str) -> None:
    assert words in failure(error)[1]


def test_a_reason_is_one_line_of_a_bearable_length() -> None:
    _, reason, _ = failure(ValueError("first\nsecond" + "x" * 10_000))
    assert reason == "first"
    assert len(failure(ValueError("x" * 10_000))[1]) <= 500


@settings(max_examples=60, deadline=None)
@given(st.integers(100, 599), st.text(max_size=40))
def test_every_status_has_an_outcome_that_the_contract_knows(status: int, text: str) -> None:
    error: Any = sdk.HttpException("m")
    error.status_code, error.details = status, text
    outcome, reason, retryable = failure(error)
    assert outcome in ("failed", "conflict", "interrupted")
    assert retryable == (outcome == "interrupted")
    assert reason


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ks.Unauthorized("no"), CloudError, "refuses the credentials"),
        (ks.BadRequest("expecting to find domain in user"), CloudError, "expecting to find domain in user"),
        (ks.NotFound("no such path"), CloudError, "no such path"),
        (ks.MissingRequiredOptions([]), CloudError, "clouds.yaml"),
        (sdk.ConfigException("Cloud typo was not found."), CloudError, "Cloud typo was not found."),
        (ks.SSLError("self-signed certificate"), CloudError, "self-signed certificate"),
        (ks.ConnectFailure("refused"), CloudSilent, "does not answer"),
        (ks.ConnectTimeout("slow"), CloudSilent, "does not answer"),
        (ks.UnknownConnectionError("reset", OSError()), CloudSilent, "does not answer"),
        (ks.DiscoveryFailure("nothing there"), CloudSilent, "does not answer"),
        (ks.BadGateway("keystone is down"), CloudSilent, "keystone is down"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_what_can_go_wrong_while_connecting_is_explained(error: Exception, kind: type, words: str) -> None:
    with pytest.raises(CloudError, match=words) as raised, explained({"cloud": "src"}):
        raise error
    assert type(raised.value) is kind
    assert "cloud 'src'" in str(raised.value)


def access(project: str | None = "p") -> Any:
    return SimpleNamespace(project_id=project, role_names=["member"])


class Connection:
    """What ``get_access`` of each of its sessions answers, in turn."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.session = self.auth = self

    def get_access(self, session: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Made(Clouds):
    """Clouds whose connections are made here."""

    def __init__(self, connect: Any) -> None:
        super().__init__(4, 60)
        self.connect = connect

    def _connected(self, place: Any, timeout: float, tries: int) -> Any:
        return self.connect(place)


def test_a_cloud_that_does_not_answer_holds_up_nobody_else() -> None:
    answers = threading.Event()

    def connect(place: Any) -> Any:
        if place["cloud"] == "silent":
            assert answers.wait(30)
        return Connection(access())

    clouds = Made(connect)
    with ThreadPoolExecutor(1) as pool:
        silent = pool.submit(clouds.view, {"cloud": "silent"}, "run")
        assert clouds.view({"cloud": "well"}, "run").cloud == "well"
        assert not silent.done()
        answers.set()
        assert silent.result(30).cloud == "silent"


def test_a_connection_whose_credentials_are_refused_by_now_is_made_anew() -> None:
    made = [Connection(access(), ks.Unauthorized("expired")), Connection(access("q"))]
    clouds = Made(lambda place: made.pop(0))
    assert clouds.view({"cloud": "c"}, "one").project_id == "p"
    assert clouds.view({"cloud": "c"}, "two").project_id == "q"


def test_credentials_without_a_project_are_named() -> None:
    with pytest.raises(CloudError, match="name no project"):
        Made(lambda place: Connection(access(None))).check({"cloud": "c"})


def test_a_write_that_has_waited_too_long_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def send(self: Any, request: Any, **_: Any) -> Any:
        sent.append(request.method)
        response = requests.Response()
        response.status_code = 200
        return response

    monkeypatch.setattr(clouds.TCPKeepAliveAdapter, "send", send)
    monkeypatch.setattr(clouds, "FRESH", -1.0)
    adapter = clouds.PatientAdapter(Gate(1))
    with pytest.raises(Unfinished, match="nothing was sent"):
        adapter.send(requests.Request("POST", "http://cloud").prepare())
    adapter.send(requests.Request("GET", "http://cloud").prepare())
    assert sent == ["GET"]


def test_only_the_adapter_repeats_requests() -> None:
    config = {"image_status_code_retries": 5, "compute_connect_retries": 3, "connect_retries": 2, "region_name": "r"}
    no_other_retries(config)
    assert config == {"image_status_code_retries": 0, "compute_connect_retries": 0, "connect_retries": 0,
                      "status_code_retries": 0, "region_name": "r"}  # fmt: skip
