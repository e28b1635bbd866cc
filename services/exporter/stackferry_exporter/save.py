"""Writes the payload of one image into a file (``python -m``, a job).

The file gets its name when all of it is on the disk and adds up to what the source cloud says.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stackferry_clouds.connections import Clouds
from stackferry_runtime import blobs
from stackferry_runtime.job import Ended, Progress, run
from stackferry_runtime.settings import load
from stackferry_runtime.stream import BLOCK, DEFAULT_HASH, Broken, Summing, Wrong

from . import payload
from .settings import Settings

Job = dict[str, Any]


def save(job: Job) -> Ended:
    """Do the job; a file that is there and right is left as it is."""
    settings = load(Settings)
    folder = blobs.folder(job["folder"], settings.blobs_dir)
    proxy = Clouds(1, settings.cloud_timeout).view(job["source"], "save").proxy("image")
    image = payload.active(proxy, job["image"])
    expected = payload.announcement(image)
    with Progress(image.size) as progress:
        if _is_there(folder, image.id, expected, progress):
            return {"outcome": "unchanged"}
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / blobs.file_name(image.id, image.name or "")
        with payload.payload(proxy, image.id) as blocks:
            _write(file, _summed(blocks, expected, progress))
    return {"outcome": "created"}


def _is_there(folder: Path, id_: str, expected: dict[str, Any], progress: Progress) -> bool:
    try:
        file = blobs.find(folder, id_)
        with file.open("rb") as content:
            for _ in _summed(iter(lambda: content.read(BLOCK), b""), expected, progress):
                pass
    except (OSError, blobs.Refused, Wrong):
        return False
    return True


def _summed(blocks: Iterable[bytes], expected: dict[str, Any], progress: Progress) -> Iterator[bytes]:
    """The same blocks; raise Wrong at their end when they add up to something else."""
    summing = Summing(expected["hash_algo"] or DEFAULT_HASH)
    for block in blocks:
        summing.add(block)
        progress(summing.size)
        yield block
    summing.sum().check(expected)


def _write(file: Path, blocks: Iterable[bytes]) -> None:
    part = file.with_name(
        f".{file.name}.part"
    )  # one try is under way at a time: what is left of another is overwritten
    try:
        with part.open("wb") as target:
            for block in blocks:
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        part.replace(file)
    except OSError as error:
        raise Broken(f"{file} can't be written: {error}") from None
    finally:
        part.unlink(missing_ok=True)


def explain(error: Exception) -> tuple[str, str, bool]:
    """Return (outcome, reason, retryable)."""
    if isinstance(error, blobs.Refused):
        return "failed", str(error), False
    return payload.explain(error)


if __name__ == "__main__":
    run(save, explain)
