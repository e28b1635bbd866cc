"""Services, agents and the broker are killed while servers cross: each arrives once and whole, and nothing is left."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from stackferry.client import Client
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack
from stackferry_sandbox.errors import SandboxError

from ..clouds.hosts import conversion_host
from ..clouds.servers import MIB, content, devices, disk, ground, powered, server
from ..clouds.test_workloads import bad, left_over
from ..conftest import scratch

SEED = int(os.environ.get("SEED") or 1)
SIZE = int(os.environ.get("SIZE") or 6)  # servers
KILLS = int(os.environ.get("KILLS") or 12)
pytestmark = [pytest.mark.chaos, pytest.mark.clouds, pytest.mark.timeout(900 + 120 * SIZE + 30 * KILLS)]
LOST = 35  # seconds of silence after which a host's volumes go to the other one
KINDS = ["network", "subnet", "router", "router_interface", "server"]


# -- what is moved -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pet:
    """One of the servers: every second one runs, every fourth is copied while it does."""

    number: int

    @property
    def name(self) -> str:
        return f"pet-{self.number:03}"

    @property
    def runs(self) -> bool:
        return self.number % 2 == 0

    @property
    def warm(self) -> bool:
        return self.number % 4 == 0

    @property
    def floating(self) -> bool:
        return self.number % 3 == 0

    def blocks(self, disk: str) -> list[int]:
        """Where this disk has noise, in MiB."""
        rnd = random.Random(f"{SEED} {self.name} {disk}")
        return rnd.sample(range(1024), rnd.randint(2, 6))

    def make(self, tenant: Any, net: Any) -> Any:
        """Create it; return it."""
        names = [f"{self.name}-{part}" for part in ("boot", "data")]
        disks = [disk(tenant, name, self.blocks(name), bootable=name == names[0]) for name in names]
        made = server(tenant, self.name, net, disks, self.floating)
        if not self.runs:
            tenant.connect().compute.stop_server(made)
            tenant.connect().compute.wait_for_server(made, "SHUTOFF", interval=0.3, wait=300)
        return made


PETS = [Pet(number) for number in range(SIZE)]


@contextmanager
def guests(tenant: Any) -> Iterator[list[str]]:
    """What the guests of the servers that run would do: they write now and then. Yields a line for each write."""
    over, written, rnd = threading.Event(), [], random.Random(SEED)
    compute = tenant.connect().compute
    disks = [
        (s.id, tenant.box.volume_file(tenant.cloud, v["id"]))
        for s in compute.servers() if s.name.startswith("pet-") for v in s.attached_volumes
    ]  # fmt: skip

    def write() -> None:
        while not over.wait(0.2):
            id_, path = rnd.choice(disks)
            noise, at = rnd.randbytes(65536), rnd.randrange(1024) * MIB
            with path.open("r+b") as disk:
                disk.seek(at)
                if powered(tenant, id_):
                    disk.write(noise)
                    written.append(f"{path.name} at {at}")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        over.set()
        thread.join()


# -- what is killed ----------------------------------------------------------------------------------------------


@dataclass
class Storm:
    """Kills by seed, and starts again what it has killed, as systemd would."""

    stack: Stack
    environ: dict[str, str]
    hosts: list[tuple[Any, str]]  # tenant, id of the server
    rnd: random.Random = field(default_factory=lambda: random.Random(SEED))
    coming: list[tuple[float, Callable[[], None]]] = field(default_factory=list)  # when what is started again
    away: set[str] = field(default_factory=set)
    log: Counter[str] = field(default_factory=Counter)

    def rage(self, migration: str) -> None:
        """Kill until it's enough, or the migration is over: evenly over its steps, but never wait long."""
        for number in range(KILLS):
            aim = self.rnd.uniform(number, number + 1) / KILLS
            until(lambda aim=aim: self.tend() or self.over(migration) or self.done(migration) >= aim, 20)
            if self.over(migration):
                break
            self.strike(number)
        while self.coming:
            until(lambda: self.tend() or not self.coming, 120)

    def strike(self, number: int) -> None:
        """Kill something that runs."""
        if number % 8 == 4 and not self.away:
            self.lose_host()
            return
        kills = [self.kill_service] * 5 + [self.kill_agent] * 6 + [self.kill_broker]
        self.rnd.choice(kills)()

    def kill_service(self) -> None:
        name = self.rnd.choice(("coordinator", "exporter", "importer"))
        if (pid := self.stack.process(name).pid()) is not None:
            os.kill(pid, signal.SIGKILL)
            self.log[name] += 1
        self.later(self.rnd.uniform(1, 5), self.services)

    def kill_broker(self) -> None:
        self.stack.node.kill()
        self.log["broker"] += 1
        self.later(self.rnd.uniform(1, 5), self.services)

    def kill_agent(self) -> None:
        tenant, host = self.rnd.choice(self.hosts)
        self._kill_agent(tenant, host, self.rnd.choice((1, 2)))
        self.later(self.rnd.uniform(1, 5), lambda: self.agents(tenant, host))

    def lose_host(self) -> None:
        """All its agents stay away for so long that its work must move."""
        used = self.used()
        tenant, host = max(self.hosts, key=lambda h: (used[h[1]], h[1]))
        self.away.add(host)
        for instance in (1, 2):
            self._kill_agent(tenant, host, instance)
        self.log["host"] += 1
        self.later(LOST + self.rnd.uniform(10, 25), lambda: self.agents(tenant, host, back=True))

    def _kill_agent(self, tenant: Any, host: str, instance: int) -> None:
        with suppress(SandboxError):  # it's dead already
            tenant.box.kill_agent(tenant.cloud, host, instance)
            self.log["agent"] += 1

    # -- and started again

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        self.coming.append((time.monotonic() + seconds, what))

    def tend(self) -> bool:
        """Start what is due."""
        due = [entry for entry in self.coming if entry[0] <= time.monotonic()]
        for entry in due:
            self.coming.remove(entry)
            entry[1]()
        return False

    def services(self) -> None:
        self.stack.up(environ=self.environ)

    def agents(self, tenant: Any, host: str, back: bool = False) -> None:
        if back:
            self.away.discard(host)
        if host not in self.away:
            tenant.box.start_agents(tenant.cloud, host)

    # -- what the coordinator knows, whether it lives or not

    def ask(self, question: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(f"file:{self.stack.folder}/stackferry.db?mode=ro", uri=True, timeout=60)) as db:
            return db.execute(question, values).fetchall()

    def over(self, migration: str) -> bool:
        rows = self.ask("SELECT phase FROM migration WHERE id = ?", migration)
        return bool(rows) and rows[0][0] not in ("new", "running")

    def done(self, migration: str) -> float:
        """Which part of the steps is over."""
        ((done, all_),) = self.ask(
            "SELECT sum(state IN ('done', 'removed')), count(*) FROM step WHERE migration = ?", migration
        )
        return (done or 0) / (all_ or 1)

    def used(self) -> Counter[str]:
        """How many volumes are on each host."""
        rows = self.ask("SELECT json_extract(results, '$.source_host'), json_extract(results, '$.destination_host') "
                        "FROM step WHERE state = 'holding'")  # fmt: skip
        return Counter(host for row in rows for host in row)

    def moved(self, migration: str) -> int:
        """How many volumes were taken off a lost host."""
        question = "SELECT count(*) FROM step WHERE migration = ? AND key LIKE '%/move/%'"
        return int(self.ask(question, migration)[0][0])


