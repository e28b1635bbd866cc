"""What a process counts, and what it tells whoever watches it: ``/livez``, ``/readyz``, ``/metrics``.

Source: Prometheus' text format 0.0.4; the probes are those of Kubernetes.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from stackferry.errors import Error

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE = 10.0  # seconds for a request to arrive
REGISTRY = CollectorRegistry()
MESSAGES = Counter("stackferry_messages", "messages by how they were settled: done, again, later or parked",
                   ("queue", "outcome"), registry=REGISTRY)  # fmt: skip
SECONDS = Histogram("stackferry_message_seconds", "seconds that a message was worked on", ("type",), registry=REGISTRY)
CALLS = Counter("stackferry_cloud_calls", "answers of clouds by status; 0: none came", ("host", "method", "status"),
                registry=REGISTRY)  # fmt: skip
CALL_SECONDS = Histogram("stackferry_cloud_call_seconds", "seconds until a cloud's answer", ("host", "method"),
                         registry=REGISTRY)  # fmt: skip


class Six(ThreadingHTTPServer):
    """The same over IPv6."""

    address_family = socket.AF_INET6


def watched(address: str, is_ready: Callable[[], bool]) -> None:
    """Answer those who watch this process, at ``host:port``, in a thread; "" nobody. Raises Error for what is none."""
    Gauge("stackferry_ready", "1 while it takes what there is to do", registry=REGISTRY).set_function(
        lambda: float(is_ready())
    )
    if not address:
        return

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/livez":
                self._answer(200, b"alive\n")
            elif path == "/readyz":
                ready = is_ready()
                self._answer(200 if ready else 503, b"ready\n" if ready else b"the broker isn't connected\n")
            elif path == "/metrics":
                self._answer(200, generate_latest(REGISTRY), MEDIA)
            else:
                self._answer(404, b"there are /livez, /readyz and /metrics\n")

        def _answer(self, status: int, body: bytes, media: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: whoever watches asks every few seconds."""

    try:
        parts = urlsplit(f"//{address}")
        if not parts.hostname or parts.port is None:
            raise ValueError("expected host:port")
        server = (Six if ":" in parts.hostname else ThreadingHTTPServer)((parts.hostname, parts.port), Handler)
    except (ValueError, OSError) as error:
        raise Error(f"STACKFERRY_METRICS_ADDRESS: {address} can't be used: {error}") from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="watched", daemon=True).start()


def answered(host: str, method: str, status: int, seconds: float) -> None:
    """Count an answer of a cloud."""
    CALLS.labels(host, method, str(status)).inc()
    CALL_SECONDS.labels(host, method).observe(seconds)
