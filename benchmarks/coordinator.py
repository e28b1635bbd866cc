"""The coordinator's work with large migrations of servers: planning, each message, cancel, retry, what people ask.

    python benchmarks/coordinator.py [--servers 1000 10000] [--migrations 1] [--volumes 3] [--hosts 8] [--slots 4]
                                     [--messages 6000] [--database postgresql+psycopg://...]

Servers with volumes are planned and assigned to the hosts of two clouds; workers and agents that answer at once are
played by this program. Measured are the CPU seconds of everything that the coordinator does in its process, but for
AMQP: transactions, core, outbox; and the longest transaction, by the clock. Once every slot is busy, each tells its
progress for a while, once a second. Then people cancel the migrations, and retry them. After each message that gave
places back, no host may have a free slot while a volume waits for one. Each size runs in a process of its own, so that
its memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event, select
from stackferry import __version__, messages
from stackferry.bus import Outgoing
from stackferry.envelope import Envelope
from stackferry.phases import OVER
from stackferry_coordinator import queries
from stackferry_coordinator.hosts import presence
from stackferry_coordinator.storage import database
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.transactions.shell import Shell
from stackferry_coordinator.trust.authority import Authority
from stackferry_runtime import garbage, logs

CLOUDS = ("src", "dst")
BY_MESSAGE = 50  # documents
SEEN_EVERY = 10.0
TOLD = 30  # times that each busy slot tells its progress, a second apart


class Outbox:
    """Takes what the coordinator publishes."""

    def __init__(self) -> None:
        self.sent: deque[bytes] = deque()

    def publish_all(self, outgoing: list[Outgoing]) -> list[None]:
        self.sent += [one.body for one in outgoing]
        return [None] * len(outgoing)

    def declare(self, queue: Any) -> None:
        """Queues aren't needed here."""


def document(type_: str, id_: str, params: dict[str, Any], **info: Any) -> dict[str, Any]:
    return {"type": type_, "params": params, "_info": {"id": id_, **info}, "_migration_params": {}}


def server(number: int, volumes: int) -> dict[str, Any]:
    """A stopped server with a port and so many volumes."""
    disks = [document("openstack.network.ServerVolume", f"v{number}-{n}", {"name": f"v{number}-{n}"}, size=10,
                      boot_index=n)
             for n in range(volumes)]  # fmt: skip
    port = document("openstack.network.ServerPort", f"p{number}", {})
    params = {"name": f"s{number}", "flavor_ref": {"name": "small"}, "ports": [port], "floating_ips": [],
              "volumes": disks}  # fmt: skip
    return document("openstack.compute.Server", f"s{number}", params, status="SHUTOFF")


