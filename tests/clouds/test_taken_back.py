"""Every step of a server's itinerary fails, before its effect and after it: both clouds are as they were.

The lines are those of the itinerary, so a new one is tested by itself. Some tenants, each with a server, try the lines
side by side: after each line the server is as before, so that it can be taken for the next.
"""

from __future__ import annotations

import os
import queue
import random
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from stackferry.client import Client
from stackferry_cli.local.processes import until
from stackferry_coordinator.plan.itinerary import COORDINATOR, DESTINATION, HOSTS, SOURCE, WORKLOAD, task_of

from ..conftest import tenants
from .hosts import conversion_hosts
from .servers import MIB, device, disk, ground, server, state_of
from .test_workloads import left_over

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(1500)]
AT_ONCE = 4  # tenants side by side
SLOW = 15  # seconds
ID = "[0-9a-f-]{36}"

#: what is done, and where → the calls by which it's done: what they're called here, service, method, path
CALLS = {
    ("check", DESTINATION): [("", "KIND", "GET", "/EACHs")],
    ("look", SOURCE): [("", "nova", "GET", f"/servers/{ID}$")],
    ("stop", SOURCE): [("", "nova", "POST", f"/servers/{ID}/action$")],
    ("expose", SOURCE): [("snapshot", "cinder", "POST", "/snapshots$"), ("volume", "cinder", "POST", "/volumes$")],
    ("withdraw", SOURCE): [
        ("volume", "cinder", "DELETE", f"/volumes/{ID}$"), ("snapshot", "cinder", "DELETE", f"/snapshots/{ID}$"),
    ],
    ("attach", SOURCE): [("", "nova", "POST", "/os-volume_attachments$")],
    ("attach", DESTINATION): [("", "nova", "POST", "/os-volume_attachments$")],
    ("detach", SOURCE): [("", "nova", "DELETE", f"/os-volume_attachments/{ID}$")],
    ("detach", DESTINATION): [("", "nova", "DELETE", f"/os-volume_attachments/{ID}$")],
    ("settle", DESTINATION): [("", "cinder", "DELETE", "/metadata/stackferry$")],
    ("ensure volume", DESTINATION): [("", "cinder", "POST", "/volumes$")],
    ("ensure port", DESTINATION): [("", "neutron", "POST", "/ports$")],
    ("ensure sub_port", DESTINATION): [("", "neutron", "POST", "/ports$")],
    ("ensure trunk", DESTINATION): [("", "neutron", "POST", "/trunks$")],
    ("ensure server", DESTINATION): [("", "nova", "POST", "/servers$")],
    ("ensure floating_ip", DESTINATION): [("", "neutron", "POST", "/floatingips$")],
}  # fmt: skip
#: what is called while it's taken back: cloud, service, method, path
UNDOING = [
    ("src", "nova", "POST", f"/servers/{ID}/action$"),
    ("src", "cinder", "DELETE", f"/volumes/{ID}$"),
    ("src", "cinder", "DELETE", f"/snapshots/{ID}$"),
    ("src", "nova", "DELETE", f"/os-volume_attachments/{ID}$"),
    ("dst", "nova", "DELETE", f"/servers/{ID}$"),
    ("dst", "cinder", "DELETE", f"/volumes/{ID}$"),
    ("dst", "neutron", "DELETE", f"/trunks/{ID}$"),
    ("dst", "neutron", "DELETE", f"/ports/{ID}$"),
]
#: a sub-port is made like any other port, after that of the server
BEFORE = {"sub_port": 1}
SERVICES = {"server": "nova", "volume": "cinder"}


@dataclass(frozen=True)
class Case:
    """A line that fails. *how* its workload moves: cold, warm, cut-over (a warm one, in its last pass), or detached.

    *lost*: whether each call by which it's taken back loses its answer once, before or after it's performed, or is refused.
    """

    line: str
    how: str
    when: str
    call: tuple[str, str, str, str] | None = None
    lost: str = ""

    def __str__(self) -> str:
        parts = (self.line, self.call and self.call[0], self.how, self.when, self.lost and f"back-{self.lost}")
        return "-".join(part for part in parts if part)

    @property
    def task(self) -> Any:
        return next(task for task in WORKLOAD if task.id == self.line)


