"""Two clouds with servers and disks, conversion hosts, and workers that die at any moment; for the workloads' rules.

Each action takes effect as the real one does: again and again with the same result. A worker may die before its
request takes effect, while the cloud still works on it, or afterwards, before it has answered.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from stackferry.phases import refusal
from stackferry_coordinator.assignment import Fleet, Host, assign
from stackferry_coordinator.commands import command
from stackferry_coordinator.itinerary import Do, granted, opened, react
from stackferry_coordinator.ledger import Ledger
from stackferry_coordinator.moves import SETTLE

from .simulation import FINAL, MIGRATION, Violation

Answer = dict[str, Any]


@dataclass
class Unkind:
    """How unkind the world is. *broken*: the action that never works; *after*: though it takes effect."""

    crash: float = 0.1
    fail: float = 0.1
    permanent: float = 0.1
    duplicate: float = 0.1
    controls: tuple[str, ...] = ()
    broken: str = ""
    after: bool = False


@dataclass
class Command:
    """A command in a queue; ``delivered``: somebody got it once already."""

    do: Do
    delivered: bool = False


@dataclass
class Request:
    """A request that a cloud will carry out at ``lands``; its sender may be dead by then."""

    do: Do
    lands: float
    effect: Callable[[], Answer]
    alive: bool


@dataclass
class Clouds:
    """What is there."""

    power: dict[str, str] = field(default_factory=dict)  # source server → status
    attached: dict[str, str | None] = field(default_factory=dict)  # volume of either cloud → server
    clones: dict[str, str] = field(default_factory=dict)  # marker → volume at the source
    made: dict[str, str] = field(default_factory=dict)  # id at the destination → step
    content: dict[str, set[int]] = field(default_factory=dict)  # destination volume → segments that it has
    verified: dict[str, set[int]] = field(default_factory=dict)


@dataclass
class WorkloadWorld:
    """The simulation of one migration of servers, from a seed."""

    documents: list[dict[str, Any]]
    seed: int
    unkind: Unkind
    slots: int = 2
    now: float = 0.0
    ledger: Ledger = field(init=False)
    clouds: Clouds = field(default_factory=Clouds)
    commands: list[Command] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    facts: list[tuple[str, Answer]] = field(default_factory=list)
    log: list[tuple[str, Answer, float]] = field(default_factory=list)
    served: set[tuple[str, int]] = field(default_factory=set)
    counter: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.request = {"migration": MIGRATION, "source": {"cloud": "src"}, "destination": {"cloud": "dst"},
                        "mode": "run", "parts": 1}  # fmt: skip
        self.ledger = opened(self.request)
        self.servers = {d["_info"]["id"]: d for d in self.documents if "ports" in d["params"]}
        for id_, document in self.servers.items():
            self.clouds.power[id_] = document["_info"]["status"]
            for volume in document["params"]["volumes"]:
                self.clouds.attached[volume["_info"]["id"]] = id_
        self.loose = [d["_info"]["id"] for d in self.documents if d["type"].endswith("ServerVolume")]

    # -- playing -----------------------------------------------------------------------------------------

    def run(self) -> str:
        """Play until the migration has ended and nothing is on its way; return the phase."""
        self._tell("request-migration", self.request)
        self._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": self.documents})
        controls = list(self.unkind.controls)
        for _ in range(30000):
            if controls and self.random.random() < 0.02:
                self._control(controls.pop(0))
            if self._over() and not controls:
                break
            self._step()
        else:
            raise Violation(f"it doesn't end: {self.ledger.head}")
        self.check()
        return self.ledger.head.phase

    def _over(self) -> bool:
        return self.ledger.head.phase in FINAL and not (self.commands or self.requests or self.facts)

    def _control(self, action: str) -> None:
        if refusal(self.ledger.head.phase, self.ledger.head.paused, action) is None:
            self._tell("control-migration", {"migration": MIGRATION, "action": action})
        if self.ledger.head.paused:
            self._tell("control-migration", {"migration": MIGRATION, "action": "resume"})

    def _step(self) -> None:
        choices: list[Callable[[], None]] = [self._wait]
        choices += [self._deliver] * (3 if self.commands else 0)
        choices += [self._land] * (2 if self.requests else 0)
        choices += [self._report] * (3 if self.facts else 0)
        self.random.choice(choices)()

    def _tell(self, name: str, data: Answer) -> None:
        self.log.append((name, data, self.now))
        dues = react(self.ledger, name, data, self.now)
        self._send(dues)
        self._assign()

    def _assign(self) -> None:
        """What the shell does after each message: give out places."""
        used: Counter[str] = Counter()
        for step in self.ledger.all():
            if step.state == "holding":
                used.update(step.results.values())
        if over := [host for host, many in used.items() if many > self.slots]:
            raise Violation(f"{over[0]} has {used[over[0]]} volumes, and room for {self.slots}")
        hosts = [Host(f"{cloud}-host{n}", cloud, "", self.slots, used[f"{cloud}-host{n}"])
                 for cloud in ("src", "dst") for n in (1, 2)]  # fmt: skip
        wanting = self.ledger.wanting(10) if self.ledger.head.counts.get("wanting") else []
        for place in assign([s.key for s in wanting], {"cloud": "src"}, {"cloud": "dst"}, Fleet(tuple(hosts))):
            data = {"migration": MIGRATION, **place}
            self.log.append(("assigned", data, self.now))
            self._send(react(self.ledger, "assigned", data, self.now))

    def _send(self, dues: list[Do]) -> None:
        for do in dues:
            copies = 2 if self.random.random() < self.unkind.duplicate else 1
            self.commands += [Command(do) for _ in range(copies)]

    def _wait(self) -> None:
        later = self.now + self.random.choice((0.1, 1.0, 5.0, 20.0))
        while any(r.lands <= later for r in self.requests):
            self._land()
        self.now = max(self.now, later)
        self._tell("tick", {"migration": MIGRATION})

    def _report(self) -> None:
        name, data = self.facts.pop(self.random.randrange(len(self.facts)))
        if self.random.random() < self.unkind.duplicate and len(self.log) < 5000:
            self.facts.append((name, data))
        self._tell(name, data)

    # -- workers -----------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        sent = self.commands.pop(self.random.randrange(len(self.commands)))
        again, dies = replace(sent, delivered=True), self.random.random() < self.unkind.crash
        if dies:
            self.commands.append(again)
            if self.random.random() < 0.3:
                return
        if sent.do.verb != "fetch" and not self._claim(sent):
            return
        if dies and self.random.random() < 0.5:
            return
        self._work(sent.do, alive=not dies)

    def _claim(self, sent: Command) -> bool:
        self.counter += 1
        claim = {"migration": MIGRATION, "step": sent.do.key, "attempt": sent.do.attempt}
        claim |= {"token": str(self.counter), "again": sent.delivered}
        self._tell("step-claimed", claim)
        return granted(self.ledger, claim)

    def _work(self, do: Do, alive: bool) -> None:
        step = self.ledger.step(do.key)
        if step is None or step.attempt != do.attempt or step.state != "asked":
            return
        _, data, _ = command(self.ledger, do, lambda *_: None, ["pem"])
        action = step.action
        broken = action == self.unkind.broken and not (step.compensates or step.hints.get("only_look"))
        if broken and not self.unkind.after:
            self._answer(do, alive, {"outcome": "failed", "reason": "broken", "retryable": False})
            return
        if self.random.random() < self.unkind.fail:
            passing = step.compensates or data.get("hints", {}).get("only_look")
            permanent = self.random.random() < self.unkind.permanent and not passing
            self._answer(do, alive, {"outcome": "failed", "reason": "no", "retryable": not permanent})
            return
        if action in ("copy", "verify") and do.verb != "fetch":
            if alive:
                offer = {"address": "h:1", "certificate": "pem", "size": 1}
                about = {"migration": MIGRATION, "step": do.key, "attempt": do.attempt}
                self.facts.append(("segment-offered", {**about, **offer}))
            return
        if do.verb == "fetch" and (do.key, do.attempt) in self.served:
            return  # an offer serves one guest
        self.served.add((do.key, do.attempt) if do.verb == "fetch" else ("", 0))
        takes = self.random.uniform(0, SETTLE * 0.9)
        self.requests.append(Request(do, self.now + takes, lambda: self._effect(step, data, broken), alive))

    def _effect(self, step: Any, data: Answer, broken: bool) -> Answer:
        answer = getattr(self, f"_{step.action}")(step, data)
        if broken and self.unkind.after:
            return {**answer, "outcome": "failed", "reason": "broken afterwards", "retryable": False}
        return answer

    def _land(self) -> None:
        request = min(self.requests, key=lambda r: r.lands)
        self.requests.remove(request)
        self.now = max(self.now, request.lands)
        answer = request.effect()
        if request.alive and self.random.random() < self.unkind.crash:
            answer = {"outcome": "interrupted", "retryable": True}
        self._answer(request.do, request.alive, answer)

    def _answer(self, do: Do, alive: bool, answer: Answer) -> None:
        if alive:
            about = {"migration": MIGRATION, "step": do.key, "attempt": do.attempt}
            self.facts.append(("step-ended", {**about, **answer}))

    # -- actions -----------------------------------------------------------------------------------------

    def _check(self, step: Any, data: Answer) -> Answer:
        return {"outcome": "created"}

    def _look(self, step: Any, data: Answer) -> Answer:
        return {"outcome": "done", "results": {"status": self.clouds.power[data["resource"]]}}

    def _stop(self, step: Any, data: Answer) -> Answer:
        self.clouds.power[data["resource"]] = "SHUTOFF"
        return {"outcome": "done"}

    def _start(self, step: Any, data: Answer) -> Answer:
        disks = [v["_info"]["id"] for v in self.servers[data["resource"]]["params"]["volumes"]]
        if left := [m for m in self.clouds.clones if m.partition("/")[2] in disks]:
            raise Violation(f"{step.key} was begun before {left} were given back")
        if data["known"]["was"] == "ACTIVE":
            self.clouds.power[data["resource"]] = "ACTIVE"
        return {"outcome": "done"}

    def _expose(self, step: Any, data: Answer) -> Answer:
        owner = data["known"]["server"]
        if owner and self.clouds.power[owner] != "SHUTOFF":
            raise Violation(f"{step.key} was begun while its server runs")
        volume = self.clouds.clones.setdefault(data["known"]["marker"], f"clone-of-{data['resource']}")
        self.clouds.attached.setdefault(volume, None)
        return {"outcome": "done", "results": {"volume": volume}}

    def _withdraw(self, step: Any, data: Answer) -> Answer:
        volume = self.clouds.clones.get(data["known"]["marker"])
        if volume and self.clouds.attached[volume]:
            return {"outcome": "failed", "reason": "it's attached", "retryable": True}
        if volume:
            del self.clouds.clones[data["known"]["marker"]], self.clouds.attached[volume]
        return {"outcome": "done"}

    def _attach(self, step: Any, data: Answer) -> Answer:
        volume, host = data["resource"], data["known"]["server"]
        place = self.ledger.step("/".join([*step.key.split("/")[:2], "assign"]))
        if place.state != "holding" or host not in place.results.values():
            raise Violation(f"{step.key} uses {host} without a place there")
        if self.clouds.attached[volume] not in (None, host):
            raise Violation(f"{volume} is attached to {self.clouds.attached[volume]} already")
        self.clouds.attached[volume] = host
        return {"outcome": "done"}

    def _detach(self, step: Any, data: Answer) -> Answer:
        volume, host = data["resource"], data["known"]["server"]
        if self.clouds.attached.get(volume) == host:
            self.clouds.attached[volume] = None
        return {"outcome": "done"}

    def _ensure(self, step: Any, data: Answer) -> Answer:
        found = [id_ for id_, key in self.clouds.made.items() if key == step.key]
        if found and step.attempt > 1:
            return {"outcome": "created", "destination_id": found[0], "also_made": found[1:]}
        if data["hints"].get("only_look"):
            return {"outcome": "unchanged"}
        self.counter += 1
        id_ = f"d{self.counter}"
        self.clouds.made[id_] = step.key
        if step.kind == "volume":
            self.clouds.attached[id_] = None
        if step.kind == "server":
            self._boot(id_, data["hints"])
        return {"outcome": "created", "destination_id": id_}

    def _boot(self, id_: str, hints: Answer) -> None:
        for volume in hints["volume_ids"]:
            if self.clouds.attached.get(volume, "") is not None:
                raise Violation(f"{id_} boots while {volume} is attached to {self.clouds.attached.get(volume)}")
            if not self.clouds.verified.get(volume):
                raise Violation(f"{id_} boots from {volume}, which nobody has verified")
            self.clouds.attached[volume] = id_
        if missing := [port for port in hints["port_ids"] if port not in self.clouds.made]:
            raise Violation(f"{id_} boots without its port {missing}")

    def _remove(self, step: Any, data: Answer) -> Answer:
        id_ = data["hints"]["destination_id"]
        if user := self.clouds.attached.get(id_):
            return {"outcome": "failed", "retryable": True, "reason": f"attached to {user}"}
        if self.clouds.made.pop(id_, None) and step.kind == "server":
            self.clouds.attached = {v: None if s == id_ else s for v, s in self.clouds.attached.items()}
        self.clouds.attached.pop(id_, None)
        return {"outcome": "removed"}

    def _copy(self, step: Any, data: Answer) -> Answer:
        if self.clouds.attached.get(data["volume"]) != data["host"]:
            return {"outcome": "failed", "reason": "the device is not there", "retryable": True}
        self.clouds.content.setdefault(data["volume"], set()).add(data["first"])
        return {"outcome": "created"}

    def _verify(self, step: Any, data: Answer) -> Answer:
        if self.clouds.attached.get(data["volume"]) != data["host"]:
            raise Violation(f"{step.key} was begun when the device was gone")
        if data["first"] not in self.clouds.content.get(data["volume"], ()):
            raise Violation(f"{step.key} was begun before it was copied")
        self.clouds.verified.setdefault(data["volume"], set()).add(data["first"])
        return {"outcome": "unchanged"}

    def _settle(self, step: Any, data: Answer) -> Answer:
        return {"outcome": "done"}

    # -- what must be true in the end ----------------------------------------------------------------------

    def check(self) -> None:
        """Raise Violation unless every server is either here or there, whole, and nothing is left over."""
        if self.ledger.head.phase == "stuck":
            raise Violation(f"it's stuck, though nothing is broken for good: {self.ledger.head.reason}")
        hosts = {v: s for v, s in self.clouds.attached.items() if s and "-host" in s}
        said = [s.key for s in self.ledger.all() if s.action == "withdraw" and s.state == "failed"]
        clones = [m for m in self.clouds.clones if f"volume/{m.partition('/')[2]}/withdraw" not in said]
        if hosts or clones:
            raise Violation(f"left over: {hosts or clones}")
        if held := [s.key for s in self.ledger.all() if s.state in ("holding", "wanting")]:
            raise Violation(f"{held} still have a place")
        made = Counter(self.clouds.made.values())
        if double := [key for key, many in made.items() if many > 1]:
            raise Violation(f"made twice: {double}")
        for id_, document in self.servers.items():
            self._check_server(id_, document, set(made))
        for id_ in self.loose:
            head = self.ledger.step(f"volume/{id_}")
            if (head.key in made) != (head.state == "done" and self.ledger.head.phase != "undone"):
                raise Violation(f"{head.key} is {head.state} ({head.reason}), and there: {head.key in made}")

    def _check_server(self, id_: str, document: Answer, made: set[str]) -> None:
        head = self.ledger.step(f"server/{id_}")
        parts = [f"server/{id_}"]
        for name, kind in (("volumes", "volume"), ("ports", "port"), ("floating_ips", "floating_ip")):
            parts += [f"{kind}/{part['_info']['id']}" for part in document["params"][name]]
        there = [key for key in parts if key in made]
        if head.state == "done" and self.ledger.head.phase != "undone":
            if there != parts:
                raise Violation(f"{head.key} is done, but only {there} are there")
            if self.clouds.power[id_] != "SHUTOFF":
                raise Violation(f"{head.key} runs in both clouds")
        else:
            if there:
                raise Violation(f"{head.key} is {head.state} ({head.reason}), but {there} are there")
            if self.clouds.power[id_] != document["_info"]["status"]:
                raise Violation(f"{head.key} was {document['_info']['status']}, and is {self.clouds.power[id_]}")