class Bench:
    """A coordinator with its database, and the world around it."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.engine, self.outbox = database.connect(options.database or f"sqlite:///{folder}/bench.db"), Outbox()
        database.upgrade(self.engine)
        self.longest, self.begun = 0.0, 0.0
        event.listen(self.engine, "begin", self._begins)
        event.listen(self.engine, "commit", self._ends)
        self.options, self.made, self.ahead = options, 0, 0.0
        self.migrations = [str(uuid.uuid4()) for _ in range(options.migrations)]
        self.coordinator = Shell(
            self.engine,
            self.outbox,
            clock=lambda: time.time() + self.ahead,
            authority=Authority(own_user=""),  # type: ignore[arg-type]
        )
        self.cpu: list[float] = []
        self.progress: list[float] = []
        self.fetches: deque[Envelope] = deque()  # of busy slots
        self.idle = 0
        self.be_seen()

    def be_seen(self) -> None:
        """Every agent says that it's there."""
        self.seen = time.monotonic()
        for cloud in CLOUDS:
            for number in range(self.options.hosts):
                self.coordinator.agent_seen(self._agent(cloud, number))

    def _agent(self, cloud: str, number: int) -> dict[str, Any]:
        return {"host": f"{cloud}-{number}", "instance": "1", "cloud": cloud, "project": None,
                "slots": self.options.slots, "version": __version__, "certificate": "pem"}  # fmt: skip

    def _begins(self, _: Any) -> None:
        self.begun = time.monotonic()

    def _ends(self, _: Any) -> None:
        self.longest = max(self.longest, time.monotonic() - self.begun)

    def control(self, action: str) -> dict[str, float]:
        """Let somebody control all migrations; return the CPU seconds until nothing more follows, and the longest
        transaction."""
        self.longest, began = 0.0, time.process_time()
        if action == "cancel":
            self.migrations = self.unfinished()
        for migration in self.migrations:
            told = {"migration": migration, "action": action}
            self.coordinator.take(messages.ControlMigration.make("bench", told, None))
        self.finish()
        return {"cpu": time.process_time() - began, "longest": self.longest, "phase": self.phase()}  # type: ignore[dict-item]

    def unfinished(self) -> list[str]:
        """The migrations that aren't over: small ones may be, by now."""
        c = t.migration.c
        with self.engine.connect() as connection:
            return list(connection.execute(select(c.id).where(c.phase.not_in(OVER))).scalars())

    def finish(self) -> None:
        """Do all slices of what concerns whole migrations."""
        while self.coordinator.relay() or self.coordinator.go_on():
            pass

    def phase(self) -> str:
        with self.engine.connect() as connection:
            return ", ".join(connection.execute(select(t.migration.c.phase).distinct()).scalars())

    def first_page(self, **asked: Any) -> float:
        """CPU seconds of the first page that people get."""
        began = time.process_time()
        next(iter(queries.describe(self.engine, {"reply_to": "bench", **asked}, lambda _: True)))
        return time.process_time() - began

    def plan(self) -> float:
        """Request the migrations; return the CPU seconds of planning."""
        began, count = time.process_time(), self.options.servers[0] // len(self.migrations)
        parts = range(0, count, BY_MESSAGE)
        for migration in self.migrations:
            request = {"migration": migration, "source": {"cloud": "src"}, "destination": {"cloud": "dst"}}
            about = {**request, "mode": "run", "parts": len(parts)}
            self.coordinator.take(messages.RequestMigration.make("bench", about, None))
            for number, first in enumerate(parts, 1):
                found = [server(n, self.options.volumes) for n in range(first, min(first + BY_MESSAGE, count))]
                data = {"migration": migration, "part": number, "documents": found}
                self.coordinator.take(messages.SubmitDocuments.make("bench", data, None))
        self.finish()
        return time.process_time() - began

    def run(self, hold: bool = False) -> None:
        """Answer whatever is asked, until it's done or enough messages were measured. *hold*: but nothing is copied."""
        while len(self.cpu) < self.options.messages and (self.coordinator.relay() or self.outbox.sent):
            while self.outbox.sent and len(self.cpu) < self.options.messages:
                sent = Envelope.from_bytes(self.outbox.sent.popleft(), "application/cloudevents+json")
                if hold and sent.type.endswith("fetch-segment.v1"):
                    self.fetches.append(sent)
                else:
                    self.answer(sent)
            self.watch()

    def tell_progress(self) -> None:
        """Each busy slot says how far it is, once a second; then all of them are done."""
        told = [{name: sent.data[name] for name in ("migration", "step", "attempt")} for sent in self.fetches]
        waiting, self.outbox.sent = self.outbox.sent, deque()
        for second in range(TOLD):
            self.ahead += 1
            if second % SEEN_EVERY == 0:
                self.be_seen()
            for about in told:
                data = {**about, "done": second << 20, "total": 10 << 30}
                envelope, began = messages.StepProgressed.make("bench", data, None), time.process_time()
                self.coordinator.take(envelope)
                self.coordinator.relay()
                self.progress.append(time.process_time() - began)
        self.outbox.sent = waiting  # what was told is nobody's to answer
        for sent in self.fetches:
            self.answer(sent)

    def take(self, function: Callable[[Envelope], Any], message: type[messages.Message], data: dict[str, Any]) -> None:
        """Let the coordinator take in one message, and note what that cost, with the sending of what follows."""
        envelope, began = message.make("bench", data, None), time.process_time()
        function(envelope)
        self.coordinator.relay()
        self.cpu.append(time.process_time() - began)

    def answer(self, sent: Envelope) -> None:
        """What workers and agents would do."""
        if time.monotonic() - self.seen > SEEN_EVERY:
            self.be_seen()
        name, data = sent.type.split(".")[1], sent.data
        if "step" not in data:
            return
        about = {name: data[name] for name in ("migration", "step", "attempt")}
        if name != "fetch-segment":
            claim = {**about, "token": uuid.uuid4().hex, "again": False, "reply_to": "bench"}
            self.take(self.coordinator.claim, messages.StepClaimed, claim)
        if name == "offer-segment":
            offer = {**about, "address": "h:1", "certificate": "pem", "size": 10 << 30}
            self.take(self.coordinator.take, messages.SegmentOffered, offer)
        else:
            self.take(self.coordinator.take, messages.StepEnded, {**about, **self.outcome(name, data)})
        if name == "fetch-segment":
            served = {**about, "blocks": 4096, "digest": "all"}
            self.take(self.coordinator.take, messages.SegmentServed, served)

    def outcome(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        """How a try ends."""
        if name in ("ensure-resource", "compare-resource"):
            self.made += 1
            return {"outcome": "created", "destination_id": f"d{self.made}"}
        if name == "fetch-segment":
            return {"outcome": "done", "results": {"counts": {"raw": 4096}, "part": "all"}}
        found = {"look": {"status": "SHUTOFF"}, "expose": {"volume": f"clone-{data.get('resource')}", "size": 10}}
        return {"outcome": "done", "results": found.get(data.get("action", ""), {})}

    def watch(self) -> None:
        """Count free slots while a volume waits."""
        with self.engine.connect() as connection:
            counts = connection.execute(select(t.migration.c.counts)).scalars()
            hosts = presence.hosts(connection, time.time() + self.ahead).hosts
            is_wanted = any(one.get("wanting") for one in counts)
        if is_wanted:
            self.idle += min(sum(h.slots - h.used for h in hosts if h.cloud == cloud) for cloud in CLOUDS)


def one(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one size."""
    with tempfile.TemporaryDirectory(prefix="stackferry-bench-") as folder:
        bench = Bench(Path(folder), options)
        garbage.collect_rarely()
        found: dict[str, Any] = {"servers": options.servers[0], "plan": bench.plan(), "plan longest": bench.longest}
        bench.longest = 0.0
        bench.run(hold=True)
        found |= {"busy": len(bench.fetches)}
        bench.tell_progress()
        bench.run()
        found |= {
            "progress": statistics.mean(bench.progress) if bench.progress else None,
            "messages": len(bench.cpu),
            "mean": statistics.mean(bench.cpu),
            "median": statistics.median(bench.cpu),
        }
        found |= {"message longest": bench.longest, "idle": bench.idle}
        found |= {"list": bench.first_page(), "show": bench.first_page(migration=bench.migrations[0])}
        for action in ("cancel", "retry"):
            found[action] = bench.control(action)
            bench.options.messages += 10**6 if action == "cancel" else 0  # what is under way ends
            if action == "cancel":
                bench.run()
                found["cancelled"] = bench.phase()
        found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, nargs="+", default=[1000, 10000])
    for name, default in (("migrations", 1), ("volumes", 3), ("hosts", 8), ("slots", 4), ("messages", 6000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    logs.configure("WARNING")
    if len(options.servers) == 1:
        print(json.dumps(one(options)))
        return
    rest = [word for name in ("migrations", "volumes", "hosts", "slots", "messages", "database")
            for word in (f"--{name}", str(getattr(options, name)))]  # fmt: skip
    for number in options.servers:
        words = [sys.executable, __file__, "--servers", str(number), *rest]
        row = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(
            f"{number} servers: planned in {row['plan']:.1f} s of CPU (longest transaction {row['plan longest']:.2f} s); "
            f"{row['messages']} messages: {1000 * row['mean']:.2f} ms of CPU each (mean), {1000 * row['median']:.2f} "
            f"(median), longest {row['message longest']:.2f} s; slots idle while a volume waited: {row['idle']}; "
            f"progress of {row['busy']} slots: {1000 * (row['progress'] or 0):.2f} ms"
        )
        for action in ("cancel", "retry"):
            print(
                f"  {action}: {row[action]['cpu']:.1f} s of CPU, longest transaction {row[action]['longest']:.2f} s, "
                f"then {row[action]['phase']}"
            )
        print(
            f"  list {1000 * row['list']:.0f} ms, show {1000 * row['show']:.0f} ms (first pages); {row['memory']:.0f} MB"
        )


if __name__ == "__main__":
    main()
