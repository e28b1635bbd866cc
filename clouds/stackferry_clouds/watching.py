"""Looking again and again at what a cloud is busy with: one listing of what has changed serves all who wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from stackferry.resources.view import Record

#: so many wait for things of one kind: from here on a listing costs a cloud less than asking for each
TOGETHER = 3
#: seconds after its last look in which somebody counts as waiting; no pause between two looks is that long
RECENT = 10.0

Look = Callable[[], Record | None]


class Watch:
    """What is waited for of one kind; several threads may use it.

    Args:
        ask: returns one record by its id as it is now, or None when it's gone.
        changed: returns the records that have changed lately, or None where this kind's API has no such listing.
    """

    def __init__(self, ask: Callable[[str], Record | None], changed: Callable[[], Iterable[Record] | None]) -> None:
        self._ask, self._changed = ask, changed
        self._lock = threading.Lock()
        self._waiting: dict[str, float] = {}
        self._seen: dict[str, tuple[float, Record]] = {}

    def wait(self, id_: str) -> Look:
        """Return what looks at one resource, each time later than the time before, and never before now."""
        last = time.monotonic()

        def look() -> Record | None:
            nonlocal last
            last, found = self._shared(id_, last) or (time.monotonic(), None)
            return found if found is not None else self._ask(id_)

        return look

    def _shared(self, id_: str, last: float) -> tuple[float, Record] | None:
        """What a listing shows that began after *last*: another one's, or a new one when enough wait."""
        with self._lock:
            self._waiting[id_] = time.monotonic()
            seen = self._seen.get(id_)
            if seen is None or seen[0] <= last:
                self._list()
                seen = self._seen.get(id_)
            return seen if seen is not None and seen[0] > last else None

    def _list(self) -> None:
        began = time.monotonic()
        self._waiting = {id_: at for id_, at in self._waiting.items() if at > began - RECENT}
        listed = self._changed() if len(self._waiting) >= TOGETHER else None
        self._seen = {record["id"]: (began, record) for record in listed or () if record["id"] in self._waiting}
