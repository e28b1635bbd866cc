"""The client that commands ask the coordinator with."""

from __future__ import annotations

import os

from stackferry.client import Client

from .local.stack import Stack, home


def client(timeout: float = 30) -> Client:
    """Connect: ``AMQP_URI``, else the local system."""
    return Client(os.environ.get("AMQP_URI") or Stack(home()).uri(), timeout)
