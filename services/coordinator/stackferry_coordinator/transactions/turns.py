"""Migrations into one project take turns where they meet: each thing is made by one of them at a time.

Two of them that want a network of one name would both look for it, find none, and make it. So whoever is about to
look for a thing and make it notes that here, by its kind and name and by the source's id; others wait until it's over,
and then look afresh. A server, with all that is done for it, is one thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select
from stackferry.phases import OVER

from ..plan.ledger import Ledger
from ..plan.states import OPEN
from ..plan.step import Step
from ..rules.reactions import Do, react
from ..storage import tables as t

Facts = list[dict[str, Any]]


class Turns:
    """Who makes what at the destination of a migration, in one transaction."""

    def __init__(self, connection: Connection, upsert: Callable[..., Any], ledger: Ledger, now: float) -> None:
        self.connection, self.upsert, self.ledger, self.now = connection, upsert, ledger, now
        place = ledger.head.request.get("destination") or {}
        self.place = {"destination": place.get("cloud") or "", "project": place.get("project") or ""}
        self._is_locked = False

    def possible(self, dues: list[Do], facts: Facts) -> list[Do]:
        """Return the tries whose turn it is; the others rest, as *facts* then say."""
        can, left = [], list(dues)
        while left:
            due = left.pop(0)
            wanted = self._wanted(due)
            others = self._others(wanted) if wanted else []
            busy = next((row for row in others if self._is_busy(row)), None)
            if busy is not None:
                why = f"migration {busy.migration} is at it in the same project: it's waited for"
                left += self._tell("held-up", due, facts, reason=why)
                continue
            if others:
                self._tell("met", due, facts)
            if wanted:
                self._take(wanted, due)
            can.append(due)
        return can

    def _wanted(self, due: Do) -> list[str]:
        """What a try is about to look for and to make; nothing of most."""
        step = self.ledger.step(due.key)
        if step is None or due.verb or step.reversal.only_look:
            return []
        if step.action != "check" and (step.action != "ensure" or step.group):
            return []
        names = [("name", step.name), *([("id", step.source_id)] if step.source_id else [])]
        return [_digest(step.kind, sort, name) for sort, name in names]

    def _others(self, wanted: list[str]) -> list[Any]:
        """What other migrations have noted of these things."""
        if not self._is_locked and self.connection.dialect.name == "postgresql":
            key = int(_digest(*self.place.values())[:15], 16)
            self.connection.execute(select(func.pg_advisory_xact_lock(key)))  # two coordinators might both look now
            self._is_locked = True
        mine = [t.turn.c[name] == value for name, value in self.place.items()]
        query = select(t.turn).where(*mine, t.turn.c.thing.in_(wanted), t.turn.c.migration != self.ledger.head.id)
        return list(self.connection.execute(query))

    def _is_busy(self, row: Any) -> bool:
        """Whether the other migration isn't over with it: the step, its parts, or all that its server needs."""
        c = t.step.c
        parts = func.substr(c.key, 1, len(row.step) + 1) == f"{row.step}/"
        its_own = [c.key == row.step, parts, *([c.group == row.group] if row.group else [])]
        query = select(c.key).where(c.migration == row.migration, c.state.in_((*OPEN, "holding")), or_(*its_own))
        return self.connection.execute(query.limit(1)).first() is not None

    def _take(self, wanted: list[str], due: Do) -> None:
        step: Step | None = self.ledger.step(due.key)
        group = step.group if step else ""
        about = {"migration": self.ledger.head.id, "step": group or due.key, "group": group, "at": self.now}
        statement = self.upsert(t.turn).values([{**self.place, "thing": thing, **about} for thing in wanted])
        new = {name: statement.excluded[name] for name in about}
        self.connection.execute(
            statement.on_conflict_do_update(index_elements=["destination", "project", "thing"], set_=new)
        )

    def _tell(self, name: str, due: Do, facts: Facts, **more: Any) -> list[Do]:
        data = {"migration": self.ledger.head.id, "step": due.key, "attempt": due.attempt, **more}
        facts.append({"name": name, "data": data})
        return react(self.ledger, name, data, self.now)


def forget(connection: Connection, before: float) -> None:
    """Forget the turns of migrations that are over."""
    over = select(t.migration.c.id).where(t.migration.c.phase.in_(OVER))
    connection.execute(delete(t.turn).where(t.turn.c.at < before, t.turn.c.migration.in_(over)))


def _digest(*words: str) -> str:
    """Names may be long."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