def cases() -> Iterator[Case]:
    for task in WORKLOAD:
        if task.side == COORDINATOR:
            continue
        for how in ways(task):
            if task.side == HOSTS:
                yield from (Case(task.id, how, when) for when in SABOTAGE[task.action])
                continue
            action = f"ensure {task.each}" if task.action == "ensure" else task.action
            for name, service, method, path in CALLS[action, task.side]:
                service, path = service.replace("KIND", SERVICES.get(task.each, "")), path.replace("EACH", task.each)
                whens = ("before",) if method == "GET" else ("before", "after")
                yield from (Case(task.id, how, when, (name, service, method, path)) for when in whens)

    for lost in ("before", "after", "refused"):
        yield Case("floating-ip", "cold", "before", CALLS["ensure floating_ip", DESTINATION][0], lost)


def ways(task: Any) -> list[str]:
    if task.when in ("awaited", "as found"):
        return []  # one looks, as `look` does; the other does nothing to a server that ran
    if task.when == "detached":
        return ["detached"]
    if task.id in ("check", "look", "look-again"):
        return ["cut-over"] if task.id == "look-again" else ["cold"]
    return {"warm": ["warm"], "cold": ["cold"]}.get(task.when, ["cold", "cut-over"])


# -- what makes them fail ------------------------------------------------------------------------------------------


@dataclass
class World:
    """A tenant with a server and a loose volume, and a client of its own."""

    source: Any
    destination: Any
    hosts: tuple[Any, Any]
    ferry: Client
    documents: dict[str, Any]

    def state(self) -> Any:
        return state_of(self.source), state_of(self.destination)

    def steps(self, migration: str) -> dict[str, Any]:
        return {step["key"]: step for step in self.ferry.show(migration)["steps"]}

    def of_line(self, migration: str, line: str) -> list[Any]:
        return [s for key, s in self.steps(migration).items() if "/undo/" not in key and is_of(key, line)]

    def await_line(self, migration: str, line: str, what: Callable[[Any], bool]) -> Any:
        """Return a step of a line once *what* is true of it."""
        seen: list[Any] = []

        def found() -> bool:
            seen[:] = filter(what, self.of_line(migration, line))
            return bool(seen)

        assert until(found, 240), f"{line}: {self.of_line(migration, line)}"
        return seen[0]


def is_of(key: str, line: str) -> bool:
    """Whether a step is of a line; lines that exclude each other have steps of the same names."""
    task, wanted = task_of(key), next(task for task in WORKLOAD if task.id == line)
    return task is not None and (task.name, task.each) == (wanted.name, wanted.each)


def refuse(world: World, case: Case, stack: ExitStack) -> None:
    """A cloud refuses the call of a step, once; calls that look the same and come before it are let through."""
    assert case.call is not None
    _, service, method, path = case.call
    tenant = world.source if case.task.side == SOURCE else world.destination
    user = tenant.auth["auth"]["username"]
    action = {"status": 403, **({"performed": True} if case.when == "after" else {})}
    action |= {"delay": SLOW} if case.lost else {}
    rule = {"method": method, "path": path, "user": user, "times": 1, "action": action}
    others = {**rule, "times": BEFORE.get(case.task.each), "action": {"delay": 0.001}}
    rules = [others, rule] if others["times"] else [rule]
    stack.enter_context(tenant.box.faults(tenant.cloud, service, rules))


def lose_answers(world: World, case: Case, migration: str, stack: ExitStack) -> None:
    """What takes it back is disturbed as well, and nothing before: the failure itself is slow enough for that."""
    world.await_line(migration, case.line, lambda s: s["state"] == "asked")
    assert until(lambda: {s["state"] for s in world.of_line(migration, "withdraw")} == {"done"}, SLOW)
    action = {"status": 403} if case.lost == "refused" else {"drop": case.lost}
    for cloud, service, method, path in UNDOING:
        tenant = world.source if cloud == "src" else world.destination
        user = tenant.auth["auth"]["username"]
        rule = {"method": method, "path": path, "user": user, "times": 1, "action": action}
        stack.enter_context(tenant.box.faults(cloud, service, [rule]))


