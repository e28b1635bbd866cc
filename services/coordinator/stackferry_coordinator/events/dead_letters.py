"""Parked messages that nobody looks at: from a number on, the oldest leave the broker for a file."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from stackferry import deadletters, events, topology
from stackferry.bus import Outgoing, Publisher
from stackferry.messages import DeadLettersDropped

from .telling import SOURCE


def make_room(uri: str, folder: str, most: int, publisher: Publisher) -> int:
    """Write the oldest of more than *most* into a file of *folder*, a line of JSON each; tell it; return how many.

    Without a folder they stay: a full parking queue loses its oldest (its policy says at how many bytes).
    """
    if not folder:
        return 0
    file = Path(folder, f"dead-letters-{time.strftime('%Y-%m-%d', time.gmtime())}.jsonl")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def keep(letter: dict[str, Any]) -> None:
        line = json.dumps(letter, ensure_ascii=True, default=str)
        with open(file, "a", encoding="ascii", opener=_private) as out:
            out.write(f"{line}\n")
            out.flush()
            os.fsync(out.fileno())

    if number := deadletters.overflow(uri, most, keep):
        event = DeadLettersDropped.make(SOURCE, {"number": number, "file": str(file)})
        key = events.key(None, None, None, DeadLettersDropped.called)
        publisher.publish(Outgoing.of(topology.EVENTS.name, key, event))
    return number


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
