"""From a migration's steps and the facts that follow to where each workload is. No I/O, and no clock of its own.

A fact touches one workload, and only the workloads that something is done with are looked at again: so that thousands
of volumes stay cheap. What facts can't tell (steps that are planned anew) :meth:`Progress.load` learns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from .disks import Disk, Known
from .standing import Amount, Standing, together
from .words import RANKS, SILENT, steady, word

GOOD = ("created", "updated", "unchanged", "done", "removed")
CLOSED = ("done", "failed", "skipped", "removed")
Row = dict[str, Any]


class Progress:
    """Where the workloads of one migration are."""

    def __init__(self) -> None:
        self._groups: dict[str, _Workload] = {}
        self._group_of: dict[str, str] = {}
        self._said: dict[str, Standing] = {}

    def load(self, steps: Iterable[Row], now: float) -> None:
        """Take in all steps, as they are now (``Client.show``)."""
        old, self._groups, self._group_of, self._said = self._groups, {}, {}, {}
        by_group: dict[str, list[Row]] = defaultdict(list)
        for row in steps:
            if group := row.get("group"):
                by_group[group].append(row)
                self._group_of[row["key"]] = group
        for key, rows in by_group.items():
            self._groups[key] = _Workload(key, rows, now, old.get(key))

    def take(self, name: str, data: Row, now: float) -> None:
        """Take in a fact, by its name (``step-progressed``)."""
        if name == "workload-changed":
            key = data["workload"]
        else:
            step = str(data.get("step") or "")
            key = self._group_of.get(step.partition("/undo/")[0].partition("/surplus/")[0], "")
        workload = self._groups.get(key)
        if workload is not None and (change := CHANGES.get(name)):
            change(workload, data, now)
            self._said.pop(key, None)

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


class _Workload:
    """A server with its disks, or a volume by itself."""

    def __init__(self, key: str, rows: list[Row], now: float, before: _Workload | None) -> None:
        self.key, self.kind = key, key.partition("/")[0]
        head = next((row for row in rows if row["key"] == key), rows[0])
        self.name, self.state, self.reason = head.get("name") or "", head["state"], head.get("reason")
        self.failing: str | None = head.get("failing")
        self.results = dict(head.get("results") or {})
        self._said = ""
        self.steps = {row["key"]: Known(row) for row in rows}
        names = {row["key"]: row.get("name") or "" for row in rows}
        self.disks: dict[str, Disk] = {}
        for step in self.steps.values():
            if step.subject.startswith("volume/") and not step.takes_back:
                disk = self.disks.get(step.subject)
                if disk is None:
                    meter = before.disks[step.subject].meter if before and step.subject in before.disks else None
                    name = names.get(step.subject, "")
                    disk = self.disks[step.subject] = Disk(step.subject, name, meter, now)
                disk.add(step, now)

    # -- facts -------------------------------------------------------------------------------------------

    def claimed(self, data: Row, now: float) -> None:
        """Somebody begins with a step."""
        step = self._step(data)
        if step.begins(data["attempt"]):
            self._begun(step)

    def progressed(self, data: Row, now: float) -> None:
        """A step is so far."""
        step = self._step(data)
        if step.begins(data["attempt"]):
            self._begun(step)
        if step.state == "asked" and step.attempt == data["attempt"]:
            moved = step.moved_to(data["done"], data.get("total"))
            if disk := self.disks.get(step.subject):
                disk.moved(moved, now)

    def ended(self, data: Row, now: float) -> None:
        """A try of a step is over."""
        step = self._step(data)
        late = data["attempt"] < step.attempt or (data["attempt"] == step.attempt and step.state in CLOSED)
        if late:
            return
        step.attempt = data["attempt"]
        if data["outcome"] not in GOOD:
            step.state = "resting"
            return
        moved = step.finish()
        if disk := self.disks.get(step.subject):
            disk.moved(moved, now)
            disk.learn(step.name, data.get("results") or {})
        if step.name == "check" and data["outcome"] != "created":
            self._spare(data["outcome"])

    def changed(self, data: Row, now: float) -> None:
        """What the coordinator says of the whole."""
        self.state, self.reason = data["state"], data.get("reason")
        self.failing = self.reason if self.state == "failing" else None
        self.results.update(data.get("results") or {})

    def _step(self, data: Row) -> Known:
        key = data["step"]
        if key not in self.steps:  # it takes something back, or away
            self.steps[key] = Known({"key": key, "state": "waiting", "attempt": 0})
        return self.steps[key]

    def _begun(self, step: Known) -> None:
        if step.warm and (disk := self.disks.get(step.subject)):
            disk.begin_pass(step)

    def _spare(self, outcome: str) -> None:
        """It was at the destination before: nothing is moved."""
        for step in self.steps.values():
            if step.key != self.key or outcome == "unchanged":
                step.spare()

    # -- what is said --------------------------------------------------------------------------------------

    def standing(self, now: float) -> Standing:
        """Where it is."""
        phase, reason = self._phase()
        disks = tuple(self._disk(disk, phase, now) for disk in self.disks.values())
        whole, _ = together(disks)
        lost = phase in ("failed", "skipped", "taken back", "taking back")
        turn = max((disk.turn for disk in disks), default=1)
        return Standing(
            self.key, self.kind, self.name, phase, reason, turn, any(disk.warm for disk in disks),
            Amount() if lost else whole.copied, Amount() if lost else whole.verified, whole.rate, disks, self.results,
        )  # fmt: skip

    def _phase(self) -> tuple[str, str | None]:
        if self.state in ("failed", "skipped"):
            return self.state, self.reason
        if self.state == "removed":
            return "taken back", None
        undoing = any(step.takes_back and step.active for step in self.steps.values())
        if self.failing or undoing:
            return "taking back", self.failing
        self._said = steady(self._said, _phase(self.steps.values()))
        return self._said, None

    def _disk(self, disk: Disk, phase: str, now: float) -> Standing:
        disk.said = steady(disk.said, _phase(disk.steps))
        own = phase if phase in ("failed", "skipped", "taken back", "taking back") else disk.said
        copied, verified = disk.copied(), disk.verified()
        rate = disk.meter.rate(now) if own in ("copying", "verifying") else 0.0
        return Standing(disk.key, "volume", disk.name, own, None, disk.turn, disk.warm, copied, verified, rate)


def _phase(steps: Iterable[Known]) -> str:
    """What is done with these steps' subject."""
    words, open_ = set(), False
    for step in _own(steps):
        open_ = open_ or (step.state not in CLOSED and step.name not in SILENT)
        if step.active or step.state == "wanting":
            words.add(word(step.subject, step.name))
    for said in RANKS:
        if said in words:
            return said
    return "waiting" if open_ else "done"


def _own(steps: Iterable[Known]) -> Iterator[Known]:
    return (step for step in steps if not step.takes_back)


CHANGES = {
    "step-claimed": _Workload.claimed,
    "step-progressed": _Workload.progressed,
    "step-ended": _Workload.ended,
    "workload-changed": _Workload.changed,
}
