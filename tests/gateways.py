"""A gateway of a test's own, beside the services that run already."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack


@contextmanager
def gateway(stack: Stack, folder: Path, **settings: str) -> Iterator[str]:
    """A process with these settings: its address, once it's ready."""
    url = folder / "gateway.url"
    env = {
        "PATH": os.environ["PATH"], "STACKFERRY_AMQP_URI": stack.uri("gateway"), "STACKFERRY_PORT": "0",
        "STACKFERRY_URL_FILE": str(url), **{f"STACKFERRY_{name}": value for name, value in settings.items()},
    }  # fmt: skip
    with subprocess.Popen([sys.executable, "-W", "ignore", "-m", "stackferry_gateway"], env=env) as process:
        try:
            assert until(lambda: url.exists() and url.read_text(), 30)
            assert until(lambda: httpx.get(f"{url.read_text()}/readyz").status_code == 200, 30)
            yield url.read_text()
        finally:
            process.terminate()
            process.wait(30)
