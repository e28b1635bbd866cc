"""``python -m stackferry_gateway``."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path

import uvicorn
from stackferry.errors import Error
from stackferry_runtime import logs, settings

from .app import create
from .settings import Settings

log = logs.logger("gateway")


class Server(uvicorn.Server):
    """Says that it's ready once it takes requests."""

    def __init__(self, config: uvicorn.Config, told: Settings, url: str) -> None:
        super().__init__(config)
        self.told, self.url = told, url

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        log.info("ready", pid=os.getpid(), address=self.url)
        if self.told.url_file:
            Path(self.told.url_file).write_text(self.url)
        if self.told.ready_file:
            Path(self.told.ready_file).write_text(str(os.getpid()))


def main() -> int:
    """Serve until SIGTERM or SIGINT. Exit codes: 0 stopped, 2 wrong settings."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(settings.describe(Settings))
        return 0
    try:
        told = settings.load(Settings)
        logs.configure(told.log_level, told.log_format)
        _check(told)
        app = create(told)
    except Error as error:
        print(error, file=sys.stderr)
        return 2
    tls = {"ssl_certfile": told.tls_certificate, "ssl_keyfile": told.tls_key} if told.tls_certificate else {}
    try:
        config = uvicorn.Config(
            app, host=told.address, port=told.port, log_config=None, access_log=False, server_header=False,
            proxy_headers=False, timeout_graceful_shutdown=int(told.drain_timeout), ws="none", **tls,  # type: ignore[arg-type]
        )  # fmt: skip
        config.load()
        listening = config.bind_socket()
    except (OSError, SystemExit) as error:
        print(f"{told.address}:{told.port} or the certificate can't be used: {error}", file=sys.stderr)
        return 2
    host = f"[{told.address}]" if ":" in told.address else told.address
    url = f"{'https' if tls else 'http'}://{host}:{listening.getsockname()[1]}"
    Server(config, told, url).run(sockets=[listening])
    return 0


def _check(told: Settings) -> None:
    """Raise Error for settings that don't go together: tokens travel in clear text without TLS."""
    if not told.tokens:
        raise Error("STACKFERRY_TOKENS names no file: nobody could ask for anything")
    if bool(told.tls_certificate) != bool(told.tls_key):
        raise Error("STACKFERRY_TLS_CERTIFICATE and STACKFERRY_TLS_KEY go together")
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
