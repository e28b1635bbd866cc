"""Claims under nameko: a handler asks whether its delivery may work."""

from __future__ import annotations

import threading
from typing import Any

from nameko.extensions import DependencyProvider
from stackferry.bus import Publisher

from .. import claims
from .bus import Delivery


class Claims(DependencyProvider):
    """``self.claims.granted(delivery)`` in a handler; see :class:`stackferry_runtime.claims.Claims`."""

    def setup(self) -> None:
        uri, name = self.container.config["settings"].amqp_uri, self.container.service_name
        self.publisher, self.over = Publisher(uri, f"{name} claims"), threading.Event()
        self.asking = claims.Claims(uri, self.publisher, f"stackferry/{name}", name, self.over)

    def start(self) -> None:
        self.container.spawn_managed_thread(self.asking.run)
        self.asking.ready.wait()

    def stop(self) -> None:
        self.over.set()
        self.publisher.close()

    kill = stop

    def get_dependency(self, worker_ctx: Any) -> Claims:
        return self

    def granted(self, delivery: Delivery) -> bool:
        """Whether this delivery may work on its try; raises Claimed when the coordinator doesn't answer."""
        return self.asking.granted(delivery.envelope, delivery.doubtful)
