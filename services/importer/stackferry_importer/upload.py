"""Giving a payload to Glance, once, and finding out what Glance then has."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

from stackferry_clouds.failures import failure
from stackferry_runtime.stream import BLOCK, Broken, Wrong

STALLED = 600.0  # seconds without a byte after which the other end is given up; Glance may take long to finish
SETTLING = 20.0  # seconds that Glance gets to notice that an upload broke off
UNDER_WAY = ("saving", "importing")


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


def ready(proxy: Any, id_: str, expected: dict[str, Any]) -> bool:
    """Return whether an image waits for its payload; False when it has it already, and it's the right one."""
    image = settled(proxy, id_)
    if image.status == "active":
        verify(proxy, image, expected)
        return False
    if image.status != "queued":
        raise Refused(f"the image is {image.status} here, and can't take a payload: delete it, then retry")
    return True


def settled(proxy: Any, id_: str) -> Any:
    """Return the image, once no upload is under way that its sender has left."""
    deadline = time.monotonic() + SETTLING
    while True:
        image = proxy.get_image(id_)
        if image.status not in UNDER_WAY:
            return image
        if time.monotonic() > deadline:
            raise Broken(f"an upload is under way already: the image is {image.status}")
        time.sleep(0.5)


def upload(proxy: Any, id_: str, blocks: Iterator[bytes], size: int | None) -> None:
    """Send what comes; each way in which this can be sent twice is closed."""
    headers = {"Content-Type": "application/octet-stream"}
    if size:
        headers["X-OpenStack-Image-Size"] = str(size)  # for stores that want to know, and for Glance's own check
    response = proxy.put(
        f"/images/{id_}/file", data=Once(blocks), headers=headers, timeout=STALLED,
        connect_retries=0, status_code_retries=0, redirect=False, allow_reauth=False,
    )  # fmt: skip
    if response.status_code >= 500 or response.status_code in (401, 409, 410, 429):
        raise Broken(f"Glance broke off with {response.status_code}: {_text(response)}")
    if response.status_code >= 300:
        raise Refused(f"Glance refuses the payload with {response.status_code}: {_text(response)}")


def _text(response: Any) -> str:
    """The words of Glance's answer, which may be a page of HTML."""
    text = response.text
    return " ".join((text.partition("<br />")[0].rpartition("</h1>")[2] or text).split())[:300]


def verify(proxy: Any, image: Any, expected: dict[str, Any]) -> None:
    """Compare what Glance says that it has; when it uses another hash, read the payload back."""
    if image.status != "active":
        raise Broken(f"the image is {image.status} after the upload")
    have, want = image.hash_value, expected.get("hash_value")
    if want and (image.hash_algo or "") != expected["hash_algo"]:
        have = _read_back(proxy, image.id, expected["hash_algo"])
    if expected.get("size") is not None and image.size != expected["size"]:
        raise Refused(f"the image here has {image.size} bytes, its source {expected['size']}: delete it, then retry")
    if want and have != want:
        raise Refused(f"the image here has another {expected['hash_algo']} than its source: delete it, then retry")


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
    if isinstance(error, Refused):
        return "failed", str(error), False
    word, reason, retryable = failure(error)
    if getattr(error, "status_code", None) == 404:
        return "missing", f"the image is gone from the destination: {reason}", False
    return word, reason, retryable
