"""Serves the payload of one image, once, to one of the importers that it was told of (``python -m``, a job).

The importer fetches: only the exporter's side needs to be reachable. Nothing is read from the cloud before an
accepted importer is there, and nothing is kept. The importer's last word says that the payload has arrived.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from stackferry_runtime import certificates
from stackferry_runtime.clouds import Clouds, failure
from stackferry_runtime.job import Ended, run, say
from stackferry_runtime.settings import load
from stackferry_runtime.stream import (
    BLOCK,
    DEFAULT_HASH,
    Broken,
    Summing,
    Wrong,
    read_object,
    send_object,
    send_payload,
)

from .settings import Settings

STALLED = 600.0  # seconds without a byte after which the other end is given up
Job = dict[str, Any]


class Unreadable(Exception):
    """The source cloud does not give the payload."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"the source cloud answers {status_code} when asked for the payload")
        self.status_code = status_code


class Offer:
    """A listening socket, and whether its one guest has come."""

    def __init__(self, job: Job, image: Any, proxy: Any, settings: Settings) -> None:
        self.image, self.proxy, self.settings = image, proxy, settings
        self.identity, self.accepted = certificates.Identity.read(Path(job["identity"])), job["certificates"]
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
        image = self.image
        return {
            "certificate": self.identity.certificate,
            "size": image.size,
            "hash_algo": image.hash_algo if image.hash_value else None,
            "hash_value": image.hash_value,
        }

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
        with self._payload() as response:
            send_payload(connection, _blocks(response), Summing(algorithm), expected)
        source: BinaryIO = connection.makefile("rb")  # type: ignore[assignment]
        read_object(source)

    def _payload(self) -> Any:
        plain = {"Accept-Encoding": "identity"}
        path = f"/images/{self.image.id}/file"
        response = self.proxy.get(path, stream=True, headers=plain, timeout=STALLED, skip_cache=True)
        if response.status_code >= 300:
            raise Unreadable(response.status_code)
        return response


def _blocks(response: Any) -> Iterator[bytes]:
    """The bytes that Glance sends; a failure in reading them is no failure of the importer's connection."""
    try:
        yield from response.iter_content(BLOCK)
    except OSError as error:
        raise Broken(f"the source cloud broke off: {error}") from None


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
    image = proxy.get_image(job["image"])
    if image.status != "active":
        raise Broken(f"it is {image.status} at the source")
    Offer(job, image, proxy, settings).serve()
    return None


def explain(error: Exception) -> tuple[str, str, bool]:
    """Return (outcome, reason, retryable): a broken stream is worth another try, a wrong payload is not."""
    if isinstance(error, Wrong):
        return "failed", f"the source's payload is not what its Glance says: {error}", False
    if isinstance(error, Broken):
        return "interrupted", f"the payload did not cross: {error}", True
    return failure(error)


if __name__ == "__main__":
    run(offer, explain)
