"""The coordinator's work for each message of a large migration of servers, and whether hosts ever wait for it.

    python benchmarks/scheduler.py [--servers 1000] [--volumes 3] [--hosts 8] [--slots 4] [--messages 20000]

Servers with volumes are planned and assigned to the hosts of two clouds; workers and agents that answer at once are
played by this program. Measured are the CPU seconds of everything that the coordinator does in its process with a
message, but for AMQP: transaction on SQLite, core, outbox. After each message that gave places back, no host may have
a free slot while a volume waits for one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select
from stackferry import __version__, messages
from stackferry.bus import Outgoing
from stackferry.envelope import Envelope
from stackferry_coordinator.hosts import presence
from stackferry_coordinator.storage import database
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.transactions.shell import Shell
from stackferry_coordinator.trust.authority import Authority

MIGRATION = str(uuid.uuid4())
CLOUDS = ("src", "dst")
BY_MESSAGE = 50  # documents
SEEN_EVERY = 10.0


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
        self.engine, self.outbox = database.connect(f"sqlite:///{folder}/bench.db"), Outbox()
        database.upgrade(self.engine)
        self.options, self.made = options, 0
        self.coordinator = Shell(self.engine, self.outbox, authority=Authority(own_user=""))  # type: ignore[arg-type]
        self.cpu: list[float] = []
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

    def plan(self) -> float:
        """Request the migration; return the CPU seconds of planning."""
        began, count = time.process_time(), self.options.servers
        parts = range(0, count, BY_MESSAGE)
        request = {"migration": MIGRATION, "source": {"cloud": "src"}, "destination": {"cloud": "dst"}, "mode": "run"}
        self.coordinator.take(messages.RequestMigration.make("bench", {**request, "parts": len(parts)}, None))
        for number, first in enumerate(parts, 1):
            found = [server(n, self.options.volumes) for n in range(first, min(first + BY_MESSAGE, count))]
            data = {"migration": MIGRATION, "part": number, "documents": found}
            self.coordinator.take(messages.SubmitDocuments.make("bench", data, None))
        return time.process_time() - began

    def run(self) -> None:
        """Answer whatever is asked, until it's done or enough messages were measured."""
        while len(self.cpu) < self.options.messages and (self.coordinator.relay() or self.outbox.sent):
            while self.outbox.sent and len(self.cpu) < self.options.messages:
                self.answer(Envelope.from_bytes(self.outbox.sent.popleft(), "application/cloudevents+json"))
            self.watch()

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
        about = {"migration": MIGRATION, "step": data["step"], "attempt": data["attempt"]}
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
            counts = connection.execute(select(t.migration.c.counts)).scalar_one()
            hosts = presence.hosts(connection, time.time()).hosts
        if counts.get("wanting"):
            self.idle += min(sum(h.slots - h.used for h in hosts if h.cloud == cloud) for cloud in CLOUDS)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("servers", 1000), ("volumes", 3), ("hosts", 8), ("slots", 4), ("messages", 20000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackferry-bench-") as folder:
        bench = Bench(Path(folder), options)
        planned = bench.plan()
        bench.run()
    mean, median = statistics.mean(bench.cpu), statistics.median(bench.cpu)
    print(f"{options.servers} servers, {options.servers * options.volumes} volumes, {2 * options.hosts} hosts")
    print(f"planned in {planned:.1f} s of CPU; {len(bench.cpu)} messages: {1000 * mean:.2f} ms of CPU each (mean), ")
    print(f"{1000 * median:.2f} ms (median); slots that were idle while a volume waited: {bench.idle}")


if __name__ == "__main__":
    main()
