"""The HTTP server of every service.

cheroot, because it streams request bodies to the application; waitress, for one, first stores a whole
image upload in a temporary file. uWSGI is not needed, and takes a minute to compile.
"""

from typing import Any

from cheroot import server as cheroot_server
from cheroot import wsgi

from stackferry_inside.faults import CONNECTION

THREADS = 16
"""Enough for eight clients at once and for what the services then ask each other."""


class Gateway(wsgi.Gateway_10):  # type: ignore[misc]
    """Passes the connection's socket to the application."""

    def get_environ(self) -> dict[str, Any]:
        """The usual environ, and the socket."""
        return {**super().get_environ(), CONNECTION: self.req.conn.socket}


def keep_open(reader: object) -> None:
    """Stands in for close(): glance closes wsgi.input, and cheroot would close the connection with it."""


def serve_forever(application: Any, port: int) -> None:
    """Serve an application on loopback until the process ends."""
    for reader in (cheroot_server.KnownLengthRFile, cheroot_server.ChunkedRFile):
        reader.close = keep_open
    server = wsgi.Server(
        ("127.0.0.1", port), application, numthreads=THREADS, max=40, request_queue_size=128, timeout=600
    )
    server.gateway = Gateway
    server.max_request_body_size = 0
    server.safe_start()
