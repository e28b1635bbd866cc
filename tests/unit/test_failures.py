"""Saying what went wrong with a cloud."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from keystoneauth1 import exceptions as ks
from keystoneauth1 import session as ks_session
from keystoneauth1.identity import v3
from openstack import exceptions as sdk
from stackferry.errors import EndedInError, NotDone, Unfinished
from stackferry_clouds.failures import CloudError, CloudSilent, answered, explained, failure
from stackferry_runtime.certificates import identity


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
        (NotDone("volume v could not be attached"), "failed", True),
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


@pytest.mark.parametrize(
    ("status", "told"),
    [(500, True), (400, True), (501, True), (502, False), (503, False), (504, False), (429, False), (None, False)],
)
def test_a_cloud_that_fails_at_a_request_is_told_from_one_that_is_out(status: int | None, told: bool) -> None:
    error = Exception("no")
    error.status_code = status  # type: ignore[attr-defined]
    assert answered(error) is told


@pytest.mark.parametrize(("url", "why"), [
    ("http://127.0.0.1:9/v3", "Unable to establish connection to http://127.0.0.1:9/v3/auth/tokens: Connection refused"),
    ("https://127.0.0.1:9/v3", "Unable to establish connection to https://127.0.0.1:9/v3/auth/tokens: Connection refused"),
    ("http://nowhere.invalid:5/v3", "http://nowhere.invalid:5/v3/auth/tokens: "),
])  # fmt: skip
def test_who_does_not_answer_is_said_without_the_inside_of_libraries(url: str, why: str) -> None:
    auth = v3.Password(
        url, username="u", password="canary", project_name="p", user_domain_name="d", project_domain_name="d"
    )
    with pytest.raises(CloudSilent) as found, explained({"cloud": "src"}):
        ks_session.Session(auth).get_token()
    said = str(found.value)
    assert said.startswith("cloud 'src' does not answer: ")
    assert why in said
    for inside in ("Pool", "Connection(", "Errno", "retries", "canary"):
        assert inside not in said


@pytest.mark.parametrize(("lingers", "why"), [
    (None, "Remote end closed connection without response"), (struct.pack("ii", 1, 0), "Connection reset by peer"),
])  # fmt: skip
def test_an_answer_that_ends_too_soon_is_said_without_the_inside_of_libraries(lingers: bytes | None, why: str) -> None:
    def end(server: socket.socket) -> None:
        peer, _ = server.accept()
        peer.recv(1 << 16)
        if lingers:  # a reset in place of an end
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingers)
        peer.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=end, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(ks.ConnectFailure) as found:
            ks_session.Session().get(url)
    _, reason, again = failure(found.value)
    assert again
    assert reason == f"the cloud did not answer: Unable to establish connection to {url}: {why}"


@pytest.mark.parametrize(("is_tls", "why"), [(True, "self-signed certificate"), (False, "wrong version number")])
def test_what_is_wrong_with_tls_is_said(tmp_path: Path, is_tls: bool, why: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity(tmp_path, "cloud", "127.0.0.1").path)

    def serve(server: socket.socket) -> None:
        peer, _ = server.accept()
        with peer, suppress(OSError):
            if is_tls:
                context.wrap_socket(peer, server_side=True)
            else:
                peer.recv(1 << 16)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        with pytest.raises(CloudError, match=why), explained({"cloud": "src"}):
            ks_session.Session().get(f"https://127.0.0.1:{server.getsockname()[1]}/")