# -- the test ----------------------------------------------------------------------------------------------------


@pytest.fixture
def own(clouds_file):
    """Services of this test's own, to be killed."""
    environ = {"OS_CLIENT_CONFIG_FILE": str(clouds_file.path), "STACKFERRY_HOST_LOST": str(LOST)}
    with scratch("storm") as folder:
        stack = Stack(folder)
        try:
            stack.up(environ=environ)
            yield stack, environ
        finally:
            stack.down()


@pytest.fixture
def hosts(source, destination, own):
    """Two conversion hosts in each cloud with two agents each; slow enough that kills come in the middle."""
    stack, _ = own
    with ExitStack() as opened:
        yield [
            (tenant, opened.enter_context(
                conversion_host(tenant, stack, agents=2, bandwidth=2 * MIB)).id)
            for tenant in (source, source, destination, destination)
        ]  # fmt: skip


@pytest.fixture
def pets(source):
    """The servers, in a network with a way out."""
    net = ground(source)
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda pet: pet.make(source, net), PETS))


def documents(ferry: Client, source: Any) -> list[dict[str, Any]]:
    """What is exported; of some servers it's said that they cross warm."""
    names = {"server": [pet.name for pet in PETS]}
    selection = {"kinds": KINDS, "filters": names}
    exported = ferry.wait(ferry.migrate(source.entry, None, mode="export", selection=selection), timeout=120)
    steps = ferry.show(exported["id"], documents=True)["steps"]
    found = [step["document"] for step in steps if step["action"] == "keep"]
    warm = {pet.name for pet in PETS if pet.warm}
    for document in found:
        if document["type"] == "openstack.compute.Server" and document["params"]["name"] in warm:
            document["_migration_params"]["mode"] = "warm"
    return found


