"""A gateway beside the real services and broker, and clouds that let nobody in."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import yaml
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from ...conftest import scratch
from .asking import PEOPLE, RATE, caller, token


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


@pytest.fixture(scope="package")
def cloud() -> Iterator[dict[str, Any]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Keystone) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v3"
        names = {"user_domain_name": "Default", "project_domain_name": "Default"}
        yield {"auth": {"auth_url": url, "username": "u", "password": "p", "project_name": "p", **names}}
        server.shutdown()


@pytest.fixture(scope="package")
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


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with caller(stack, "root") as found:
        yield found
