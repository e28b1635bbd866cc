"""A file of JSON lines, one event each, with its number: for log shippers. It's only appended to.

A line: ``{"number": 17, "key": "old.new.<migration>.step-ended", "event": {...CloudEvent...}}``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ..events import Event, Place
from . import Away

TAIL = 4 << 20  # bytes at the end among which the last whole line is looked for


class File:
    """The file; it may be moved away at any time, and is begun anew then."""

    is_exact = True

    def __init__(self, path: Path) -> None:
        self.name, self.path = "file", path
        self._is_mended = False

    def position(self) -> Place | None:
        """The number of the last whole line; a line that was cut short by a kill is cut away."""
        try:
            with self.path.open("rb+") as content:
                end = content.seek(0, os.SEEK_END)
                begin = content.seek(max(0, end - TAIL))
                tail = content.read()
                whole = tail.rfind(b"\n") + 1
                if whole < len(tail):
                    content.truncate(begin + whole)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Away(f"{self.path}: {error.strerror}") from None
        lines = tail[:whole].splitlines()
        if not lines:
            return None
        last = json.loads(lines[-1])
        return Place(int(last["number"]), last["event"].get("id"))

    def send(self, events: list[Event]) -> Iterator[Place]:
        """Append them, as one."""
        lines = b"".join(
            b'{"number": %d, "key": %s, "event": %s}\n' % (one.number, json.dumps(one.key).encode(), _line(one.body))
            for one in events
        )
        try:
            if not self._is_mended:
                self.position()
                self._is_mended = True
            with self.path.open("ab") as content:
                content.write(lines)
                content.flush()
                os.fsync(content.fileno())
        except OSError as error:
            self._is_mended = False  # a part may have been written
            raise Away(f"{self.path}: {error.strerror}") from None
        yield events[-1].place

    def close(self) -> None:
        """Nothing is open."""


def _line(body: bytes) -> bytes:
    """A CloudEvent on one line."""
    return body if b"\n" not in body else json.dumps(json.loads(body)).encode()
