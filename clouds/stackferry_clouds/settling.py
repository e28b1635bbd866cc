"""Waiting for what a cloud goes on with after it has answered: servers, volumes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from stackferry.errors import EndedInError, Unfinished
from stackferry.resources import Kind
from stackferry.resources.hints import Hints
from stackferry.resources.kind import named
from stackferry.resources.view import Record, View

#: seconds that one try waits; the next one finds what was begun, and goes on waiting
PATIENCE = 240.0


def settle(kind: type[Kind], record: Record, view: View, hints: Hints) -> Record:
    """Return the record once it's ready; raise EndedInError, or Unfinished when ``hints.patience`` is over."""
    what, pauses, look = named(kind, record), _pauses(hints), view.waiting(kind.kind, record["id"])
    while not kind.settled(record):
        pause = next(pauses, None)
        if pause is None:
            break
        time.sleep(pause)
        fresh = look()
        if fresh is None:
            raise EndedInError(f"{what} vanished while it was made")
        record = fresh
    else:
        return record
    raise Unfinished(f"{what} is still being made ({record.get('status')})")


def await_end(kind: type[Kind], record: Record, view: View, hints: Hints) -> None:
    """Return once a resource is gone; raise EndedInError when it won't go."""
    what, before, look = named(kind, record), record.get("status"), view.waiting(kind.kind, record["id"])
    for pause in _pauses(hints):
        fresh = look()
        status = str((fresh or {}).get("status") or "")
        if fresh is None or "DELETED" in status:
            return
        if status.startswith("error") and status != before:
            raise EndedInError(f"{what} can't be deleted: it ended as {status}")
        time.sleep(pause)
    raise Unfinished(f"{what} is still being deleted")


def _pauses(hints: Hints) -> Iterator[float]:
    """Ever longer pauses, until patience is over."""
    end, pause = time.monotonic() + float(hints.get("patience", PATIENCE)), 0.2
    while time.monotonic() < end:
        yield pause
        pause = min(pause * 1.3, 5.0)
