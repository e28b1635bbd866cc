"""Starts services of this machine again that have died (``python -m stackferry_cli.local.keeper FOLDER``).

``up`` starts it and ``down`` stops it first, so that it never brings back what somebody has stopped. One that dies
again and again is started after ever longer pauses.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from stackferry.errors import Error

from .stack import Stack

LOOK = 0.5  # seconds between looks
WHILE = 120.0  # seconds after which a death doesn't count any more
LONGEST = 60.0  # seconds of a pause


class Pauses:
    """How long a service that has died waits: twice as long each time that it dies again within a while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: dict[str, deque[float]] = defaultdict(deque)
        self._until: dict[str, float] = {}

    def over(self, name: str) -> bool:
        """Whether a service that is dead may be started now. The first call after a death begins its pause."""
        now, deaths = self._clock(), self._deaths[name]
        if name not in self._until:
            while deaths and now - deaths[0] > WHILE:
                deaths.popleft()
            self._until[name] = now + (min(2.0 ** len(deaths), LONGEST) if deaths else 0.0)
            deaths.append(now)
        if now < self._until[name]:
            return False
        del self._until[name]
        return True


def keep(stack: Stack, stop: threading.Event, pauses: Pauses) -> None:
    """Start what dies again, until *stop* is set."""
    while not stop.wait(LOOK):
        for name in stack.names():
            process = stack.process(name)
            if process.pid() is None and process.pid_file.exists() and pauses.over(name):
                _again(stack, name)


def _again(stack: Stack, name: str) -> None:
    try:
        many = stack.again(name)
    except (Error, OSError) as error:  # the next look tries it once more
        _say(f"{name} has died, and can't be started: {error}")
        return
    _say(f"{name} had died, and was started again: {many} times by now; its log says why")


def _say(what: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {what}", flush=True)


def main() -> None:
    """Keep the system in a folder running until SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keep(Stack(Path(sys.argv[1])), stop, Pauses())


if __name__ == "__main__":
    main()
