"""Parked messages: people see and settle them; of too many, the oldest leave the broker for a file."""

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

SHOWN = 500  # of the oldest, which people see and can settle; after these come the next
ROOM = 400_000  # bytes of them that are told at once: an answer has at most a MiB
TOLD = ("queue", "type", "migration", "reason", "error", "attempts")


def describe(uri: str) -> dict[str, Any]:
    """The oldest parked messages, without their bodies, and how many there are: the content of DeadLetters."""
    number, letters, left = deadletters.count(uri), [], ROOM
    for letter in deadletters.browse(uri, SHOWN) if number else ():
        told = {"id": letter["digest"], "message_id": letter["id"], **{name: letter[name] for name in TOLD}}
        told["error"] = _short(told["error"])
        left -= len(json.dumps(told))
        if left < 0:
            break
        letters.append(told)
    return {"letters": letters, "number": max(number, len(letters))}


def settle(uri: str, ids: list[str], action: str) -> dict[str, Any]:
    """Put some of the oldest back, or drop them: the content of Settled."""
    asked = set(ids)
    do = deadletters.drop if action == "drop" else deadletters.retry
    found = do(uri, lambda letter: letter["digest"] in asked, SHOWN)
    stay = {letter["digest"]: _short(letter["stays"]) for letter in found if letter.get("stays")}
    there = {letter["digest"] for letter in found}
    return {
        "done": sorted(there - stay.keys()), "stay": stay,
        "missing": [id_ for id_ in dict.fromkeys(ids) if id_ not in there],
    }  # fmt: skip


def _short(text: Any) -> str | None:
    """The beginning of a text that may hold anything."""
    return None if text is None else str(text)[:500].encode("utf-8", "replace").decode()


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
