"""Reading the payload of an image out of Glance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stackferry_clouds.failures import failure
from stackferry_runtime.stream import BLOCK, Broken, Wrong

STALLED = 600.0  # seconds without a byte after which the other end is given up


class Unreadable(Exception):
    """The source cloud does not give the payload."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"the source cloud answers {status_code} when asked for the payload")
        self.status_code = status_code


def active(proxy: Any, id_: str) -> Any:
    """Return the image; raise Broken when it has no complete payload now."""
    image = proxy.get_image(id_)
    if image.status != "active":
        raise Broken(f"it is {image.status} at the source")
    return image


def announcement(image: Any) -> dict[str, Any]:
    """What the source cloud says of the payload."""
    algorithm = image.hash_algo if image.hash_value else None
    return {"size": image.size, "hash_algo": algorithm, "hash_value": image.hash_value}


@contextmanager
def payload(proxy: Any, id_: str) -> Iterator[Iterator[bytes]]:
    """The blocks of an image, as Glance sends them; raise Unreadable when it doesn't."""
    plain = {"Accept-Encoding": "identity"}
    path = f"/images/{id_}/file"
    with proxy.get(path, stream=True, headers=plain, timeout=STALLED, skip_cache=True) as response:
        if response.status_code >= 300:
            raise Unreadable(response.status_code)
        yield _blocks(response)


def _blocks(response: Any) -> Iterator[bytes]:
    """A failure in reading them is no failure of whoever takes them."""
    try:
        yield from response.iter_content(BLOCK)
    except OSError as error:
        raise Broken(f"the source cloud broke off: {error}") from None


def explain(error: Exception) -> tuple[str, str, bool]:
    """Return (outcome, reason, retryable): a broken stream is worth another try, a wrong payload is not."""
    if isinstance(error, Wrong):
        return "failed", f"the source's payload is not what its Glance says: {error}", False
    if isinstance(error, Broken):
        return "interrupted", f"the payload did not cross: {error}", True
    return failure(error)
