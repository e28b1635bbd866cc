"""Small file operations that the rest relies on: atomic writes and the lock."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old or the new text, never a part."""
    # A name of its own for every writer: two may write the same file at once.
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    new.rename(path)


def write_json(path: Path, content: Any, mode: int = 0o644) -> None:
    """Write JSON atomically."""
    write_atomically(path, json.dumps(content, indent=1) + "\n", mode)


def read_json(path: Path) -> Any:
    """Read JSON; None when there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def locked(path: Path, *, waiting: contextlib.AbstractContextManager[object] | None = None) -> Iterator[int]:
    """Hold the lock on a file; yields its descriptor.

    The lock belongs to the open file, so a process that inherits the descriptor holds it as well and
    keeps it until it closes it or ends. That's why this only closes the file and never unlocks it.

    Args:
        path: the file, created if need be.
        waiting: entered while another process holds the lock, to tell the user.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with waiting or contextlib.nullcontext():
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
