"""The ways on which a segment's blocks come here: from the other agent, perhaps through ssh, or by nbdcopy."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

from stackferry_runtime.certificates import Identity

from .copying.tally import Progress, Pulled
from .copying.task import Mode
from .disk.devices import Device
from .disk.journal import Journal
from .errors import PeerLost, PumpError
from .nbd import client, programs
from .pump.connections import connect
from .pump.destination import pull
from .pump.tunnel import Tunnel
from .settings import Settings


@dataclass(frozen=True)
class Order:
    """What is fetched, and where to. ``offer`` names the try, for both ends."""

    device: Device
    journal: Journal
    mode: Mode
    blocks: range
    offer: str
    stop: threading.Event
    progress: Progress


def fetch(order: Order, data: dict[str, Any], mine: Identity, settings: Settings) -> Pulled:
    """Fetch from where the command *data* says, with its engine."""
    if data.get("engine") != "nbd":
        return _by_pump(order, data["address"], data["certificate"], mine, settings)
    if settings.tunnel:
        raise PumpError("engine: nbd doesn't go through STACKFERRY_TUNNEL; choose engine: pump")
    if pump := client.reachable(data, order.mode):
        return _by_pump(order, pump, data["certificate"], mine, settings)
    with programs.secured(mine, [data["certificate"]], "client") as (folder, environ):
        export = client.Export(programs.location(data["address"], order.offer, folder), folder, environ)
        return client.fetch(
            order.device, order.journal, export, order.mode, order.blocks, order.stop, order.progress
        )  # fmt: skip


def _by_pump(order: Order, address: str, certificate: str, mine: Identity, settings: Settings) -> Pulled:
    host, _, port = address.rpartition(":")
    with Tunnel(settings) as tunnel:
        peer = partial(connect, (host, int(port)), mine, certificate, reach=tunnel.reach)
        try:
            return pull(
                order.device, order.journal, peer, mode=order.mode, blocks=order.blocks, offer=order.offer,
                progress=order.progress, stop=order.stop,
            )  # fmt: skip
        except PeerLost as error:
            raise tunnel.explained(error) from error