def shrink(tenant: Any, host: Any, volume: str) -> None:
    """Make a device smaller while it's attached."""
    os.truncate(tenant.box.volume_file(tenant.cloud, volume), 512 * MIB)
    path = device(tenant, host.id, volume).resolve()
    if path.is_block_device():
        subprocess.run(["losetup", "--set-capacity", path], check=True)


def copied(step: Any) -> bool:
    return step["state"] == "asked" and (step.get("done") or 0) >= MIB


def exposed(world: World, migration: str, step: Any) -> str:
    """The volume by which the disk is read, of which something is being copied."""
    warm = "warm-" if "/warm-" in step["key"] else ""
    subject = "/".join(step["key"].split("/")[:2])
    return str(world.steps(migration)[f"{subject}/{warm}expose"]["results"]["volume"])


def too_small(world: World, case: Case, migration: str) -> None:
    """A disk at the destination is smaller than it was, when its copy begins."""
    host, line = world.hosts[0], "warm-" if case.how == "warm" else ""
    world.await_line(migration, f"{line}expose", lambda s: s["state"] == "done")
    (agent,) = [a for a in world.source.box.agents("src") if a.server_id == host.id]
    os.kill(agent.pid, signal.SIGSTOP)
    try:
        attached = world.await_line(migration, f"{line}attach-destination", lambda s: s["state"] == "done")
        subject = "/".join(attached["key"].split("/")[:2])
        shrink(world.destination, world.hosts[1], world.steps(migration)[subject]["destination_id"])
    finally:
        os.kill(agent.pid, signal.SIGCONT)


def write(world: World, migration: str) -> None:
    """What a guest would do: the last pass has something to send, and takes some seconds."""
    (boot,) = [v for v in world.source.connect().block_storage.volumes() if v.name == "boot"]
    with world.source.box.volume_file(world.source.cloud, boot.id).open("r+b") as content:
        content.seek(16 * MIB)
        content.write(random.Random(migration).randbytes(5 * MIB))


def breaks_off(world: World, case: Case, migration: str) -> None:
    """The source's disk can't be read any more, in the middle."""
    step = world.await_line(migration, case.line, copied)
    shrink(world.source, world.hosts[0], exposed(world, migration, step))


def differs(world: World, case: Case, migration: str) -> None:
    """The source's disk isn't any more what was copied."""
    step = world.await_line(migration, "copy", copied)
    with device(world.source, world.hosts[0].id, exposed(world, migration, step)).open("r+b") as file:
        file.write(b"changed".ljust(4096))


#: when what the agents do fails, and how
SABOTAGE = {"copy": {"before": too_small, "after": breaks_off}, "verify": {"before": differs}}

# -- a case ------------------------------------------------------------------------------------------------------

PARAMS = {"warm": {"mode": "warm", "cutover_below": 1 << 30},
          "cut-over": {"mode": "warm", "cutover": "manual", "pass_interval": 3600}}  # fmt: skip


def play(world: World, case: Case) -> None:
    before = world.state()
    assert [s for s in before[0]["servers"].values() if s[0] == "web"] == [("web", "ACTIVE", None)], "the case before"
    with ExitStack() as stack:
        sabotage: Any = SABOTAGE[case.task.action][case.when] if case.call is None else None
        if sabotage is None and case.how != "cut-over":
            refuse(world, case, stack)
        documents = [world.documents["loose" if case.how == "detached" else "web"]]
        params = PARAMS.get(case.how)
        places = world.source.entry, world.destination.entry
        migration = world.ferry.migrate(*places, documents=documents, migration_params=params)
        if case.how == "cut-over":
            world.await_line(migration, "cutover", lambda s: s["state"] == "resting" and s["results"].get("written"))
            if sabotage is None:
                refuse(world, case, stack)
            else:
                write(world, migration)
                before[0]["contents"] = state_of(world.source)["contents"]
            world.ferry.control(migration, "cutover")
        if sabotage is not None:
            sabotage(world, case, migration)
        if case.lost:
            lose_answers(world, case, migration, stack)
        state = finish(world, case, migration)
    check(case, state)
    if case.task.tolerated:  # it has crossed, and goes back when somebody wants it to
        world.ferry.control(migration, "undo")
        world.ferry.wait_for(migration, "undone", timeout=300)
    assert left_over(world.source) == left_over(world.destination) == []
    for was, now in zip(before, world.state(), strict=True):
        assert now == was


