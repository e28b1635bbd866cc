"""Carrying what is told to other systems, in the foreground."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..local.stack import Stack, home


def bridge(
    to: Annotated[str, typer.Option("--to", help="webhooks, file, nats, kafka, mqtt or oslo.")] = "webhooks",
    target: Annotated[
        str | None,
        typer.Option(help="Where it is: a path, nats://host:4222, host:port,host:port, mqtt://host, rabbit://host."),
    ] = None,
    webhooks: Annotated[
        Path | None, typer.Option(help="The file of the webhooks (docs/bridge.md).", exists=True, dir_okay=False)
    ] = None,
    begin: Annotated[
        str, typer.Option(help="Where the first start begins: newest, or oldest (all that is kept).")
    ] = "newest",
    requests: Annotated[
        str | None, typer.Option(help="With nats: the subject from which requests are taken, and answered.")
    ] = None,
) -> None:
    """Carry what is told of migrations to another system until it's stopped: at least once each, and in order.

    What was carried is noted: the next start goes on there. The broker is AMQP_URI's, else this machine's.
    """
    stack = Stack(home())
    uri = os.environ.get("AMQP_URI") or stack.uri("bridge")
    said = {"to": to, "target": target, "webhooks": webhooks, "begin": begin, "requests": requests, "amqp_uri": uri}
    env = {f"STACKFERRY_{name.upper()}": str(value) for name, value in said.items() if value is not None}
    env.setdefault("STACKFERRY_STATE_DIR", os.environ.get("STACKFERRY_STATE_DIR") or str(stack.folder / "bridge" / to))
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-W", "ignore", "-m", "stackferry_bridge"], {**os.environ, **env})  # noqa: S606 - no shell
