"""From a migration's steps and the facts that follow to where each workload is. No I/O, and no clock of its own.

A fact touches one workload, and only the workloads that something is done with are looked at again: so that thousands
of volumes stay cheap. What facts can't tell (steps that are planned anew) :meth:`Progress.load` learns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from ..step_key import read
from ..undone import UNDOING
from .standing import Standing, together
from .workload import CHANGES, Row, Workload


class Progress:
    """Where the workloads of one migration are."""

    def __init__(self) -> None:
        self._groups: dict[str, Workload] = {}
        self._group_of: dict[str, str] = {}
        self._said: dict[str, Standing] = {}
        self._undoing = False

    def load(self, steps: Iterable[Row], now: float) -> None:
        """Take in all steps, as they are now (``Client.show``)."""
        old, self._groups, self._group_of, self._said = self._groups, {}, {}, {}
        by_group: dict[str, list[Row]] = defaultdict(list)
        for row in steps:
            if group := row.get("group"):
                by_group[group].append(row)
                self._group_of[row["key"]] = group
        for key, rows in by_group.items():
            self._groups[key] = Workload(key, rows, now, old.get(key))
            self._groups[key].undoing = self._undoing

    def take(self, name: str, data: Row, now: float) -> None:
        """Take in a fact, by its name (``step-progressed``)."""
        if name == "migration-changed":
            self._told_of_phase(str(data["phase"]))
        if name == "workload-changed":
            key = data["workload"]
        else:
            step = str(data.get("step") or "")
            key = self._group_of.get(read(step).of, "")
        workload = self._groups.get(key)
        if workload is not None and (change := CHANGES.get(name)):
            change(workload, data, now)
            self._said.pop(key, None)

    def _told_of_phase(self, phase: str) -> None:
        self._undoing = phase in UNDOING
        for workload in self._groups.values():
            workload.undoing = self._undoing
        self._said.clear()

    def standings(self, now: float) -> list[Standing]:
        """Every workload, in order."""
        for key, workload in self._groups.items():
            said = self._said.get(key)
            if said is None or said.active:
                self._said[key] = workload.standing(now)
        return [self._said[key] for key in self._groups]

    def total(self, now: float) -> tuple[Standing, Counter[str]]:
        """All of it as one, and how many workloads are in which phase."""
        return together(self.standings(now))
