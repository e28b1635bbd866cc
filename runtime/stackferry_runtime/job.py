"""A job in a process of its own, seen from inside: its description, its reports, its end.

Bytes are moved and hashed in child processes, since a service's greenlets would all wait meanwhile. A job is one
JSON line on stdin. It reports by JSON lines on stdout: ``{"offered": {...}}``, ``{"progressed": {...}}``, and at
last ``{"ended": {...}}``, or ``{"ended": null}`` when it has nothing to say. It ends when its parent does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

PARENT_GONE = 3  # exit code
PROGRESS_EVERY = 1.0  # seconds
ALIVE_EVERY = 20.0  # seconds after which it says that it's alive though nothing moved: Glance may take long to finish

Ended = dict[str, Any] | None


def run(work: Callable[[dict[str, Any]], Ended], explain: Callable[[Exception], tuple[str, str, bool]]) -> None:
    """Do the job that stdin describes, and report its end; *explain* gives (outcome, reason, retryable) of an error."""
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    began = time.monotonic()
    try:
        ended = work(job)
    except Exception as error:
        outcome, reason, retryable = explain(error)
        ended = {"outcome": outcome, "reason": reason, "retryable": retryable}
    if ended is not None:
        ended["seconds"] = round(time.monotonic() - began, 3)
    say("ended", ended)


def say(name: str, content: Ended) -> None:
    """Report."""
    print(json.dumps({name: content}), flush=True)


def _end_with_parent() -> None:
    """Stdin closes when the parent closes it or dies, however it dies. Nothing here may then go on writing."""
    while os.read(0, 1):  # not sys.stdin: its lock, held here, would abort the interpreter's end
        pass
    os._exit(PARENT_GONE)


class Progress:
    """Reports how far the job is: at most once a second, and now and then though nothing moves."""

    def __init__(self, total: int | None) -> None:
        self.total, self.done = total, 0
        self._over = threading.Event()

    def __enter__(self) -> Progress:
        self._thread = threading.Thread(target=self._report, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()  # or a last word could follow the end

    def __call__(self, done: int) -> None:
        self.done = done

    def _report(self) -> None:
        said, quiet = 0, 0.0
        while not self._over.wait(PROGRESS_EVERY):
            quiet += PROGRESS_EVERY
            if self.done != said or quiet >= ALIVE_EVERY:
                said, quiet = self.done, 0.0
                say("progressed", {"done": said, "total": self.total})
