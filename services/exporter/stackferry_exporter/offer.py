"""Serves the payload of one image, once, to one of the importers that it was told of (``python -m``, a job).

The importer fetches: only the exporter's side needs to be reachable. Nothing is read from the cloud before an
accepted importer is there, and nothing is kept. The importer's last word says that the payload has arrived.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from stackferry_clouds.connections import Clouds
from stackferry_runtime import certificates
from stackferry_runtime.job import Ended, run, say
from stackferry_runtime.settings import load
from stackferry_runtime.stream import DEFAULT_HASH, Broken, Summing, read_object, send_object, send_payload

from .payload import STALLED, active, announcement, explain, payload
from .settings import Settings

Job = dict[str, Any]


class Offer:
    """A listening socket, and whether its one guest has come."""

    def __init__(self, job: Job, image: Any, proxy: Any, settings: Settings) -> None:
        self.image, self.proxy, self.settings = image, proxy, settings
        self.identity, self.accepted = (
            certificates.Identity.read(Path(job["identity"])),
            certificates.readable(job["certificates"]),
        )
        self.context = certificates.serving(self.identity, self.accepted)
        self.taken = threading.Lock()
        self.over = threading.Event()
        self.error: Exception | None = None

    def serve(self) -> None:
        """Return once the payload has been fetched; raise when nobody came, or when it broke off."""
        host = self.settings.offer_address or socket.gethostname()
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, 0), family=family)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        say("offered", {**self._announcement(), "address": f"{host}:{listener.getsockname()[1]}"})
        deadline = time.monotonic() + self.settings.offer_timeout
        while not self.over.wait(0.2):
            if time.monotonic() > deadline and self.taken.acquire(blocking=False):
                raise Broken(f"no importer fetched it within {self.settings.offer_timeout:.0f} seconds")
        if self.error:
            raise self.error

    def _announcement(self) -> dict[str, Any]:
        return {"certificate": self.identity.certificate, **announcement(self.image)}

    def _accept(self, listener: socket.socket) -> None:
        while True:
            raw, _ = listener.accept()
            threading.Thread(target=self._welcome, args=(raw,), daemon=True).start()

    def _welcome(self, raw: socket.socket) -> None:
        """One that connects: a stranger is turned away, a second guest is told so, the first one is served."""
        raw.settimeout(10)
        try:
            connection = self.context.wrap_socket(raw, server_side=True)
            certificates.check_peer(connection, self.accepted)
        except (OSError, certificates.Stranger):
            raw.close()
            return
        with connection:
            if not self.taken.acquire(blocking=False):
                with suppress(OSError):
                    send_object(connection, {"taken": True})
                return
            try:
                self._serve(connection)
            except OSError as error:
                self.error = Broken(f"the importer's connection broke: {error}")
            except Exception as error:
                self.error = error
            self.over.set()

    def _serve(self, connection: ssl.SSLSocket) -> None:
        connection.settimeout(STALLED)
        _keep_alive(connection)
        send_object(connection, {"taken": False})
        algorithm = self._announcement()["hash_algo"] or DEFAULT_HASH
        expected = {**self._announcement(), "hash_algo": algorithm}
        with payload(self.proxy, self.image.id) as blocks:
            send_payload(connection, blocks, Summing(algorithm), expected)
        source: BinaryIO = connection.makefile("rb")  # type: ignore[assignment]
        read_object(source)


def _keep_alive(connection: socket.socket) -> None:
    """Notice within a minute or so that the other machine is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if option := getattr(socket, name, None):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def offer(job: Job) -> Ended:
    """Do the job; when all went well, the importer reports it."""
    settings = load(Settings)
    proxy = Clouds(1, settings.cloud_timeout).view(job["source"], "offer").proxy("image")
    Offer(job, active(proxy, job["image"]), proxy, settings).serve()
    return None


if __name__ == "__main__":
    run(offer, explain)
