"""R1, R3, R5, R17: processes that are killed, stopped, frozen; clocks that jump."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .board import SEED, scaled, scored
from .world import Crossing, World

pytestmark = [pytest.mark.scoreboard, pytest.mark.clouds, pytest.mark.timeout(14_400)]
LEASE = 300.0  # seconds of silence after which a try is another worker's


def test_r1_kill_9_of_a_service(world: World) -> None:
    with scored("R1", "kill -9 of exporter, importer or coordinator at a random instant") as row:
        names = ("importer", "importer", "coordinator", "coordinator", "exporter")
        world.storm(row, scaled(200), lambda _: world.kill_9(world.random.choice(names)))


def test_r1_kill_9_while_servers_cross() -> None:
    """The storm of `make chaos`: services, agents, brokers and whole hosts, under servers with disks."""
    kills, size = scaled(40), max(4, scaled(8))
    with scored("R1b", "the same, of agents, hosts and the broker too, while servers with disks cross") as row:
        environ = {**os.environ, "SEED": str(SEED), "KILLS": str(kills), "SIZE": str(size)}
        words = [sys.executable, "-m", "pytest", "-q", "-rP", "-p", "no:cacheprovider", "-m", "chaos",
                 "tests/chaos/test_kill_servers.py"]  # fmt: skip
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        killed = re.search(r"killed: ([^;]*);", done.stdout)
        row.attempted = row.recovered = sum(map(int, re.findall(r"(\d+) of ", killed[1]))) if killed else 0
        row.acknowledged, row.completed = 1, int(done.returncode == 0)
        if done.returncode:
            row.unexpected += 1
            row.notes.append(done.stdout[-1500:])


def test_r3_restarts_of_the_broker(world: World) -> None:
    with scored("R3", "kill -9, or stop, of the broker, and start again") as row:

        def strike(_: Crossing) -> None:
            getattr(world.stack.node, world.random.choice(("kill", "stop")))()
            world.stack.node.start()

        world.storm(row, scaled(30), strike)


def test_r5_workers_that_come_back_from_the_dead(worlds: Any) -> None:
    """Each is frozen while it works, for two leases; its tries are another's by then, and what it still does is too late."""
    many = scaled(20)
    with (
        worlds({"importer": many + 2}) as world,
        scored("R5", "SIGSTOP of an importer for two leases, and back") as row,
    ):
        crossing = world.crossing(row, size=max(12, 3 * many), payload=0)
        assert crossing.goes_on(10)
        frozen = []
        for number in range(1, many + 1):
            pid = world.stack.process("importer" if number == 1 else f"importer-{number}").pid()
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            frozen.append(pid)
            row.attempted += 1
            time.sleep(world.random.uniform(0, 0.2))  # so that they're frozen at different places
        took = time.monotonic()
        try:
            time.sleep(2 * LEASE)  # what is tried: so long a silence
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        crossing.judge(row)
        row.recovered += row.attempted if row.completed else 0
        row.times.append(time.monotonic() - took - 2 * LEASE)


def test_r17_clocks_that_jump(worlds: Any, tmp_path: Path) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("optional: faketime is not installed (apt-get install faketime)")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environ = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
               "FAKETIME_DONT_FAKE_MONOTONIC": "1"}  # fmt: skip
    with worlds(of_coordinator=environ) as world, \
            scored("R17", "jumps of the coordinator's clock, up to a day ahead and back") as row:  # fmt: skip
        jumps = (86400, 3600, -3600, 600, 0, -86400)

        def strike(_: Crossing) -> None:
            fresh = clock.with_suffix(".new")
            fresh.write_text(f"{world.random.choice(jumps):+d}")
            fresh.replace(clock)

        world.storm(row, scaled(10), strike)


def test_r16_a_soak_leaves_memory_flat(world: World) -> None:
    """Tenants cross one after another; after the first few, no service grows by more than a tenth."""
    with scored("R16", "tenants that cross one after another: memory of the services stays flat") as row:

        def memory() -> dict[str, int]:
            return {line["process"]: line["memory_mb"] or 0 for line in world.stack.status()}

        before: dict[str, int] = {}
        for number in range(scaled(40)):
            crossing = world.crossing(row, size=5, payload=1)
            row.attempted += 1
            crossing.judge(row)
            row.recovered += 1
            if number == max(2, scaled(40) // 5):
                before = memory()
        grown = {name: (had, memory()[name]) for name, had in before.items() if memory()[name] > had * 1.1 + 5}
        row.notes.append(f"MB before and after: { ({name: (had, memory()[name]) for name, had in before.items()}) }")
        row.unexpected += len(grown)
