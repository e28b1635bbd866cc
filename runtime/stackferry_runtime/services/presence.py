"""Presence: every half minute a process says that it's there, with its certificate and the clouds that it knows."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Protocol

import eventlet
from nameko.extensions import DependencyProvider
from stackferry import __version__
from stackferry.bus import Publisher
from stackferry.errors import BrokerUnavailable, Unconfirmed, Unroutable
from stackferry.messages import WorkerSeen

from ..certificates import Identity, identity
from ..logs import logger
from .bus import send

log = logger(__name__)
EVERY = 30.0  # seconds
LOOK = 0.25  # seconds between two looks at the credentials


class Known(Protocol):
    """Which clouds a process has credentials for (``stackferry_clouds.known``)."""

    def names(self) -> list[str] | None:
        """Their names; None where they can't be read now."""

    def stamp(self) -> object:
        """Another one once they have changed."""


class Presence(DependencyProvider):
    """``self.presence.identity`` in a handler: this process's key and certificate."""

    def __init__(self, clouds: Known) -> None:
        self.clouds = clouds

    def setup(self) -> None:
        settings = self.container.config["settings"]
        self.service = self.container.service_name
        # Containers that share the machine's network share its name, and each one's process is number 1.
        self.instance = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.own_folder = "" if settings.state_dir else tempfile.mkdtemp(prefix=f"stackferry-{self.service}-")
        self.identity: Identity = identity(Path(settings.state_dir or self.own_folder), self.service)
        self.publisher = Publisher(settings.amqp_uri, f"{self.service} presence")
        self.over = eventlet.event.Event()

    def start(self) -> None:
        self.thread = self.container.spawn_managed_thread(self._run)

    def stop(self) -> None:
        """Say good-bye."""
        self.over.send(None)
        self.thread.wait()
        self._say(stopping=True)
        self.publisher.close()
        if self.own_folder:
            shutil.rmtree(self.own_folder, ignore_errors=True)

    def get_dependency(self, worker_ctx: Any) -> Presence:
        return self

    def _run(self) -> None:
        while not self.over.ready():
            known = self.clouds.stamp()
            self._say(stopping=False)
            self._rest(known)

    def _rest(self, known: object) -> None:
        """Wait until it's time to say it again: soon when the clouds are others."""
        deadline = time.monotonic() + EVERY
        while not self.over.ready() and time.monotonic() < deadline and self.clouds.stamp() == known:
            with eventlet.Timeout(LOOK, False):
                self.over.wait()

    def _say(self, stopping: bool) -> None:
        data = {
            "service": self.service,
            "instance": self.instance,
            "version": __version__,
            "certificate": self.identity.certificate,
            "clouds": self.clouds.names(),
            "stopping": stopping,
        }
        try:
            send(self.publisher, f"stackferry/{self.service}", WorkerSeen, data)
        except (BrokerUnavailable, Unconfirmed, Unroutable) as error:
            log.warning("could not say that we're here", error=str(error))
