"""Two clouds with servers and disks, conversion hosts, and workers that die at any moment; for the workloads' rules.

Each action takes effect as the real one does: again and again with the same result. A worker may die before its
request takes effect, while the cloud still works on it, or afterwards, before it has answered. A server that runs
writes to its disks now and then; a conversion host may fall silent with the journals that it has, for good or
for long.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from stackferry.errors import InvalidMessage
from stackferry_coordinator.commands.resources import command
from stackferry_coordinator.hosts.assignment import Fleet, Host, assign
from stackferry_coordinator.plan.itinerary import place_of
from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.rules.agreement import ANSWERS
from stackferry_coordinator.rules.fetch_modes import destination_before
from stackferry_coordinator.rules.reactions import Do, granted, opened, react
from stackferry_coordinator.rules.slices import GO_ON
from stackferry_coordinator.rules.transitions import SETTLE

from .listening import check_listens
from .operator import OVER, Operator
from .simulation import MIGRATION, Violation, recognised
from .slicing import sliced

Answer = dict[str, Any]


@dataclass
class Unkind:
    """How unkind the world is. *broken*: the action that never works; *after*: though it takes effect."""

    crash: float = 0.1
    fail: float = 0.1
    permanent: float = 0.1
    duplicate: float = 0.1
    controls: tuple[str, ...] = ()
    haste: float = 0.02  # how soon the next control is told
    planned: bool = False  # whether it's planned first
    broken: str = ""
    after: bool = False
    lose: float = 0.0  # how often a conversion host is lost
    lying: bool = False  # whether the destination's hosts call done what they haven't done


@dataclass
class Command:
    """A command in a queue, as it was sent; ``delivered``: somebody got it once already."""

    do: Do
    data: Answer
    queue: str
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

    power: dict[str, str] = field(default_factory=dict)  # server of either cloud → status
    attached: dict[str, str | None] = field(default_factory=dict)  # volume of either cloud → server
    clones: dict[str, str] = field(default_factory=dict)  # marker → volume at the source
    made: dict[str, str] = field(default_factory=dict)  # id at the destination → step
    born: dict[str, float] = field(default_factory=dict)  # the same → when it was made
    trunks: dict[str, list[str]] = field(default_factory=dict)  # trunk at the destination → its ports
    written: dict[str, int] = field(default_factory=dict)  # source volume → how often its server has written to it
    frozen: dict[str, int] = field(default_factory=dict)  # clone → the same when it was made
    #: destination volume → segment → what it holds, of which writes; and what of it was read from the device
    content: dict[str, dict[int, int]] = field(default_factory=dict)
    verified: dict[str, dict[int, int]] = field(default_factory=dict)
    journals: dict[str, dict[str, int]] = field(default_factory=dict)  # host → copy and segment → what it says is there


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
    is_played: bool = False
    log: list[tuple[str, Answer, float]] = field(default_factory=list)
    served: set[tuple[str, int]] = field(default_factory=set)
    sent: list[Do] = field(default_factory=list)
    silent: dict[str, float] = field(default_factory=dict)  # lost hosts, since when
    counter: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.request = {"migration": MIGRATION, "source": {"cloud": "src"}, "destination": {"cloud": "dst"},
                        "mode": "plan" if self.unkind.planned else "run", "parts": 1, "servers_at_once": 2}  # fmt: skip
        self.operator = Operator(list(self.unkind.controls), self.random, self.unkind.haste)
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
        self.is_played = True
        self._tell("request-migration", self.request)
        self._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": self.documents})
        for _ in range(30000):
            if self.random.random() < self.unkind.lose:
                self._lose()
            self._write()
            if word := self.operator.speaks(self.ledger, self._quiet()):
                self._tell("control-migration", {"migration": MIGRATION, "action": word})
            elif self._over():
                break
            else:
                self._step()
        else:
            raise Violation(f"it doesn't end: {self.ledger.head}")
        self.check()
        return self.ledger.head.phase

    def _over(self) -> bool:
        return self.ledger.head.phase in OVER and self._quiet()

    def _quiet(self) -> bool:
        """Whether nothing is on its way."""
        return not (self.commands or self.requests or self.facts or self.ledger.head.agenda)

    def _write(self) -> None:
        """Servers that run write to their disks, sooner or later."""
        for id_, document in self.servers.items():
            if self.clouds.power[id_] == "ACTIVE" and self.random.random() < 0.05:
                for disk in document["params"]["volumes"]:
                    self.clouds.written[disk["_info"]["id"]] = self._version(disk["_info"]["id"]) + 1

    def _version(self, volume: str) -> int:
        return self.clouds.written.get(volume, 0)

    def _lose(self) -> None:
        """One conversion host of a cloud falls silent; if it was the other one, that is back with all it had."""
        cloud = self.random.choice(("src", "dst"))
        host = f"{cloud}-host{self.random.choice((1, 2))}"
        for other in [h for h in self.silent if h.startswith(cloud) and h != host]:
            del self.silent[other]
        self.silent.setdefault(host, self.now)

    def _notice(self) -> None:
        """What the shell tells the core of hosts that have been silent for long."""
        gone = {host for host, since in self.silent.items() if self.now - since > 60}
        for step in self.ledger.all() if gone else ():
            if step.state == "holding" and (hosts := sorted(gone & set(step.results.values()))):
                self._tell("host-lost", {"migration": MIGRATION, "step": step.key, "hosts": hosts})

    def _step(self) -> None:
        choices: list[Callable[[], None]] = [self._pass]
        choices += [self._deliver] * (3 if self.commands else 0)
        choices += [self._land] * (2 if self.requests else 0)
        choices += [self._report] * (3 if self.facts else 0)
        choices += [self._go_on] * bool(self.ledger.head.agenda)
        self.random.choice(choices)()

    def _go_on(self) -> None:
        self._tell(GO_ON, {"migration": MIGRATION})

    def _tell(self, name: str, data: Answer) -> None:
        self.log.append((name, data, self.now))
        with sliced(self.seed, self.is_played):
            dues = react(self.ledger, name, data, self.now)
        self._send(dues)
        self._assign()

    def _assign(self) -> None:
        """What the shell does after each message: give out places."""
        if self.ledger.head.paused or self.ledger.head.agenda:
            return
        used: Counter[str] = Counter()
        for step in self.ledger.all():
            if step.state == "holding":
                used.update(step.results.values())
        if over := [host for host, many in used.items() if many > self.slots]:
            raise Violation(f"{over[0]} has {used[over[0]]} volumes, and room for {self.slots}")
        hosts = [Host(host, cloud, "", self.slots, used[host])
                 for cloud in ("src", "dst") for n in (1, 2) if (host := f"{cloud}-host{n}") not in self.silent]  # fmt: skip
        wanting = self.ledger.wanting(10) if self.ledger.head.counts.get("wanting") else []
        asked = [(s.key, destination_before(self.ledger, s)) for s in wanting]
        for place in assign(asked, {"cloud": "src"}, {"cloud": "dst"}, Fleet(tuple(hosts))):
            data = {"migration": MIGRATION, **place}
            self.log.append(("assigned", data, self.now))
            self._send(react(self.ledger, "assigned", data, self.now))

    def _send(self, dues: list[Do]) -> None:
        self.operator.hears(dues)
        for do in dues:
            copies = 2 if self.random.random() < self.unkind.duplicate else 1
            message, data, queue = command(self.ledger, do, lambda *_: None, ["pem"])
            try:
                message.load_data(data)  # as the coordinator does
            except InvalidMessage as error:
                raise Violation(f"{do.key} can't be asked for: {error}") from error
            self.sent.append(do)
            self.commands += [Command(do, data, queue) for _ in range(copies)]

    def _pass(self) -> None:
        later = self.now + self.random.choice((0.1, 1.0, 5.0, 20.0))
        while any(r.lands <= later for r in self.requests):
            self._land()
        self.now = max(self.now, later)
        self._tell("tick", {"migration": MIGRATION})
        self._notice()

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
        if self._at_lost_host(sent.do):
            return  # nobody reads that queue any more
        if sent.do.verb != "fetch" and not self._claim(sent):
            return
        if dies and self.random.random() < 0.5:
            return
        self._work(sent, alive=not dies)

    def _at_lost_host(self, do: Do) -> bool:
        step = self.ledger.step(do.key)
        if step is None or step.action not in ("copy", "verify"):
            return False
        place = self.ledger.step(place_of(do.key))
        side = "destination_host" if do.verb == "fetch" else "source_host"
        return place.results.get(side) in self.silent

    def _claim(self, sent: Command) -> bool:
        self.counter += 1
        claim = {"migration": MIGRATION, "step": sent.do.key, "attempt": sent.do.attempt}
        claim |= {"token": str(self.counter), "again": sent.delivered}
        self._tell("step-claimed", claim)
        return granted(self.ledger, claim)

    def _work(self, sent: Command, alive: bool) -> None:
        do, data = sent.do, sent.data
        step = self.ledger.step(do.key)
        if step is None or step.attempt != do.attempt or step.state != "asked":
            return
        check_listens(self.ledger, do, sent.queue)
        action = step.action
        if action == "attach" and not step.compensates and data["known"]["server"] in self.silent:
            self._answer(do, alive, {"outcome": "failed", "reason": "the host takes no volume", "retryable": True})
            return
        if do.verb == "fetch":
            if (do.key, do.attempt) in self.served:
                return  # an offer serves one guest
            self.served.add((do.key, do.attempt))
        broken = action == self.unkind.broken and not (step.compensates or step.reversal.only_look)
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
        takes = self.random.uniform(0, SETTLE * 0.9)
        self.requests.append(Request(do, self.now + takes, lambda: self._effect(step, data, broken), alive))

    def _effect(self, step: Any, data: Answer, broken: bool) -> Answer:
        answer = getattr(self, f"_{step.action.replace('-', '_')}")(step, data)
        if broken and self.unkind.after:
            return {**answer, "outcome": "failed", "reason": "broken afterwards", "retryable": False}
        return answer

    def _land(self) -> None:
        request = min(self.requests, key=lambda r: r.lands)
        self.requests.remove(request)
        self.now = max(self.now, request.lands)
        answer = request.effect()
        if request.do.verb == "fetch":
            self._serve(request.do, answer)
        if request.alive and self.random.random() < self.unkind.crash:
            answer = {"outcome": "interrupted", "retryable": True}
        self._answer(request.do, request.alive, answer)

    def _serve(self, do: Do, answer: Answer) -> None:
        """The source's agent says what it has answered, unless it's lost."""
        step = self.ledger.step(do.key)
        place = self.ledger.step(place_of(do.key))
        if self.random.random() < self.unkind.crash or place.results.get("source_host") in self.silent:
            return
        counts = (answer.get("results") or {}).get("counts", {})
        many = 0 if self.unkind.lying else sum(counts.get(each, 0) for each in ANSWERS)
        told = {"blocks": many, "digest": str(self._read(step)) if many else None}
        about = {"migration": MIGRATION, "step": do.key, "attempt": do.attempt}
        self.facts.append(("segment-served", {**about, **told}))

    def _answer(self, do: Do, alive: bool, answer: Answer) -> None:
        if alive:
            about = {"migration": MIGRATION, "step": do.key, "attempt": do.attempt}
            self.facts.append(("step-ended", {**about, **answer}))

    # -- actions -----------------------------------------------------------------------------------------

    def _compare(self, step: Any, data: Answer) -> Answer:
        return {"outcome": "created"}

    def _check(self, step: Any, data: Answer) -> Answer:
        return {"outcome": "created"}

    def _look(self, step: Any, data: Answer) -> Answer:
        return {"outcome": "done", "results": {"status": self.clouds.power[data["resource"]]}}

    def _wait(self, step: Any, data: Answer) -> Answer:
        if self.random.random() < 0.3:
            self.clouds.power[data["resource"]] = "SHUTOFF"
        if self.clouds.power[data["resource"]] != "SHUTOFF":
            return {"outcome": "pending", "reason": "it runs", "retryable": True}
        return {"outcome": "done"}

    def _stop(self, step: Any, data: Answer) -> Answer:
        if data["known"].get("awaited") and self.clouds.power[data["resource"]] != "SHUTOFF":
            raise Violation(f"{step.key} stops a server that nobody shall stop but who runs it")
        self.clouds.power[data["resource"]] = "SHUTOFF"
        return {"outcome": "done"}

    def _start(self, step: Any, data: Answer) -> Answer:
        disks = [v["_info"]["id"] for v in self.servers[data["resource"]]["params"]["volumes"]]
        # What passes have left over doesn't keep a server from running: it ran while they were made.
        if left := [m for m in self.clouds.clones if m.split("/")[1:] in [[disk] for disk in disks]]:
            raise Violation(f"{step.key} was begun before {left} were given back")
        if data["known"]["was"] == "ACTIVE" and not data["known"].get("awaited"):
            self.clouds.power[data["resource"]] = "ACTIVE"
        return {"outcome": "done"}

    def _expose(self, step: Any, data: Answer) -> Answer:
        owner, marker, number = data["known"]["server"], data["known"]["marker"], data["known"].get("pass")
        if owner and not number and self.clouds.power[owner] != "SHUTOFF":
            raise Violation(f"{step.key} was begun while its server runs")
        mark = f"{marker}/{number}" if number else marker
        if mark not in self.clouds.clones:
            self.counter += 1
            volume = self.clouds.clones[mark] = f"clone-{self.counter}-of-{data['resource']}"
            self.clouds.attached[volume], self.clouds.frozen[volume] = None, self._version(data["resource"])
        return {"outcome": "done", "results": {"volume": self.clouds.clones[mark]}}

    def _withdraw(self, step: Any, data: Answer) -> Answer:
        marker, number = data["known"]["marker"], data["known"].get("pass")
        mine = [m for m in self.clouds.clones if m == (f"{marker}/{number}" if number else marker)
                or (not number and m.startswith(f"{marker}/"))]  # fmt: skip
        if any(self.clouds.attached[self.clouds.clones[mark]] for mark in mine):
            return {"outcome": "failed", "reason": "it's attached", "retryable": True}
        for mark in mine:
            del self.clouds.attached[self.clouds.clones.pop(mark)]
        return {"outcome": "done"}

    def _attach(self, step: Any, data: Answer) -> Answer:
        volume, host = data["resource"], data["known"]["server"]
        if volume not in self.clouds.attached:
            return {"outcome": "failed", "reason": "there's no such volume", "retryable": False}
        place = self.ledger.step(place_of(step.key))
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
        there = [id_ for id_, key in self.clouds.made.items() if key == step.key]
        found = [id_ for id_ in there if recognised(id_, self.clouds.born[id_], data["hints"])]
        if found and data["hints"].get("look"):
            return {"outcome": "created", "destination_id": found[0], "also_made": found[1:]}
        if data["hints"].get("only_look"):
            return {"outcome": "unchanged"}
        self.counter += 1
        id_ = f"d{self.counter}"
        self.clouds.made[id_], self.clouds.born[id_] = step.key, self.now
        if step.kind == "volume":
            self.clouds.attached[id_] = None
        if step.kind == "server":
            self._boot(id_, data["hints"])
        if step.kind == "trunk":
            self._bundle(id_, data["hints"])
        return {"outcome": "created", "destination_id": id_}

    def _boot(self, id_: str, hints: Answer) -> None:
        self.clouds.power[id_] = "ACTIVE"
        for volume in hints["volume_ids"]:
            if self.clouds.attached.get(volume, "") is not None:
                raise Violation(f"{id_} boots while {volume} is attached to {self.clouds.attached.get(volume)}")
            content, verified = self.clouds.content.get(volume, {}), self.clouds.verified.get(volume, {})
            if not content or verified != content:
                raise Violation(f"{id_} boots from {volume}, of which not all was verified: {content}, {verified}")
            source = self.clouds.made[volume].partition("/")[2]
            if stale := {segment for segment, version in content.items() if version != self._version(source)}:
                raise Violation(f"{id_} boots from {volume}, whose segments {stale} are older than the source")
            self.clouds.attached[volume] = id_
        if missing := [port for port in hints["port_ids"] if port not in self.clouds.made]:
            raise Violation(f"{id_} boots without its port {missing}")

    def _bundle(self, id_: str, hints: Answer) -> None:
        ports = [hints["port_id"], *(sub["port_id"] for sub in hints["sub_ports"])]
        if len(ports) < 2 or not self.clouds.made.keys() >= set(ports):
            raise Violation(f"trunk {id_} is made of {ports}, of which not all are there")
        self.clouds.trunks[id_] = ports

    def _remove(self, step: Any, data: Answer) -> Answer:
        id_ = data["hints"]["destination_id"]
        self.clouds.trunks.pop(id_, None)
        if users := [trunk for trunk, ports in self.clouds.trunks.items() if id_ in ports]:
            return {"outcome": "failed", "retryable": True, "reason": f"in trunk {users[0]}"}
        if user := self.clouds.attached.get(id_):
            return {"outcome": "failed", "retryable": True, "reason": f"attached to {user}"}
        if self.clouds.made.pop(id_, None) and step.kind == "server":
            self.clouds.attached = {v: None if s == id_ else s for v, s in self.clouds.attached.items()}
        self.clouds.attached.pop(id_, None)
        return {"outcome": "removed"}

    def _copy(self, step: Any, data: Answer) -> Answer:
        if self.unkind.lying:
            return {"outcome": "done", "results": {"counts": {"raw": 1}, "part": "made up"}}
        if self.clouds.attached.get(data["volume"]) != data["host"]:
            return {"outcome": "failed", "reason": "the device is not there", "retryable": True}
        source = self._read(step)
        if source is None:
            return {"outcome": "failed", "reason": "the source's device is not there", "retryable": True}
        journal = self.clouds.journals.setdefault(data["host"], {})
        content = self.clouds.content.setdefault(data["volume"], {})
        verified = self.clouds.verified.setdefault(data["volume"], {})
        segment, key = data["first"], f"{data['copy']}/{data['first']}"
        known = journal.get(key) if data["mode"] != "rehash" else content.get(segment)
        if known is not None and known != content.get(segment):
            raise Violation(f"{step.key}: a journal is believed that says what isn't there any more")
        is_asked_for = not (data["mode"] == "copy" and known is not None)  # what a copy knows to be there, it skips
        if is_asked_for:
            written = known != source  # and what a journal says to be there isn't written
            content[segment] = source if written else content.get(segment)
            if data["mode"] == "rehash" or (data["mode"] == "delta" and written):
                verified[segment] = content[segment]
            elif written:
                verified.pop(segment, None)
            journal[key] = source
        counts = {"raw": int(is_asked_for), "written": self.random.choice((0, 1 << 30))}
        return {"outcome": "done", "results": {"counts": counts, "part": str(source)}}

    def _read(self, step: Any) -> int | None:
        """What of the source a host can read for this step: how often it had been written to."""
        subject = step.key.rpartition("/")[0].rpartition("/")[0]
        name = "warm-expose" if "/warm-" in step.key else "expose"
        volume = (self.ledger.step(f"{subject}/{name}").results or {}).get("volume")
        place = self.ledger.step(place_of(step.key))
        if self.clouds.attached.get(volume) != place.results.get("source_host"):
            return None
        return self.clouds.frozen.get(volume, self._version(volume))

    def _verify(self, step: Any, data: Answer) -> Answer:
        if self.unkind.lying:
            return {"outcome": "done", "results": {"counts": {"same": 1}, "part": "made up"}}
        if self.clouds.attached.get(data["volume"]) != data["host"]:
            raise Violation(f"{step.key} was begun when the device was gone")
        if data["first"] not in self.clouds.content.get(data["volume"], ()):
            raise Violation(f"{step.key} was begun before it was copied")
        content = self.clouds.content[data["volume"]][data["first"]]
        self.clouds.verified.setdefault(data["volume"], {})[data["first"]] = content
        return {"outcome": "done", "results": {"counts": {"same": 1}, "part": str(content)}}

    def _room(self, step: Any, data: Answer) -> Answer:
        if self.clouds.made:
            raise Violation("it was asked whether all fits when something had been made")
        return {"outcome": "done"}

    def _power(self, step: Any, data: Answer) -> Answer:
        if data["resource"] not in self.clouds.made:
            raise Violation(f"{step.key} was begun before its server was there")
        document = self.servers[step.key.split("/")[1]]
        parts = [f"floating_ip/{ip['_info']['id']}" for ip in document["params"].get("floating_ips") or ()]
        if left := set(parts) - set(self.clouds.made.values()):
            raise Violation(f"{step.key} was begun before {left} led to its server")
        if data["known"]["off"]:
            self.clouds.power[data["resource"]] = "SHUTOFF"
        return {"outcome": "done", "results": {"off": data["known"]["off"]}}

    def _settle(self, step: Any, data: Answer) -> Answer:
        return {"outcome": "done"}

    # -- what must be true in the end ----------------------------------------------------------------------

    def check(self) -> None:
        """Raise Violation unless every server is either here or there, whole, and nothing is left over."""
        if self.ledger.head.phase == "stuck":
            raise Violation(f"it's stuck, though nothing is broken for good: {self.ledger.head.reason}")
        hosts = {v: s for v, s in self.clouds.attached.items() if s and "-host" in s}
        said = [s.key for s in self.ledger.all() if s.action == "withdraw" and s.state == "failed"]
        clones = [m for m in self.clouds.clones if f"volume/{m.split('/')[1]}/withdraw" not in said]
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
            arrived = head.state == "done" and self.ledger.head.mode == "run" and self.ledger.head.phase != "undone"
            if (head.key in made) != arrived:
                raise Violation(f"{head.key} is {head.state} ({head.reason}), and there: {head.key in made}")

    def _check_power(self, head: Any, document: Answer) -> None:
        """A server that was stopped is so at the destination, unless its document doesn't say that it shall be."""
        step, is_said = self.ledger.step(f"{head.key}/power"), "power" in document["_migration_params"]
        expected = document["_info"]["status"] if is_said else "ACTIVE"
        failed = step is not None and step.state in ("failed", "skipped")
        if not failed and self.clouds.power[head.destination_id] != expected:
            raise Violation(f"{head.key} is {self.clouds.power[head.destination_id]} there, and not {expected}")

    def _check_server(self, id_: str, document: Answer, made: set[str]) -> None:
        head = self.ledger.step(f"server/{id_}")
        parts = [f"server/{id_}"]
        for kind in ("volume", "port", "sub_port", "trunk", "floating_ip"):
            parts += [f"{kind}/{part['_info']['id']}" for part in document["params"].get(f"{kind}s") or ()]
        there = [key for key in parts if key in made]
        if self.ledger.head.mode == "run" and head.state == "done" and self.ledger.head.phase != "undone":
            if there != parts:
                raise Violation(f"{head.key} is done, but only {there} are there")
            if self.clouds.power[id_] != "SHUTOFF":
                raise Violation(f"{head.key} runs in both clouds")
            self._check_power(head, document)
        else:
            if there:
                raise Violation(f"{head.key} is {head.state} ({head.reason}), but {there} are there")
            awaited = document["_migration_params"].get("shutdown") == "wait"
            if self.clouds.power[id_] != document["_info"]["status"] and not awaited:
                raise Violation(f"{head.key} was {document['_info']['status']}, and is {self.clouds.power[id_]}")
