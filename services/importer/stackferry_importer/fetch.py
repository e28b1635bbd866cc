"""Streams the payload of one image from its offer into the destination's Glance (``python -m``, a job).

Nothing is stored on the way, and the last block is held back until size and hash are right: a payload that is
not whole never makes an image active. Afterwards Glance's own hash is compared.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from stackferry_runtime import certificates
from stackferry_runtime.clouds import Clouds, failure
from stackferry_runtime.job import Ended, Progress, run
from stackferry_runtime.settings import load
from stackferry_runtime.stream import (
    BLOCK,
    DEFAULT_HASH,
    Broken,
    Sum,
    Summing,
    Wrong,
    read_object,
    receive_payload,
    send_object,
)

from .settings import Settings

STALLED = 600.0  # seconds without a byte after which the other end is given up; Glance may take long to finish
SETTLING = 20.0  # seconds that Glance gets to notice that an upload broke off
Job = dict[str, Any]


class Refused(Exception):
    """The destination does not take the payload; a person must look."""


class Once:
    """An upload's body. Whoever sends requests must not send it again: a second time it would be empty."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.blocks: Iterator[bytes] | None = blocks

    def __iter__(self) -> Iterator[bytes]:
        if self.blocks is None:
            raise Broken("the upload was begun twice")
        blocks, self.blocks = self.blocks, None
        return blocks


def fetch(job: Job) -> Ended:
    """Do the job."""
    job = {**job, "hash_algo": job.get("hash_algo") or DEFAULT_HASH}
    proxy = Clouds(1, load(Settings).cloud_timeout).view(job["destination"], "fetch").proxy("image")
    image = _settled(proxy, job["image"])
    if image.status == "active":
        _verify(proxy, image, job)
        return {"outcome": "unchanged", "destination_id": image.id}
    if image.status != "queued":
        raise Refused(f"the image is {image.status} here, and can't take a payload: delete it, then retry")
    with _offered(job) as connection:
        source: BinaryIO = connection.makefile("rb")  # type: ignore[assignment]
        if _from_peer(lambda: read_object(source)).get("taken"):
            return None  # another delivery of the same command is at it
        with Progress(job.get("size")) as progress:
            total = _upload(proxy, image.id, source, job, progress)
            _verify(proxy, _settled(proxy, image.id), {**job, "size": total.size, "hash_value": total.hash_value})
        _from_peer(lambda: send_object(connection, {"arrived": True}), needed=False)
    return {"outcome": "created", "destination_id": image.id}


def _settled(proxy: Any, id_: str) -> Any:
    """The image, once no upload is under way that its sender has left."""
    deadline = time.monotonic() + SETTLING
    while True:
        image = proxy.get_image(id_)
        if image.status not in ("saving", "importing"):
            return image
        if time.monotonic() > deadline:
            raise Broken(f"an upload is under way already: the image is {image.status}")
        time.sleep(0.5)


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
        connection.settimeout(STALLED)
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


def _upload(proxy: Any, id_: str, source: BinaryIO, job: Job, progress: Progress) -> Sum:
    """Send what comes; each way in which this can be sent twice is closed."""
    summing = Summing(job["hash_algo"])
    headers = {"Content-Type": "application/octet-stream"}
    if job.get("size"):
        headers["X-OpenStack-Image-Size"] = str(job["size"])  # for stores that want to know, and for Glance's own check
    response = proxy.put(
        f"/images/{id_}/file", data=Once(_incoming(source, summing, job, progress)), headers=headers, timeout=STALLED,
        connect_retries=0, status_code_retries=0, redirect=False, allow_reauth=False,
    )  # fmt: skip
    if response.status_code >= 500 or response.status_code in (401, 409, 410, 429):
        raise Broken(f"Glance broke off with {response.status_code}: {_text(response)}")
    if response.status_code >= 300:
        raise Refused(f"Glance refuses the payload with {response.status_code}: {_text(response)}")
    return summing.sum()


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


def _text(response: Any) -> str:
    """The words of Glance's answer, which may be a page of HTML."""
    text = response.text
    return " ".join((text.partition("<br />")[0].rpartition("</h1>")[2] or text).split())[:300]


def _verify(proxy: Any, image: Any, job: Job) -> None:
    """Compare what Glance says that it has; when it uses another hash, read the payload back."""
    if image.status != "active":
        raise Broken(f"the image is {image.status} after the upload")
    have, want = image.hash_value, job.get("hash_value")
    if want and (image.hash_algo or "") != job["hash_algo"]:
        have = _read_back(proxy, image.id, job["hash_algo"])
    if job.get("size") is not None and image.size != job["size"]:
        raise Refused(f"the image here has {image.size} bytes, its source {job['size']}: delete it, then retry")
    if want and have != want:
        raise Refused(f"the image here has another {job['hash_algo']} than its source: delete it, then retry")


def _read_back(proxy: Any, id_: str, algorithm: str) -> str:
    found = hashlib.new(algorithm, usedforsecurity=False)
    plain = {"Accept-Encoding": "identity"}
    with proxy.get(f"/images/{id_}/file", stream=True, headers=plain, timeout=STALLED, skip_cache=True) as response:
        if response.status_code >= 300:
            raise Broken(f"Glance answers {response.status_code} when asked for the payload back")
        for block in response.iter_content(BLOCK):
            found.update(block)
    return found.hexdigest()


def explain(error: Exception) -> tuple[str, str, bool]:
    """Return (outcome, reason, retryable): only a broken stream is worth another try."""
    if isinstance(error, Wrong):
        return "failed", f"the payload is not what was announced: {error}", False
    if isinstance(error, Broken):
        return "interrupted", f"the payload did not cross: {error}", True
    if isinstance(error, Refused | certificates.Stranger):
        return "failed", str(error), False
    word, reason, retryable = failure(error)
    if getattr(error, "status_code", None) == 404:
        return "missing", f"the image is gone from the destination: {reason}", False
    return word, reason, retryable


if __name__ == "__main__":
    run(fetch, explain)
