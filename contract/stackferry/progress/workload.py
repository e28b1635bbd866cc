"""One workload on its way: a server with its disks, or a volume by itself. What facts change, what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..messages import GOOD
from ..step_key import WARM, read
from .disks import Disk, Known
from .standing import Amount, Standing, together
from .words import CUTOVER, RANKS, SILENT, steady, word

CLOSED = ("done", "failed", "skipped", "removed")
Row = dict[str, Any]


class Workload:
    """A server with its disks, or a volume by itself."""

    def __init__(self, key: str, rows: list[Row], now: float, before: Workload | None) -> None:
        self.key, self.kind = key, read(key).kind
        head = next((row for row in rows if row["key"] == key), rows[0])
        self.name, self.state, self.reason = head.get("name") or "", head["state"], head.get("reason")
        self.failing: str | None = head.get("failing")
        self.results = dict(head.get("results") or {})
        self._said = ""
        self.undoing = False  # the whole migration
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

    def began(self, data: Row, now: float) -> None:
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
            again = data.get("retryable") or data["outcome"] in ("interrupted", "pending", "differs")
            if again:
                step.rest(data.get("reason"))
            else:
                step.state = "failed"
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
        if self.state == "removed" or (self.state == "failed" and self._was_undone()):
            return "taken back", None
        if self.state in ("failed", "skipped"):
            return self.state, self.reason
        undoing = any(step.takes_back and step.active for step in self.steps.values())
        if self.failing or undoing:
            return "taking back", self.failing
        said = _phase(self.steps.values())
        self._said = CUTOVER if said == "waiting" and self._between_passes() else steady(self._said, said)
        return self._said, self._held_up()

    def _held_up(self) -> str | None:
        """Why something that was tried is tried again; the reason is still said while it is."""
        failed = [step for step in _own(self.steps.values()) if step.active and step.reason]
        return next((f"{step.reason} (tries so far: {step.attempt})" for step in failed), None)

    def _was_undone(self) -> bool:
        """Whether it failed only because everything was to be taken back, and was."""
        taking = [step for step in self.steps.values() if step.takes_back]
        return self.undoing and bool(taking) and all(step.state in ("done", "removed") for step in taking)

    def _between_passes(self) -> bool:
        """Whether a warm pass is over, and nothing tells whether there will be another."""
        return any(disk.warm for disk in self.disks.values()) and all(d.between_passes for d in self.disks.values())

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
        open_ = open_ or (step.state not in CLOSED and step.name.removeprefix(WARM) not in SILENT)
        if step.active or step.state == "wanting":
            words.add(word(step.about.kind, step.name))
    for said in RANKS:
        if said in words:
            return said
    return "waiting" if open_ else "done"


def _own(steps: Iterable[Known]) -> Iterator[Known]:
    return (step for step in steps if not step.takes_back)


CHANGES = {
    "step-began": Workload.began,
    "step-progressed": Workload.progressed,
    "step-ended": Workload.ended,
    "workload-changed": Workload.changed,
}
