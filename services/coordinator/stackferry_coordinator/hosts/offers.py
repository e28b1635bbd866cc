"""Tries by which one side offers bytes and another fetches them: who that is, and whether they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from ..plan.itinerary import place_of
from ..plan.ledger import Ledger
from ..rules.reactions import MOVING, Do, react
from . import presence

IMPORTERS = "importers"


class Peers:
    """The certificates of those that answer, asked for once in a transaction."""

    def __init__(self, connection: Connection, now: float) -> None:
        self.connection, self.now = connection, now
        self._known: dict[str, list[str]] = {}

    def of(self, who: str) -> list[str]:
        """The certificates of the importers, or of the agents on a conversion host."""
        if who not in self._known:
            importers, about = who == IMPORTERS, (self.connection, self.now)
            self._known[who] = presence.importers(*about) if importers else presence.agents_on(about[0], who, about[1])
        return self._known[who]


def guest(ledger: Ledger, due: Do) -> str | None:
    """Who fetches what this try offers: the importers, or a conversion host by its id; None for any other try."""
    step = ledger.step(due.key)
    if step is None or step.action not in MOVING or due.verb:
        return None
    return IMPORTERS if step.action == "transfer" else _host(ledger, step.key, "destination_host")


def possible(
    ledger: Ledger, dues: list[Do], answering: Callable[[str], list[str]], facts: list[dict[str, Any]], now: float
) -> list[Do]:
    """Return the tries that can be made now; offers that nobody could make or fetch rest, as *facts* then say."""
    can, left = [], list(dues)
    while left:
        due = left.pop(0)
        silent = next((who for who in _both(ledger, due) if not answering(who)), None)
        if silent is None:
            can.append(due)
            continue
        importers = silent == IMPORTERS
        what = "no importer has shown its certificate yet" if importers else f"no agent answers on host {silent}"
        data = {"migration": ledger.head.id, "step": due.key, "attempt": due.attempt, "reason": what}
        facts.append({"name": "postponed", "data": data})
        left += react(ledger, "postponed", data, now)
    return can


def _both(ledger: Ledger, due: Do) -> list[str]:
    """Who fetches what this try offers, and which conversion host offers it: either must answer."""
    who = guest(ledger, due)
    if who is None or who == IMPORTERS:
        return [who] if who else []
    return [who, _host(ledger, due.key, "source_host")]


def _host(ledger: Ledger, key: str, side: str) -> str:
    place = ledger.step(place_of(key))
    return str(place.results.get(side, "")) if place else ""
