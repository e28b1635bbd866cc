"""What is counted about the gateway itself, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from stackferry_runtime.metrics import REGISTRY


class Metrics:
    """Requests by what they were for and how they ended; and what is under way."""

    def __init__(
        self, listeners: Callable[[], int], position: Callable[[], int], registry: CollectorRegistry = REGISTRY
    ) -> None:  # fmt: skip
        labels = ("method", "path")
        self.requests = Counter("stackferry_http_requests", "requests", (*labels, "status"), registry=registry)
        self.seconds = Histogram("stackferry_http_seconds", "seconds of requests", labels, registry=registry)
        for name, about, value in (
            ("stackferry_http_listeners", "streams of events that are open", lambda: float(listeners())),
            ("stackferry_history_position", "number of the latest event", lambda: float(position())),
        ):
            Gauge(name, about, registry=registry).set_function(value)

    def note(self, method: str, path: str, status: int, began: float) -> None:
        """Count one request; *path*: as the table has it."""
        self.requests.labels(method, path, str(status)).inc()
        self.seconds.labels(method, path).observe(time.monotonic() - began)
