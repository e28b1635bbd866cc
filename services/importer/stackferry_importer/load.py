"""Sends the payload of one image from a file into the destination's Glance (``python -m``, a job)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stackferry_clouds.connections import Clouds
from stackferry_runtime import blobs
from stackferry_runtime.job import Ended, Progress, run
from stackferry_runtime.settings import load
from stackferry_runtime.stream import BLOCK, DEFAULT_HASH, Summing, Wrong, whole

from . import upload
from .settings import Settings

Job = dict[str, Any]


def send(job: Job) -> Ended:
    """Do the job."""
    settings = load(Settings)
    expected = {name: job.get(name) for name in ("size", "hash_algo", "hash_value")}
    expected["hash_algo"] = expected["hash_algo"] or DEFAULT_HASH
    id_ = job["image"]
    proxy = Clouds(1, settings.cloud_timeout).view(job["destination"], "load").proxy("image")
    if not upload.ready(proxy, id_, expected):
        return {"outcome": "unchanged", "destination_id": id_}
    _send(proxy, id_, blobs.find(blobs.folder(job["folder"], settings.blobs_dir), job["source_id"]), expected)
    return {"outcome": "created", "destination_id": id_}


def _send(proxy: Any, id_: str, file: Path, expected: dict[str, Any]) -> None:
    size, summing = file.stat().st_size, Summing(expected["hash_algo"])
    if expected["size"] not in (None, size):
        raise Wrong(f"{file} has {size} bytes, its document says {expected['size']}")
    with Progress(size) as progress, file.open("rb") as content:
        blocks = whole(iter(lambda: content.read(BLOCK), b""), summing, lambda sum_: sum_.check(expected), progress)
        upload.upload(proxy, id_, blocks, size)
        total = summing.sum()
        found = {"size": total.size, "hash_algo": total.hash_algo, "hash_value": total.hash_value}
        upload.verify(proxy, upload.settled(proxy, id_), found)


def explain(error: Exception) -> tuple[str, str, bool]:
    """Return (outcome, reason, retryable)."""
    if isinstance(error, blobs.Refused):
        return "missing", str(error), False
    return upload.explain(error)


if __name__ == "__main__":
    run(send, explain)
