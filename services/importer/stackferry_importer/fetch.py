"""Streams the payload of one image from its offer into the destination's Glance (``python -m``, a job).

Nothing is stored on the way, and the last block is held back until size and hash are right: a payload that is
not whole never makes an image active. Afterwards Glance's own hash is compared.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from stackferry_clouds.connections import Clouds
from stackferry_runtime import certificates
from stackferry_runtime.job import Ended, Progress, run
from stackferry_runtime.settings import load
from stackferry_runtime.stream import DEFAULT_HASH, Broken, Summing, read_object, receive_payload, send_object

from . import upload
from .settings import Settings

Job = dict[str, Any]


def fetch(job: Job) -> Ended:
    """Do the job."""
    job = {**job, "hash_algo": job.get("hash_algo") or DEFAULT_HASH}
    id_ = job["image"]
    proxy = Clouds(1, load(Settings).cloud_timeout).view(job["destination"], "fetch").proxy("image")
    under_way = proxy.get_image(id_).status in upload.UNDER_WAY
    if not under_way and not upload.ready(proxy, id_, job):
        return {"outcome": "unchanged", "destination_id": id_}
    with _offered(job) as connection:
        source: BinaryIO = connection.makefile("rb")  # type: ignore[assignment]
        if _from_peer(lambda: read_object(source)).get("taken"):
            return None  # another delivery of the same command is at it: perhaps it's what is under way
        if under_way and not upload.ready(proxy, id_, job):
            return {"outcome": "unchanged", "destination_id": id_}
        summing = Summing(job["hash_algo"])
        with Progress(job.get("size")) as progress:
            upload.upload(proxy, id_, _incoming(source, summing, job, progress), job.get("size"))
            total = summing.sum()
            found = {**job, "size": total.size, "hash_value": total.hash_value}
            upload.verify(proxy, upload.settled(proxy, id_), found)
        _from_peer(lambda: send_object(connection, {"arrived": True}), needed=False)
    return {"outcome": "created", "destination_id": id_}


@contextmanager
def _offered(job: Job) -> Iterator[ssl.SSLSocket]:
    host, _, port = job["address"].rpartition(":")
    mine = certificates.Identity.read(Path(job["identity"]))
    context = certificates.connecting(mine, job["certificate"])
    try:
        raw = socket.create_connection((host, int(port)), timeout=30)
        connection = context.wrap_socket(raw)
    except OSError as error:
        raise Broken(f"the exporter at {job['address']} can't be reached: {error}") from None
    with connection:
        certificates.check_peer(connection, [job["certificate"]])
        connection.settimeout(upload.STALLED)
        try:
            yield connection
        finally:
            with suppress(OSError):  # a reader may hold it open: the exporter must know at once
                connection.shutdown(socket.SHUT_RDWR)


def _from_peer(call: Callable[[], Any], needed: bool = True) -> Any:
    """What goes wrong on the connection to the exporter is no failure of the cloud."""
    try:
        return call()
    except OSError as error:
        if needed:
            raise Broken(f"the exporter's connection broke: {error}") from None
        return None


def _incoming(source: BinaryIO, summing: Summing, job: Job, progress: Progress) -> Iterator[bytes]:
    blocks = receive_payload(source, summing, job, progress)
    while True:
        try:
            block = next(blocks, None)
        except OSError as error:
            raise Broken(f"the exporter's connection broke: {error}") from None
        if block is None:
            return
        yield block


def explain(error: Exception) -> tuple[str, str, bool]:
    """Return (outcome, reason, retryable)."""
    if isinstance(error, certificates.Stranger):
        return "failed", str(error), False
    return upload.explain(error)


if __name__ == "__main__":
    run(fetch, explain)
