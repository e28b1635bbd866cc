"""The gateway under load: many listeners while events flow, and first pages of many migrations.

    python benchmarks/gateway.py [--listeners 200] [--rate 500] [--seconds 30] [--migrations 1000] [--steps 100]

A coordinator's events are published at a steady rate; each listener, of a process of their own, notes how old they are when
they arrive, and that none is missing. Then migrations with steps are in the coordinator's database, and the first pages
are asked for; measured are seconds of CPU of gateway and coordinator.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, insert
from stackferry import topology
from stackferry.bus import Outgoing, Publisher
from stackferry.messages import MigrationChanged
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack
from stackferry_coordinator.storage import tables as t

HERTZ = os.sysconf("SC_CLK_TCK")
SAID = re.compile(rb'"reason":"([0-9.]+)"')


def cpu(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


def memory(pid: int | None) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


async def listen(host: str, port: int, token: str, until_: float, found: list[Any]) -> None:
    """One listener: how late the first event of each chunk was, and whether one was missing.

    It looks at a chunk's first and last event and counts the others: to parse 100,000 a second would be this program's
    own limit.
    """
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 24)
    writer.write(f"GET /v1/events HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    late, many, numbers, rest = [], 0, [], b""
    while time.time() < until_:
        try:
            part = await asyncio.wait_for(reader.read(1 << 20), 1)
        except TimeoutError:
            continue
        whole, _, rest = (rest + part).rpartition(b"\n\n")
        if told := SAID.search(whole):
            late.append(time.time() - float(told[1]))
            many += whole.count(b"\nevent: ")
            numbers += [
                int(whole[at + 4 : whole.index(b"\n", at + 4)])
                for at in (whole.find(b"id: "), whole.rfind(b"\nid: ") + 1)
            ]
    writer.close()
    found.append((max(late, default=0.0), statistics.median(late or [0.0]), many, numbers[-1] - numbers[0] + 1 - many))


async def listeners(host: str, port: int, token: str, many: int, seconds: float) -> None:
    found: list[Any] = []
    end = time.time() + seconds
    await asyncio.gather(*(listen(host, port, token, end, found) for _ in range(many)))
    latest, medians, counts, missing = zip(*found, strict=True)
    print(json.dumps({"latest": max(latest), "median": statistics.median(medians), "least": min(counts),
                      "most": max(counts), "missing": sum(missing)}))  # fmt: skip


def tell(uri: str, rate: int, seconds: float) -> int:
    """Publish events at a steady rate; return how many."""
    publisher, told, began = Publisher(uri, "benchmark"), 0, time.monotonic()
    migration = str(uuid.uuid4())
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate) - told
        events = [
            MigrationChanged.make("benchmark", {"migration": migration, "phase": "running", "was": "new", "paused": False,
                                                "reason": str(time.time()), "totals": {"asked": 1}})
            for _ in range(due)
        ]  # fmt: skip
        publisher.publish_all(
            [Outgoing.of(topology.EVENTS.name, f"a.b.{migration}.migration-changed", e) for e in events]
        )
        told += due
        time.sleep(0.05)  # what is due by then goes out together, as the coordinator's relay does it
    publisher.close()
    return told


def fill(stack: Stack, migrations: int, steps: int) -> str:
    """Put migrations with steps into the database; return the id of one."""
    engine = create_engine(stack.database_url)
    ids = [str(uuid.uuid4()) for _ in range(migrations)]
    request = {"source": {"cloud": "src"}, "destination": {"cloud": "dst"}, "mode": "run"}
    heads = [{"id": id_, "request": {**request, "migration": id_}, "mode": "run", "phase": "done", "created": time.time(),
              "changed": time.time(), "counts": {"done": steps}} for id_ in ids]  # fmt: skip
    rows = [{"migration": id_, "key": f"network/{n}", "action": "ensure", "kind": "network", "name": f"net-{n}", "order": n,
             "state": "done", "outcome": "created"} for id_ in ids for n in range(steps)]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(t.migration), [_filled(t.migration, row) for row in heads])
        for first in range(0, len(rows), 5000):
            connection.execute(insert(t.step), [_filled(t.step, row) for row in rows[first : first + 5000]])
    return ids[len(ids) // 2]


def _filled(table: Any, row: dict[str, Any]) -> dict[str, Any]:
    """A row with something in every column that can't be empty."""
    empty = {"INTEGER": 0, "FLOAT": 0.0, "BOOLEAN": False, "JSON": {}}
    found = dict(row)
    for column in table.columns:
        if (
            column.name not in found
            and not column.nullable
            and column.default is None
            and column.server_default is None
        ):
            found[column.name] = empty.get(str(column.type).split("(")[0], "")
    for name in ("made", "notes", "changes"):
        if name in table.columns:
            found[name] = []
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("listeners", 200), ("rate", 500), ("seconds", 30), ("migrations", 1000), ("steps", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--listen", nargs=3, metavar=("HOST", "PORT", "TOKEN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.listen:
        host, port, token = options.listen
        asyncio.run(listeners(host, int(port), token, options.listeners, options.seconds + 5))
        return
    with tempfile.TemporaryDirectory(prefix="stackferry-bench-", dir="/dev/shm") as folder:
        stack = Stack(Path(folder))
        try:
            stack.up({"exporter": 1, "importer": 1, "gateway": 1}, {"STACKFERRY_RATE": "10000"})
            measure(stack, options)
        finally:
            stack.down()


def measure(stack: Stack, options: argparse.Namespace) -> None:
    url, token = httpx.URL(stack.gateway.url()), stack.gateway.token_file.read_text()
    gateway, coordinator = (stack.process(name).pid() for name in ("gateway", "coordinator"))
    http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False)
    assert until(lambda: http.get("/readyz").status_code == 200, 30)
    before, began = memory(gateway), cpu(gateway)
    words = [sys.executable, __file__, "--listen", url.host, str(url.port), token]
    words += ["--listeners", str(options.listeners), "--seconds", str(options.seconds)]
    heard = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    listening = f"stackferry_http_listeners {float(options.listeners)}"
    assert until(lambda: listening in http.get("/metrics").text, 60), "not all of them came in"
    found: dict[str, int] = {}
    teller = threading.Thread(
        target=lambda: found.update(told=tell(stack.uri("coordinator"), options.rate, options.seconds))
    )
    teller.start()
    teller.join(options.seconds / 2)
    middle = memory(gateway)
    teller.join()
    said = json.loads(heard.communicate()[0])
    print(
        f"{options.listeners} listeners, {found['told'] / options.seconds:.0f} events a second for {options.seconds} s: "
        f"none more than {said['latest']:.2f} s late, median {said['median']:.2f}; {said['missing']} missing; heard "
        f"{said['least']} to {said['most']}; gateway {100 * (cpu(gateway) - began) / options.seconds:.0f} % of a core, "
        f"memory {before} → {middle} → {memory(gateway)} MB"
    )
    migration = fill(stack, options.migrations, options.steps)
    assert http.post("/sign-in", data={"token": token, "next": "/"}).status_code == 303  # a session, for the page
    here = f"/v1/migrations/{migration}"
    for path in ("/v1/migrations", here, f"{here}/steps", "/v1/hosts", "/", f"/migrations/{migration}", "/trouble"):
        http.get(path)
        began, many, size = cpu(gateway) + cpu(coordinator), 20, 0
        for _ in range(many):
            answer = http.get(path)
            assert answer.status_code == 200
            size = len(answer.content)
        used = 1000 * (cpu(gateway) + cpu(coordinator) - began) / many
        print(f"GET {path.replace(migration, '{id}'):32} {used:6.1f} ms, {size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