def test_servers_cross_while_everything_is_killed(source, destination, pets, hosts, own):
    stack, environ = own
    storm, began = Storm(stack, environ, hosts), time.monotonic()
    with Client(stack.uri()) as ferry:
        said = documents(ferry, source)
        with guests(source) as written:
            migration = ferry.migrate(source.entry, destination.entry, documents=said)
            assert until(lambda: bool(storm.ask("SELECT 1 FROM migration WHERE id = ?", migration)), 60)
            storm.rage(migration)
            state = ferry.wait_for(migration, "done", timeout=600 + 60 * SIZE)
    kills = ", ".join(f"{many} of {what}" for what, many in sorted(storm.log.items()))
    print(f"\n{SIZE} servers, seed {SEED}, {time.monotonic() - began:.0f} s; killed: {kills}; "
          f"{storm.moved(migration)} disks taken off a lost host; {len(written)} writes of guests")  # fmt: skip
    if failed := bad(state):
        evidence(state, failed[0][0], hosts)
    assert failed == []
    assert sum(storm.log.values()) >= min(KILLS, 4)
    assert written
    once_and_whole(source, destination)
    nothing_left(source, destination, hosts)


def evidence(state: dict[str, Any], key: str, hosts: list[tuple[Any, str]]) -> None:
    """Print all that is known of a volume that failed: its steps, and what the agents have logged of it."""
    volume = "/".join(key.split("/")[:2])
    for step in state["steps"]:
        if step["key"].startswith(volume):
            print({name: step.get(name) for name in ("key", "state", "attempt", "outcome", "results", "reason")})
    for tenant, host in hosts:
        for log in sorted((tenant.box.server_folder(tenant.cloud, host) / "log").glob("agent-*.log")):
            lines = log.read_text(errors="replace").splitlines()
            print(f"{tenant.cloud} {host} {log.name}", *[line for line in lines if volume in line], sep="\n  ")


def once_and_whole(source: Any, destination: Any) -> None:
    """Every server is there once, with its own disks, port and floating IP; here it's switched off, and has its own."""
    here, there = ({s.name: s for s in t.connect().compute.servers()} for t in (source, destination))
    assert Counter(s.name for s in destination.connect().compute.servers() if s.name != "conversion") == Counter(
        pet.name for pet in PETS
    )
    assert {(name, s.status) for name, s in here.items() if name != "conversion"} == {(p.name, "SHUTOFF") for p in PETS}
    assert {(name, s.status) for name, s in there.items() if name != "conversion"} == {
        (p.name, "ACTIVE" if p.runs else "SHUTOFF") for p in PETS
    }
    assert parts(source) == parts(destination)
    contents = [
        {v.name: content(tenant, v.id) for v in tenant.connect().block_storage.volumes()}
        for tenant in (source, destination)
    ]
    assert contents[0] == contents[1]


def parts(tenant: Any) -> Counter[Any]:
    """Whose disks, ports and floating IPs there are, and how often."""
    c = tenant.connect()
    names = {s.id: s.name for s in c.compute.servers()}
    found: Counter[Any] = Counter()
    for volume in c.block_storage.volumes():
        found[volume.name, volume.status, *((names[a["server_id"]], a["device"]) for a in volume.attachments)] += 1
    owners = {}
    for port in c.network.ports(project_id=c.current_project_id):
        if port.device_owner.startswith("compute:") or not port.device_owner:
            owners[port.id] = names.get(port.device_id, "nobody")
            if owners[port.id] != "conversion":
                found["port", owners[port.id], *(ip["ip_address"] for ip in port.fixed_ips)] += 1
    for ip in c.network.ips():
        found["floating ip", owners.get(ip.port_id, "nobody")] += 1
    return found


def nothing_left(source: Any, destination: Any, hosts: list[tuple[Any, str]]) -> None:
    assert left_over(source) == left_over(destination) == []
    for tenant in (source, destination):
        c = tenant.connect()
        assert [i.name for i in c.image.images(owner=c.current_project_id)] == ["conversion"]
    assert [path for tenant, host in hosts for path in devices(tenant, host)] == []
