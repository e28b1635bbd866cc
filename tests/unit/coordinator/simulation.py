"""A world that is as unkind as the real one: messages come twice, late and in any order; workers die while the
cloud still works on their request; commands may have been sent twice. The core must come out of it whole.

What the workers promise is modelled as they keep it: nobody works on a try that it couldn't claim, a request takes
effect at the latest SETTLE seconds after its sender died, and an offer serves one guest. ``payloads`` has the workers'
part of a payload's way.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from stackferry import messages
from stackferry.errors import InvalidMessage
from stackferry_coordinator.commands.resources import command as command_of
from stackferry_coordinator.hosts.offers import possible
from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.plan.step import Step
from stackferry_coordinator.rules.reactions import Do, granted, opened, react
from stackferry_coordinator.rules.slices import GO_ON
from stackferry_coordinator.rules.transitions import SETTLE

from .listening import check_listens
from .operator import OVER, Operator
from .payloads import Copy, Payloads, Violation
from .slicing import sliced

MIGRATION = "6b6f4f0c-5d3c-4c59-9d0b-0b6f1c1f0001"
FINAL = ("done", "undone", "cancelled", "stuck")
ROOM = "room"
ACTIONS = {
    messages.ExportProject: "export", messages.OfferImage: "offer", messages.FetchImage: "fetch",
    messages.EnsureResource: "ensure", messages.CompareResource: "compare", messages.FinishResource: "finish", messages.RemoveResource: "remove",
    messages.PerformAction: ROOM,
}  # fmt: skip
THEIRS, OURS = "theirs", "ours"
#: what does no harm when it's done twice
UNCLAIMED = ("export", "fetch")


def id_of_theirs(key: str) -> str:
    """The id of what was there before a step was asked for."""
    return f"theirs-{key}"


def recognised(id_: str, born: float, hints: dict[str, Any]) -> bool:
    """Whether an importer, with all it's told, knows what an earlier try has made."""
    if id_ in (hints.get("destination_id"), hints.get("new_id")) or hints.get("marker"):
        return True
    return hints.get("first_asked") is not None and born >= int(hints["first_asked"])


@dataclass
class Command:
    """A command in the queue; ``delivered``: somebody got it once already."""

    key: str
    attempt: int
    action: str
    data: dict[str, Any]
    delivered: bool = False

    @property
    def hints(self) -> dict[str, Any]:
        return self.data.get("hints") or {}


@dataclass
class Faults:
    """How unkind the world is, and which promise of the workers is broken on purpose."""

    crash: float = 0.1
    fail: float = 0.1
    permanent: float = 0.1
    duplicate: float = 0.1
    controls: tuple[str, ...] = ()
    haste: float = 0.02  # how soon the next control is told
    planned: bool = False  # whether it's planned first
    work_unclaimed: bool = False
    never_look: bool = False
    half_is_whole: bool = False
    write_unrecorded: bool = False
    there: float = 0.2  # how many of the networks are there before

    @property
    def none(self) -> bool:
        """Whether nothing goes wrong."""
        return not (self.crash or self.fail or self.duplicate)


