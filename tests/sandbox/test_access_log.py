"""The log of API requests: what the services write is what tests read."""

import importlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from stackferry_sandbox import accesslog
from stackferry_sandbox.layout import INSIDE, CloudPaths

BEGAN = 1_800_000_000.0


def line(**changes: Any) -> str:
    """A line of a log."""
    fields = {
        "time": BEGAN,
        "method": "GET",
        "path": "/v2.0/networks",
        "query": "",
        "user": "tenant",
        "project_id": "p",
        "service_user": None,
        "agent": "test",
        "global_request_id": None,
        "peer": "127.0.0.1:4711",
        "fault": None,
        "status": 200,
        "request_id": "req-1",
        "ms": 12.5,
    }
    return json.dumps(fields | changes) + "\n"


@pytest.fixture
def paths(tmp_path: Path) -> CloudPaths:
    found = CloudPaths(tmp_path)
    found.make()
    return found


def test_a_line_becomes_a_request() -> None:
    request = accesslog.parse("neutron", line())
    assert request.service == "neutron"
    assert request.time == datetime.fromtimestamp(BEGAN, UTC)
    assert (request.method, request.path, request.status, request.ms) == ("GET", "/v2.0/networks", 200, 12.5)


def test_requests_of_the_clouds_own_services_are_told_apart() -> None:
    assert not accesslog.parse("neutron", line()).internal
    assert accesslog.parse("neutron", line(user="service")).internal
    assert accesslog.parse("neutron", line(service_user="service")).internal


def test_requests_of_several_services_come_in_order_of_time(paths: CloudPaths) -> None:
    # The slow request began first and was logged last.
    paths.access_log("nova").write_text(line(time=BEGAN + 2) + line(time=BEGAN))
    paths.access_log("glance").write_text(line(time=BEGAN + 1))
    found = accesslog.read(paths, ("glance", "nova", "cinder"))
    assert [request.service for request in found] == ["nova", "glance", "nova"]


@pytest.mark.parametrize("since", [BEGAN + 1, datetime.fromtimestamp(BEGAN + 1, UTC)])
def test_what_came_before_is_left_out(paths: CloudPaths, since: datetime | float) -> None:
    paths.access_log("nova").write_text("".join(line(time=BEGAN + second) for second in range(3)))
    assert len(list(accesslog.read(paths, ("nova",), since))) == 2


def test_a_line_that_is_still_being_written_is_left_for_later(paths: CloudPaths) -> None:
    paths.access_log("nova").write_text(line() + line()[:20])
    assert len(list(accesslog.read(paths, ("nova",)))) == 1


def test_the_middleware_writes_what_the_reader_reads(paths: CloudPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(INSIDE)
    middleware = importlib.import_module("stackferry_inside.accesslog")

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["HTTP_X_USER_NAME"] = "Ольга"  # as the token middleware does
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/v2.0", "/changed-by-routing"
        start_response("201 Created", [("X-Openstack-Request-Id", "req-7")])
        return [b"body"]

    logged = middleware.Logged(application, paths.access_log("neutron"))
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/v2.0/networks/сеть".encode().decode("latin-1"),
        "QUERY_STRING": "a=b",
        "HTTP_USER_AGENT": "stackferry/1 (with spaces)",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "4711",
    }
    assert logged(environ, lambda *_: None) == [b"body"]
    (request,) = accesslog.read(paths, ("neutron",))
    assert request.path == "/v2.0/networks/сеть"
    assert request.query == "a=b"
    assert request.user == "Ольга"
    assert request.agent == "stackferry/1 (with spaces)"
    assert (request.method, request.status, request.request_id) == ("POST", 201, "req-7")
    assert request.peer == "127.0.0.1:4711"
