"""Answers that never end, whatever they consist of, are ended: over TLS too, and where eventlet has its hand in it."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from stackferry_runtime.certificates import identity

pytestmark = pytest.mark.thorough

PACKED = zlib.compressobj(wbits=31)


class Cloud(BaseHTTPRequestHandler):
    """Answers that drip without end: the status, a header, the body, or a body that unpacks to nothing."""

    def do_GET(self) -> None:
        begin, drop = {
            "/status": (b"HTTP/1.1 2", b"0"),
            "/header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
            "/body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
            "/nothing": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + PACKED.copy().flush(zlib.Z_SYNC_FLUSH),
                         b"\x00\x00\x00\xff\xff"),
            "/plain": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain", b""),
        }[self.path]  # fmt: skip
        self.wfile.write(begin)
        with suppress(OSError):  # the client has had enough
            while drop:
                self.wfile.write(drop)
                time.sleep(0.02)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module", params=["http", "https"])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its URL, and the authority that its certificate is to be checked with."""
    own = identity(tmp_path_factory.mktemp("cloud"), "cloud", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Cloud) as server:
        server.daemon_threads = True
        if request.param == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(own.path)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{request.param}://127.0.0.1:{server.server_address[1]}", own.path
        server.shutdown()


ASK = """
import sys
if sys.argv[1] == "eventlet":
    import eventlet
    eventlet.monkey_patch()
import requests
from stackferry_clouds import adapter
adapter.SLOWEST = float(sys.argv[4])
session = requests.Session()
session.mount(sys.argv[2], adapter.PatientAdapter(adapter.Gate(2)))
for _ in range(3):  # over one connection
    assert session.get(f"{sys.argv[2]}/plain", verify=sys.argv[3], timeout=60).text == "plain"
for path in sys.argv[5:]:
    try:
        session.get(f"{sys.argv[2]}{path}", verify=sys.argv[3], timeout=60)
    except adapter.Endless as error:
        print(error)
"""


@pytest.mark.parametrize("way", ["threads", "eventlet"])
def test_what_drips_without_end_is_given_up(cloud: tuple[str, Path], way: str) -> None:
    url, trusted = cloud
    paths = ("/status", "/header", "/body", "/nothing")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK, way, url, str(trusted), "0.5", *paths],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "NO_PROXY": "*"},
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"its answer to {path} is not over after 0 seconds" for path in paths], done