def finish(world: World, case: Case, migration: str) -> Any:
    """Wait until it's over; what is refused needs a person, who lets it try again."""
    told: set[str] = set()

    def over() -> bool:
        state = world.ferry.show(migration)
        if state["phase"] == "stuck" and state["reason"] not in told:
            told.add(state["reason"])
            world.ferry.control(migration, "retry")
        return bool(state["phase"] == "done")

    assert until(over, 600), world.ferry.show(migration)["reason"]
    assert bool(told) == (case.lost == "refused"), told
    return world.ferry.show(migration)


def check(case: Case, state: Any) -> None:
    """The line failed, and nothing else; and what people are told of it."""
    failed = [s for s in state["steps"] if s["state"] == "failed" and s["key"] != s["group"]]
    (head,) = [s for s in state["steps"] if s["key"] == s["group"]]
    assert all(is_of(s["key"], case.line) for s in failed), [(s["key"], s["reason"]) for s in failed]
    if case.task.tolerated:
        assert failed
        assert head["state"] == "done"
        return
    kind = {"segment": "volume"}.get(case.task.each, case.task.each).replace("_", " ")
    what = next(task.id for task in WORKLOAD if (task.name, task.each) == (case.task.name, case.task.each))
    assert re.match(f"{kind} '[^']*': {f'{what}: ' if case.task.name else ''}", head["reason"]), head["reason"]
    assert head["state"] == "failed"
    untouched = case.line in ("check", "check-volume", "look")
    assert head["reason"].endswith("taken back") != untouched, head["reason"]


# -- several at once -----------------------------------------------------------------------------------------------


def new_world(source: Any, destination: Any, stack: ExitStack, services: Any) -> World:
    net = ground(source)
    ground(destination)
    disks = [disk(source, "boot", [0, 1, 2, 3, 1000], bootable=True), disk(source, "data", [7])]
    server(source, "web", net, disks, floating=True, trunk=True)
    disk(source, "loose", [0, 1, 2, 3, 900])
    hosts = tuple(stack.enter_context(conversion_hosts(services, (source, destination), slots=4, bandwidth=MIB)))
    ferry = stack.enter_context(Client(services.uri()))
    exported = ferry.wait(ferry.migrate(source.entry, None, mode="export", selection={"kinds": ["server", "volume"]}))
    steps = ferry.show(exported["id"], documents=True)["steps"]
    documents = {s["document"]["params"]["name"]: s["document"] for s in steps if s["action"] == "keep"}
    return World(source, destination, hosts, ferry, documents)


@pytest.fixture(scope="module")
def played(request, sandbox, clouds_file, stack) -> Iterator[dict[str, Future[None]]]:
    """What became of each case that is to be tested."""
    callspecs = [getattr(item, "callspec", None) for item in request.session.items if item.module is request.module]
    wanted: list[Case] = [c.params["case"] for c in callspecs if c is not None]
    worlds: queue.SimpleQueue[World] = queue.SimpleQueue()

    def run(case: Case) -> None:
        world = worlds.get()
        try:
            play(world, case)
        except BaseException:
            worlds.put(fresh())  # nobody knows what is left in the other one
            raise
        worlds.put(world)

    with tenants(sandbox, clouds_file) as make, ExitStack() as opened:
        making = threading.Lock()

        def fresh() -> World:
            with making:
                pair = make("src"), make("dst"), opened.enter_context(ExitStack())
            return new_world(*pair, services=stack)

        many = min(AT_ONCE, len(wanted))
        with ThreadPoolExecutor(many) as pool:
            for world in pool.map(lambda _: fresh(), range(many)):
                worlds.put(world)
            try:
                yield {str(case): pool.submit(run, case) for case in wanted}
            finally:
                pool.shutdown(cancel_futures=True)


#: what is tested every time; the rest takes minutes
FEW = ("attach-destination-cold-after", "server-cold-after", "trunk-cold-after", "warm-expose-volume-warm-before")


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=str(c), marks=[] if str(c) in FEW else [pytest.mark.chaos]) for c in cases()]
)
def test_a_failure_of_a_line_leaves_both_clouds_as_they_were(case: Case, played: dict[str, Future[None]]) -> None:
    played[str(case)].result()
