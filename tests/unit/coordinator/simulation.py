"""A world that is as unkind as the real one: messages come twice, late and in any order; workers die while the
cloud still works on their request; commands may have been sent twice. The core must come out of it whole.

What the workers promise is modelled as they keep it: nobody works on a try that it couldn't claim, and a request
takes effect at the latest SETTLE seconds after its sender died.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from stackferry.phases import refusal
from stackferry_coordinator.itinerary import Do, granted, opened, react
from stackferry_coordinator.ledger import Ledger
from stackferry_coordinator.moves import SETTLE

MIGRATION = "6b6f4f0c-5d3c-4c59-9d0b-0b6f1c1f0001"
FINAL = ("done", "undone", "cancelled", "stuck")


class Violation(AssertionError):
    """The world is not as it must be."""


@dataclass
class Command:
    """A command in the queue; ``delivered``: somebody got it once already."""

    key: str
    attempt: int
    action: str
    destination_id: str | None
    only_look: bool = False
    delivered: bool = False


@dataclass
class Request:
    """A request that the cloud will carry out at ``lands``; its sender may be dead by then."""

    key: str
    attempt: int
    lands: float
    alive: bool = True
    slow: bool = False


@dataclass
class Faults:
    """How unkind the world is, and which promise of the workers is broken on purpose."""

    crash: float = 0.1
    fail: float = 0.1
    permanent: float = 0.1
    duplicate: float = 0.1
    controls: tuple[str, ...] = ()
    work_unclaimed: bool = False
    never_look: bool = False


@dataclass
class World:
    """The simulation of one migration, from a seed."""

    documents: list[dict[str, Any]]
    seed: int
    faults: Faults
    ledger: Ledger = field(init=False)
    now: float = 0.0
    commands: list[Command] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    facts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    resources: dict[str, str] = field(default_factory=dict)  # id → key of the step that it's for
    log: list[tuple[str, dict[str, Any], float]] = field(default_factory=list)
    made: int = 0
    tokens: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.request = {"migration": MIGRATION, "destination": {"cloud": "dst"}, "parts": 1, "mode": "run"}
        self.ledger = opened(self.request)

    def run(self) -> str:
        """Play until the migration has ended and nothing is on its way; return the phase."""
        self._tell("request-migration", self.request)
        self._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": self.documents})
        controls = list(self.faults.controls)
        for _ in range(20000):
            if controls and self.random.random() < 0.02:
                self._control(controls.pop(0))
            if self._over() and not controls:
                break
            self._step()
        else:
            raise Violation(f"it doesn't end: {self.ledger.head}")
        self._check()
        return self.ledger.head.phase

    def _over(self) -> bool:
        return self.ledger.head.phase in FINAL and not (self.commands or self.requests or self.facts)

    def _control(self, action: str) -> None:
        if refusal(self.ledger.head.phase, self.ledger.head.paused, action) is None:
            self._tell("control-migration", {"migration": MIGRATION, "action": action})
        if self.ledger.head.paused:
            self._tell("control-migration", {"migration": MIGRATION, "action": "resume"})

    def _step(self) -> None:
        choices = [self._wait]
        if self.commands:
            choices += [self._deliver] * 3
        if self.requests:
            choices += [self._land] * 2
        if self.facts:
            choices += [self._report] * 3
        self.random.choice(choices)()

    # -- the coordinator ---------------------------------------------------------------------------------

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        self.log.append((name, data, self.now))
        for due in react(self.ledger, name, data, self.now):
            self._send(due)

    def _send(self, due: Do) -> None:
        step = self.ledger.step(due.key)
        only_look = self.ledger.head.phase == "undoing"
        command = Command(due.key, due.attempt, step.action, step.destination_id, only_look)
        self.commands.append(command)
        if self.random.random() < self.faults.duplicate:  # its sender died before it noted that it was sent
            self.commands.append(replace(command))

    # -- the bus -----------------------------------------------------------------------------------------

    def _wait(self) -> None:
        later = self.now + self.random.choice((0.1, 1.0, 5.0, 20.0))
        while any(r.lands <= later for r in self.requests):  # the cloud doesn't stand still while time goes by
            self._land()
        self.now = max(self.now, later)
        self._tell("tick", {"migration": MIGRATION})

    def _report(self) -> None:
        name, data = self.facts.pop(self.random.randrange(len(self.facts)))
        if self.random.random() < self.faults.duplicate and len(self.log) < 3000:
            self.facts.append((name, data))
        self._tell(name, data)

    def _deliver(self) -> None:
        command = self.commands.pop(self.random.randrange(len(self.commands)))
        again, dies = replace(command, delivered=True), self.random.random() < self.faults.crash
        if dies:
            self.commands.append(again)  # the broker gives it to somebody else
            if self.random.random() < 0.3:
                return  # it died before it did anything
        if not self._claim(command) and not self.faults.work_unclaimed:
            return
        if dies and self.random.random() < 0.5:
            return  # it claimed, and died
        if not dies and self.random.random() < self.faults.duplicate:
            self.commands.append(again)  # its connection was lost, but it works on
        self._work(command, alive=not dies)

    def _claim(self, command: Command) -> bool:
        self.tokens += 1
        claim = {"migration": MIGRATION, "step": command.key, "attempt": command.attempt}
        claim |= {"token": str(self.tokens), "again": command.delivered}
        self._tell("step-claimed", claim)
        return granted(self.ledger, claim)

    # -- the workers and the cloud -----------------------------------------------------------------------

    def _work(self, command: Command, alive: bool) -> None:
        if command.action == "remove":
            if self.resources.get(command.destination_id) and any(
                self.resources.get(other.destination_id)
                for key, hard in self.ledger.after(command.key.partition("/undo/")[0])
                if hard and (other := self.ledger.step(key)) and other.destination_id and "/undo/" in command.key
            ):
                raise Violation(f"{command.key} was removed before what stands on it")
            self.resources.pop(command.destination_id, None)
            if alive:
                self._reply(command, "removed")
            return
        for before, hard in self.ledger.before(command.key):
            if hard and before not in self.resources.values() and not self.ledger.step(before).action == "finish":
                raise Violation(f"{command.key} was begun before {before} was there")
        found = [id_ for id_, key in self.resources.items() if key == command.key]
        looks = command.attempt > 1 and not self.faults.never_look
        if command.action == "finish" or (looks and found):
            if alive:  # what is younger than the first try is known as ours
                ids = {"destination_id": found[0] if found else None, "also_made": found[1:]}
                self._reply(command, "created" if found else "unchanged", **ids)
            return
        if command.only_look and command.action == "ensure":
            if alive:
                self._reply(command, "unchanged")
            return
        if self.random.random() < self.faults.fail:
            if alive:
                permanent = self.random.random() < self.faults.permanent
                self._reply(command, "failed", retryable=not permanent, reason="no")
            return
        takes = self.random.uniform(0, SETTLE * (3 if alive else 0.9))
        slow = takes > SETTLE * 0.9  # the known limit: slower than SETTLE, and its answer lost as well
        self.requests.append(Request(command.key, command.attempt, self.now + takes, alive, slow))

    def _land(self) -> None:
        request = min(self.requests, key=lambda r: r.lands)
        self.requests.remove(request)
        self.now = max(self.now, request.lands)
        self.made += 1
        id_ = f"id{self.made}"
        self.resources[id_] = request.key
        if not request.alive:
            return
        if not request.slow and self.random.random() < self.faults.crash:  # it worked, but the answer was lost
            self._reply(request, "interrupted", retryable=True)
        else:
            self._reply(request, "created", destination_id=id_)

    def _reply(self, command: Any, outcome: str, **more: Any) -> None:
        data = {"migration": MIGRATION, "step": command.key, "attempt": command.attempt, "outcome": outcome, **more}
        self.facts.append(("step-ended", data))

    # -- what must be true in the end ----------------------------------------------------------------------

    def _check(self) -> None:
        steps = self.ledger.all()
        phase = self.ledger.head.phase
        by_key: dict[str, list[str]] = {}
        for id_, key in self.resources.items():
            by_key.setdefault(key, []).append(id_)
        for step in steps:
            if step.action != "ensure":
                continue
            there = by_key.get(step.key, [])
            if phase == "done" and step.state == "done" and there != [step.destination_id]:
                raise Violation(f"{step.key} is {step.destination_id}, but the world has {there}")
            if phase == "done" and step.state == "skipped" and there:
                raise Violation(f"{step.key} was skipped, but the world has {there}")
            if phase == "undone" and there:
                raise Violation(f"{step.key} was undone, but the world has {there}")
        if phase == "done" and (wrong := [s for s in steps if s.state not in ("done", "failed", "skipped", "removed")]):
            raise Violation(f"it's done, but {wrong[0].key} is {wrong[0].state}")
        for step in steps:
            if step.state == "done" and any(
                hard and self.ledger.step(before).state != "done" for before, hard in self.ledger.before(step.key)
            ):
                raise Violation(f"{step.key} is done without what it needs")