@dataclass
class World:
    """The simulation of one migration, from a seed; images come from a source cloud, other documents as they are."""

    documents: list[dict[str, Any]]
    seed: int
    faults: Faults
    ledger: Ledger = field(init=False)
    now: float = 0.0
    commands: list[Command] = field(default_factory=list)
    facts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    begun: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)  # what will happen, and when
    resources: dict[str, str] = field(default_factory=dict)  # id → key of the step that it's for
    born: dict[str, float] = field(default_factory=dict)  # id → when it was made
    is_played: bool = False
    log: list[tuple[str, dict[str, Any], float]] = field(default_factory=list)
    undone: int = 0  # how often it was told to
    theirs: dict[str, str] = field(default_factory=dict)  # step → what is written on what was there before it

    def __post_init__(self) -> None:
        self.random, self.numbers = random.Random(self.seed), itertools.count(1)
        self.request = {"migration": MIGRATION, "destination": {"cloud": "dst"}, "mode": "run"}
        if self.faults.planned:
            self.request["mode"] = "plan"
        images = any(d["type"] == "openstack.image.Image" for d in self.documents)
        self.request |= {"source": {"cloud": "src"}} if images else {"parts": 2}
        self.ledger = opened(self.request)
        self.operator = Operator(list(self.faults.controls), self.random, self.faults.haste)
        self.payloads = Payloads(self)
        before = random.Random(f"{self.seed} before")
        keys = [f"network/{d['_info']['id']}" for d in self.documents if d["type"] == "openstack.network.Network"]
        self.theirs = {key: THEIRS for key in keys if before.random() < self.faults.there}
        self.importers_from = self.random.uniform(0, 200) if self.chance("crash") else 0.0

    def run(self) -> str:
        """Play until the migration has ended and nothing is on its way; return the phase."""
        self.is_played = True
        self._tell("request-migration", self.request)
        if "parts" in self.request:
            for part, documents in enumerate(self._halves(), 1):
                about = {"migration": MIGRATION, "part": part, "documents": documents}
                self.facts.append(("submit-documents", about))
        for _ in range(20000):
            if word := self.operator.speaks(self.ledger, self._quiet()):
                self._tell("control-migration", {"migration": MIGRATION, "action": word})
                self.undone += word == "undo"
            elif self._over():
                break
            else:
                self._step()
        else:
            raise Violation(f"it doesn't end: {self.ledger.head}")
        self._check()
        return self.ledger.head.phase

    def _halves(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        half = len(self.documents) // 2
        return self.documents[:half], self.documents[half:]

    def chance(self, fault: str) -> bool:
        """Whether this fault strikes now."""
        return self.random.random() < getattr(self.faults, fault)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something happen then, whatever the coordinator does."""
        heapq.heappush(self.begun, (self.now + seconds, next(self.numbers), what))

    def _over(self) -> bool:
        return self.ledger.head.phase in OVER and self._quiet()

    def _quiet(self) -> bool:
        """Whether nothing is on its way."""
        return not (self.commands or self.begun or self.facts or self.ledger.head.agenda)

    def _step(self) -> None:
        choices = [self._deliver] * 3 * bool(self.commands) + [self._report] * 3 * bool(self.facts)
        choices += [self._go_on] * bool(self.ledger.head.agenda)
        if not (choices and self.faults.none):  # else every message is taken in at once
            soon = self.begun and self.begun[0][0] < self.now + 20
            choices += [self._wait, *[self._happen] * 2 * bool(soon)]
        self.random.choice(choices)()

    def _go_on(self) -> None:
        self._tell(GO_ON, {"migration": MIGRATION})

    # -- the coordinator ---------------------------------------------------------------------------------

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        self.log.append((name, data, self.now))
        with sliced(self.seed, self.is_played):
            dues = react(self.ledger, name, data, self.now)
        self.operator.hears(dues)
        if self.now < self.importers_from:
            dues = self._postponed(dues)
        for due in dues:
            self._send(due)
        if name == "step-ended":
            self.payloads.hear(data)

    def _postponed(self, dues: list[Do]) -> list[Do]:
        """What the coordinator does while no importer is there to fetch."""
        facts: list[dict[str, Any]] = []
        can = possible(self.ledger, dues, lambda who: [], facts, self.now)
        self.log += [(fact["name"], fact["data"], self.now) for fact in facts]
        return can

    def _send(self, due: Do) -> None:
        message, data, queue = command_of(self.ledger, due, lambda *_: None, ["an importer's certificate"])
        try:
            message.load_data(data)  # as the coordinator does
        except InvalidMessage as error:
            raise Violation(f"{due.key} can't be asked for: {error}") from error
        check_listens(self.ledger, due, queue)
        command = Command(due.key, due.attempt, ACTIONS[message], data)
        if command.action in ("offer", "fetch"):
            self.payloads.ask(command)
        self.commands.append(command)
        if self.chance("duplicate"):  # its sender died before it noted that it was sent
            self.commands.append(replace(command))

    # -- the bus -----------------------------------------------------------------------------------------

    def _wait(self) -> None:
        later = self.now + self.random.choice((0.1, 1.0, 5.0, 20.0))
        while self.begun and self.begun[0][0] <= later:  # the world doesn't stand still while time goes by
            self._happen()
        self.now = max(self.now, later)
        self._tell("tick", {"migration": MIGRATION})

    def _happen(self) -> None:
        at, _, what = heapq.heappop(self.begun)
        self.now = max(self.now, at)
        what()

    def _report(self) -> None:
        name, data = self.facts.pop(self.random.randrange(len(self.facts)))
        if self.chance("duplicate") and len(self.log) < 3000:
            self.facts.append((name, data))
        self._tell(name, data)

    def _deliver(self) -> None:
        command = self.commands.pop(self.random.randrange(len(self.commands)))
        again, dies = replace(command, delivered=True), self.chance("crash")
        if dies:
            self.commands.append(again)  # the broker gives it to somebody else
            if self.random.random() < 0.3:
                return  # it died before it did anything
        if not (command.action in UNCLAIMED or self._claim(command) or self.faults.work_unclaimed):
            return
        if dies and self.random.random() < 0.5:
            return  # it claimed, and died
        if not dies and self.chance("duplicate"):
            self.commands.append(again)  # its connection was lost, but it works on
        work = {"export": self._export, "offer": self.payloads.offer, "fetch": self.payloads.fetch}
        work.get(command.action, self._work)(command, not dies)

    def _claim(self, command: Command) -> bool:
        claim = {"migration": MIGRATION, "step": command.key, "attempt": command.attempt}
        claim |= {"token": str(next(self.numbers)), "again": command.delivered}
        self._tell("step-claimed", claim)
        return granted(self.ledger, claim)

    # -- the workers and the cloud -----------------------------------------------------------------------

    def _export(self, command: Command, alive: bool) -> None:
        """Publish the documents in two parts, as far as it lives."""
        about = {"migration": MIGRATION, "attempt": command.attempt}
        for part, documents in enumerate(self._halves()[: 1 + alive], 1):
            self.facts.append(("documents-exported", {**about, "part": part, "documents": documents}))
        if alive and self.chance("fail"):
            self.facts.append(("export-ended", {**about, "outcome": "failed", "retryable": True, "reason": "no"}))
        elif alive:
            self.facts.append(("export-ended", {**about, "outcome": "done", "parts": 2}))

    def _work(self, command: Command, alive: bool) -> None:
        if command.action == ROOM:
            if self.resources:
                raise Violation("it was asked whether all fits when something had been made")
            failed = {"retryable": True, "reason": "no"} if self.chance("fail") else {}
            self._reply(command, "failed" if failed else "done", alive, **failed)
            return
        if command.action == "remove":
            self._remove(command, alive)
            return
        if command.action == "compare":
            failed = self.chance("fail")
            more = {"retryable": not self.chance("permanent"), "reason": "no"} if failed else {}
            self._reply(command, "failed" if failed else "created", alive, **more)
            return
        self._check_order(command)
        if command.key in self.theirs and command.action == "ensure":
            self._update(command, alive)
            return
        found = [id_ for id_, key in self.resources.items() if key == command.key]
        if command.action == "ensure":
            found = [id_ for id_ in found if recognised(id_, self.born[id_], command.hints)]
        looks = command.hints.get("look") and not self.faults.never_look
        if command.action == "finish" or (looks and found):
            self._found(command, found, alive)
        elif command.hints.get("only_look"):
            self._reply(command, "unchanged", alive)
        elif self.chance("fail"):
            self._reply(command, "failed", alive, retryable=not self.chance("permanent"), reason="no")
        else:
            # The known limit: slower than SETTLE, and its answer lost as well; unless we have chosen the id.
            unlimited = "new_id" in command.hints and "undo" not in self.faults.controls
            takes = self.random.uniform(0, SETTLE * (3 if alive or unlimited else 0.9))
            slow = takes > SETTLE * 0.9 and not unlimited
            self.later(takes, partial(self._land, command, alive, slow))

    def _update(self, command: Command, alive: bool) -> None:
        """What was there before is changed, once it's known what it was."""
        hints, there = command.hints, {"destination_id": id_of_theirs(command.key)}
        if hints.get("only_look") or self.theirs[command.key] == OURS:
            self._reply(command, "unchanged", alive, **there)
        elif there["destination_id"] not in hints["replaced"] and not self.faults.write_unrecorded:
            self._reply(command, "differs", alive, **there, replaces={"description": [THEIRS, OURS]})
        elif self.chance("fail"):
            self._reply(command, "failed", alive, retryable=not self.chance("permanent"), reason="no")
        else:
            self.later(self.random.uniform(0, SETTLE * 0.9), partial(self._land_update, command, alive, there))

    def _land_update(self, command: Command, alive: bool, there: dict[str, Any]) -> None:
        self.theirs[command.key] = OURS
        lost = alive and self.chance("crash")
        self._reply(command, "interrupted" if lost else "updated", alive, **({"retryable": True} if lost else there))

    def _remove(self, command: Command, alive: bool) -> None:
        if command.hints.get("replaced"):
            if self.chance("fail"):
                self._reply(command, "failed", alive, retryable=not self.chance("permanent"), reason="it's busy")
                return
            self.theirs[command.key.partition("/undo/")[0]] = THEIRS
            self._reply(command, "restored", alive)
            return
        id_, (owner, undo, _) = command.hints["destination_id"], command.key.partition("/undo/")
        upon = [self.ledger.step(key) for key, hard in self.ledger.after(owner) if hard]
        there = [step for step in upon if step and self.resources.get(str(step.destination_id)) == step.key]
        in_use = bool(undo and id_ in self.resources and there)
        if in_use and self.undone < 2:  # a second undo may begin with it before it knows what a lost try has made
            raise Violation(f"{command.key} was removed before what stands on it")
        if in_use or (undo and self.chance("fail")):
            self._reply(command, "failed", alive, retryable=not self.chance("permanent"), reason="it's in use")
            return
        self.resources.pop(id_, None)
        self.payloads.copies.pop(id_, None)
        self._reply(command, "removed", alive)

    def _check_order(self, command: Command) -> None:
        for before, hard in self.ledger.before(command.key):
            there = before in self.theirs or before in self.resources.values()
            if before == ROOM:
                there = self.ledger.step(before).state == "done"
            if hard and not there and not self.ledger.step(before).action == "finish":
                raise Violation(f"{command.key} was begun before {before} was there")

    def _found(self, command: Command, found: list[str], alive: bool) -> None:
        ids = {"destination_id": found[0] if found else None, "also_made": found[1:]}
        self._reply(command, "created" if found else "unchanged", alive, **ids)

    def _land(self, command: Command, alive: bool, slow: bool) -> None:
        """The cloud carries out a request; a second one for an id that we have chosen is refused, and looked up."""
        id_ = command.hints.get("new_id") or f"id{next(self.numbers)}"
        if id_ not in self.resources and command.hints.get("new_id"):
            self.payloads.copies[id_] = Copy()
        self.resources[id_] = command.key
        self.born[id_] = self.now
        if alive and not slow and self.chance("crash"):  # it worked, but the answer was lost
            self._reply(command, "interrupted", alive, retryable=True)
        else:
            self._reply(command, "created", alive, destination_id=id_)

    def _reply(self, command: Command, outcome: str, alive: bool, **more: Any) -> None:
        if not alive:
            return
        copy = self.payloads.copies.get(more.get("destination_id", ""))
        about = {"migration": MIGRATION, "step": command.key, "attempt": command.attempt, "outcome": outcome}
        missing = copy is not None and copy.status != "active"
        self.facts.append(("step-ended", {**about, "payload_missing": missing, **more}))

    # -- what must be true in the end ----------------------------------------------------------------------

    def _check(self) -> None:
        steps, phase = self.ledger.all(), self.ledger.head.phase
        by_key: dict[str, list[str]] = {}
        for id_, key in self.resources.items():
            by_key.setdefault(key, []).append(id_)
        for step in steps:
            if step.action == "ensure":
                self._check_resource(step, by_key.get(step.key, []))
            self._check_step(step)
        if phase == "done" and (wrong := [s for s in steps if s.state not in ("done", "failed", "skipped", "removed")]):
            raise Violation(f"it's done, but {wrong[0].key} is {wrong[0].state}")
        if phase in ("planned", "done") and len(self.ledger.documents) < len(self.documents):
            raise Violation(
                f"it's {phase}, but of {len(self.documents)} documents it knows {len(self.ledger.documents)}"
            )
        causes = [s for s in steps if s.state == "failed" and s.action in ("export", "ensure", "remove")]
        if phase == "stuck" and not causes:
            raise Violation(f"it's stuck, though nothing is in doubt: {self.ledger.head.reason}")
        self.payloads.check(self.ledger)

    def _check_resource(self, step: Step, there: list[str]) -> None:
        phase = self.ledger.head.phase
        if step.key in self.theirs:
            self._check_theirs(step, there)
            return
        if phase == "done" and step.state == "done" and there != [step.destination_id]:
            raise Violation(f"{step.key} is {step.destination_id}, but the world has {there}")
        if phase == "done" and step.state == "skipped" and there:
            raise Violation(f"{step.key} was skipped, but the world has {there}")
        if phase == "undone" and there:
            raise Violation(f"{step.key} was undone, but the world has {there}")

    def _check_theirs(self, step: Step, there: list[str]) -> None:
        phase, is_ours = self.ledger.head.phase, self.theirs[step.key] == OURS
        if there:
            raise Violation(f"{step.key} was there before, and the world has {there}, too")
        if phase == "undone" and is_ours:
            raise Violation(f"{step.key} was undone, but isn't as it was before")
        told, right = (step.destination_id, step.outcome, is_ours), (id_of_theirs(step.key), "updated", True)
        if phase == "done" and step.state == "done" and told != right:
            raise Violation(f"{step.key} is {told}, not {right}")

    def _check_step(self, step: Step) -> None:
        needs = [key for key, hard in self.ledger.before(step.key) if hard]
        if step.state == "done" and any(self.ledger.step(key).state != "done" for key in needs):
            raise Violation(f"{step.key} is done without what it needs")
        tries = 1 + self.faults.planned + (step.key in self.theirs)
        if self.faults.none and "retry" not in self.faults.controls and step.attempt > tries:
            raise Violation(f"nothing went wrong, but {step.key} was tried {step.attempt} times: {step.reason}")
