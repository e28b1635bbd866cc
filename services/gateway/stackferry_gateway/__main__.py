"""``python -m stackferry_gateway``."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import sys
from pathlib import Path

import uvicorn
from stackferry.errors import Error
from stackferry_runtime import logs, metrics, starting
from starlette.applications import Starlette

from .app import create
from .settings import Settings

log = logs.logger("gateway")
CONNECTIONS = 4000  # at the same time; more are told to come back


class Server(uvicorn.Server):
    """Says that it's ready once it takes requests."""

    def __init__(self, config: uvicorn.Config, app: Starlette, told: Settings, url: str) -> None:
        super().__init__(config)
        self.app, self.told, self.url = app, told, url

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.app.state.events.close()  # or their listeners would be waited for
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info("ready", pid=os.getpid(), address=self.url)
        if self.told.url_file:
            Path(self.told.url_file).write_text(self.url)
        if self.told.ready_file:
            Path(self.told.ready_file).write_text(str(os.getpid()))


def main() -> int:
    """Serve until SIGTERM or SIGINT. Exit codes: 0 stopped, 2 wrong settings."""
    told = starting.told(Settings)
    with starting.refusing():
        _check(told)
        app = create(told)
        metrics.watched(told.metrics_address, app.state.is_ready)
    host = f"[{told.address}]" if ":" in told.address else told.address
    try:
        family = socket.AF_INET6 if ":" in told.address else socket.AF_INET
        listening = socket.create_server((told.address, told.port), family=family, backlog=1024)
    except OSError as error:
        print(
            f"STACKFERRY_ADDRESS, STACKFERRY_PORT: {host}:{told.port} can't be used: {error.strerror}", file=sys.stderr
        )
        return 2
    tls = {"ssl_certfile": told.tls_certificate, "ssl_keyfile": told.tls_key} if told.tls_certificate else {}
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, ws="none",
        proxy_headers=bool(told.proxies), forwarded_allow_ips=told.proxies,
        timeout_graceful_shutdown=int(told.drain_timeout), limit_concurrency=CONNECTIONS, **tls,  # type: ignore[arg-type]
    )  # fmt: skip
    Server(config, app, told, f"{'https' if tls else 'http'}://{host}:{listening.getsockname()[1]}").run(
        sockets=[listening]
    )
    return 0


def _check(told: Settings) -> None:
    """Raise Error for settings that don't go together: tokens travel in clear text without TLS."""
    if not told.tokens:
        raise Error("STACKFERRY_TOKENS names no file: nobody could ask for anything")
    if bool(told.tls_certificate) != bool(told.tls_key):
        raise Error("STACKFERRY_TLS_CERTIFICATE and STACKFERRY_TLS_KEY go together")
    if told.tls_certificate:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(told.tls_certificate, told.tls_key, password="")  # else it would ask the terminal
        except (OSError, ssl.SSLError) as error:
            text = f"STACKFERRY_TLS_CERTIFICATE {told.tls_certificate}, STACKFERRY_TLS_KEY {told.tls_key}"
            raise Error(f"{text} can't be used, as PEM without a passphrase: {error}") from None
    for file in filter(None, (told.url_file, told.ready_file)):
        if not os.access(Path(file).parent, os.W_OK):
            raise Error(f"{file} can't be written: there's no such folder, or it's not to be written to")
    try:
        is_own = told.address == "localhost" or ipaddress.ip_address(told.address).is_loopback
    except ValueError:
        is_own = False
    if not is_own and not told.tls_certificate and not told.tls_elsewhere:
        raise Error(
            f"STACKFERRY_ADDRESS is {told.address}, where tokens would travel in clear text: set "
            "STACKFERRY_TLS_CERTIFICATE and STACKFERRY_TLS_KEY, or STACKFERRY_TLS_ELSEWHERE=true where a proxy before "
            "it speaks TLS"
        )


if __name__ == "__main__":
    sys.exit(main())
