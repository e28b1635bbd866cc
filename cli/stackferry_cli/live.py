"""Following a migration: progress bars on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from typing import Protocol

from stackferry.client import FINAL, Client
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, NoAnswer
from stackferry.messages import MigrationChanged
from stackferry.progress import Progress

from .bars import Bars
from .lines import Lines
from .output import console

EVERY = 0.5  # seconds between two looks


class Display(Protocol):
    """What people see."""

    def __enter__(self) -> Display: ...
    def __exit__(self, *_: object) -> None: ...
    def fact(self, fact: Envelope) -> None:
        """Something happened."""

    def show(self, progress: Progress, now: float) -> None:
        """This is where everything is now."""


def follow(ferry: Client, migration: str, quiet: bool = False) -> None:
    """Show a migration until it has ended or needs a person.

    Raises BrokerUnavailable or NoAnswer, with how to watch it later, when nothing is heard of it any more.
    """
    state = ferry.show(migration)
    if state["phase"] in FINAL:
        return
    try:
        if quiet:
            for _ in ferry.follow(migration):
                pass
            return
        with Bars(state) if console.is_terminal else Lines() as display:
            _follow(ferry, state, display)
    except (BrokerUnavailable, NoAnswer) as error:
        later = f"The migration goes on without this screen: `stackferry watch {migration}` shows it."
        raise type(error)(f"{error}\n{later}") from None


def _follow(ferry: Client, state: dict, display: Display) -> None:  # type: ignore[type-arg]
    progress, shown = Progress(), 0.0
    progress.load(state["steps"], time.monotonic())
    while True:
        connections, fact = ferry.connections, ferry.hear(state["id"], EVERY)
        now = time.monotonic()
        if ferry.connections != connections:  # what was told meanwhile was missed
            again = ferry.show(state["id"])
            progress.load(again["steps"], now)
            if again["phase"] in FINAL:
                display.show(progress, now)
                return
        if fact is not None:
            display.fact(fact)
            progress.take(fact.type.split(".")[1], fact.data, now)
        if fact is not None and fact.type == MigrationChanged.type:
            if fact.data["phase"] in FINAL:
                display.show(progress, now)
                return
            if fact.data["phase"] != fact.data.get("was"):  # there are steps that weren't there before
                again = ferry.show(state["id"])
                progress.load(again["steps"], now)
                if again["phase"] in FINAL:  # though that isn't heard any more, if the connection was lost meanwhile
                    display.show(progress, now)
                    return
        if now - shown >= EVERY:
            display.show(progress, now)
            shown = now
