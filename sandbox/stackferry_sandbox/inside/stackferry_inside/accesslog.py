"""A WSGI middleware that writes one line of JSON for every API request.

The line is written when the application has answered and before the answer is sent: whoever has an
answer finds its line in the log.
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stackferry_inside.faults import DROPPED, FAULT

REQUEST_ID_HEADERS = ("x-openstack-request-id", "x-compute-request-id")


class Logged:
    """An application whose requests are logged."""

    def __init__(self, application: Any, path: Path) -> None:
        """Log an application's requests to a file."""
        self.application = application
        # Appending a line is one write, and atomic: no lock, nothing lost when the process is killed.
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request and log it."""
        began = time.time()
        clock = time.monotonic()
        path = path_of(environ)  # routers change it on the way
        answer: dict[str, Any] = {"status": None, "request_id": None}

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            answer["status"] = int(status.split()[0])
            given = {name.lower(): value for name, value in headers}
            answer["request_id"] = next((given[key] for key in REQUEST_ID_HEADERS if key in given), None)
            return start_response(status, headers, *error)

        try:
            return self.application(environ, start)
        finally:
            if environ.get(DROPPED):
                answer["status"] = None
            line = {"time": began, **request_fields(environ, path), **answer}
            line["ms"] = round((time.monotonic() - clock) * 1000, 1)
            os.write(self.file, (json.dumps(line) + "\n").encode())


def path_of(environ: dict[str, Any]) -> str:
    """The whole path of a request, as text (WSGI keeps UTF-8 bytes in Latin-1 characters)."""
    raw = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return raw.encode("latin-1").decode("utf-8", "replace")


def header(environ: dict[str, Any], name: str) -> str | None:
    """A request header, as text."""
    value = environ.get("HTTP_" + name)
    return value.encode("latin-1", "replace").decode("utf-8", "replace") if value else None


def request_fields(environ: dict[str, Any], path: str) -> dict[str, Any]:
    """What is known of a request once the token middleware has seen it."""
    return {
        "method": environ["REQUEST_METHOD"],
        "path": path,
        "query": environ.get("QUERY_STRING", ""),
        # Set by the token middleware, which removes what a client sent under these names.
        "user": environ.get("HTTP_X_USER_NAME"),
        "project_id": environ.get("HTTP_X_PROJECT_ID"),
        # Set as well when one service forwards a user's token to another.
        "service_user": environ.get("HTTP_X_SERVICE_USER_NAME"),
        "agent": header(environ, "USER_AGENT"),
        "global_request_id": header(environ, "X_OPENSTACK_REQUEST_ID"),
        "peer": f"{environ.get('REMOTE_ADDR', '')}:{environ.get('REMOTE_PORT', '')}",
        "fault": environ.get(FAULT),
    }
