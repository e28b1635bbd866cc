"""A world to break: services of one's own, and one small tenant after another that crosses while things fail."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from stackferry.client import Client
from stackferry.errors import Error
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack
from stackferry_sandbox.seed import seed_stacks

from ..clouds.inventory import inventory
from ..clouds.test_images import images, put
from .board import SEED, Row

ENDS = ("done", "removed")
PATIENCE = 1200.0  # seconds after which a migration is stuck


@dataclass
class World:
    """Services of this row's own, which fail, and makers of tenants."""

    stack: Stack
    environ: dict[str, str]
    new_tenant: Callable[..., Any]
    random: random.Random = field(default_factory=lambda: random.Random(SEED))
    counts: dict[str, int] = field(default_factory=dict)
    of_coordinator: dict[str, str] = field(default_factory=dict)  # more of its environment

    def up(self) -> None:
        """Start what doesn't run."""
        if self.of_coordinator:
            self.stack.up({"coordinator": 1, "exporter": 0, "importer": 0}, {**self.environ, **self.of_coordinator})
        self.stack.up(self.counts or None, self.environ)

    def kill_9(self, name: str) -> None:
        """Kill a service, and start it again."""
        if (pid := self.stack.process(name).pid()) is not None:
            os.kill(pid, signal.SIGKILL)
        assert until(lambda: self.stack.process(name).pid() is None, 10)
        self.up()

    def crossing(self, row: Row, size: int = 8, payload: int = 2) -> Crossing:
        """A tenant with so many stacks, and an image of so many MiB, that begins to cross."""
        source, destination = self.new_tenant("src"), self.new_tenant("dst")
        seed_stacks(source.connect(), size, "s")
        noise = self.random.randbytes(payload << 20)
        if payload:
            put(source, "payload", noise, disk_format="raw")
        with Client(self.stack.uri(), timeout=120) as ferry:
            migration = ferry.migrate(source.entry, destination.entry)
            row.acknowledged += ferry.show(migration)["id"] == migration
        return Crossing(self, source, destination, migration, hashlib.sha512(noise).hexdigest() if payload else None)

    def storm(self, row: Row, faults: int, strike: Callable[[Crossing], None], steps: int = 12, size: int = 8) -> None:
        """Strike so many times, each after a few more steps, over as many crossings as that takes; judge each."""
        while row.attempted < faults:
            crossing = self.crossing(row, size)
            while row.attempted < faults and crossing.goes_on(self.random.randint(1, steps)):
                strike(crossing)
                row.attempted += 1
                if (took := crossing.recovers()) is not None:
                    row.recovered += 1
                    row.times.append(took)
            crossing.judge(row)


@dataclass
class Crossing:
    """A tenant on its way. What the coordinator remembers is read from its database, whether it lives or not."""

    world: World
    source: Any
    destination: Any
    migration: str
    digest: str | None

    def ask(self, question: str) -> list[Any]:
        """Ask the coordinator's database about this migration."""
        path = f"file:{self.world.stack.folder}/stackferry.db?mode=ro"
        with closing(sqlite3.connect(path, uri=True, timeout=60)) as db:
            return db.execute(question, [self.migration]).fetchall()

    @property
    def phase(self) -> str:
        """Where it is."""
        return str(self.ask("SELECT phase FROM migration WHERE id = ?")[0][0])

    @property
    def ended(self) -> int:
        """How many steps are over."""
        return int(self.ask("SELECT count(*) FROM step WHERE migration = ? AND state IN ('done', 'removed')")[0][0])

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.phase not in ("new", "planning", "running", "undoing", "cancelling")

    def goes_on(self, steps: int) -> bool:
        """Wait for so many more steps; return whether it still goes on then."""
        aim = self.ended + steps
        until(lambda: self.ended >= aim or self.is_over, PATIENCE)
        return not self.is_over

    def recovers(self) -> float | None:
        """Seconds until another step is over, or all of it; None when that never happens."""
        before, began = self.ended, time.monotonic()
        return time.monotonic() - began if until(lambda: self.ended > before or self.is_over, PATIENCE) else None

    def judge(self, row: Row, phase: str = "done") -> None:
        """Wait for its end, and hold what is there against what should be: by another reader of the APIs."""
        if not until(lambda: self.phase == phase, PATIENCE):
            row.stuck += 1
            row.notes.append(f"{self.migration} is {self.phase}, and not {phase}: {self.bad()}")
            return
        row.completed += 1
        if bad := self.bad():
            row.unexpected += len(bad)
            row.notes.append(f"{self.migration}: {bad[:5]}")
        self.compare(row)

    def bad(self) -> list[Any]:
        """Steps that didn't end as they should."""
        question = "SELECT key, state, reason FROM step WHERE migration = ? AND state NOT IN ('done', 'removed')"
        return self.ask(question)

    def compare(self, row: Row) -> None:
        """Count what is missing at the destination, and what is there too often."""
        want, have = inventory(self.source.connect()), inventory(self.destination.connect())
        for name, diff in (("lost", want - have), ("duplicated", have - want)):
            setattr(row, name, getattr(row, name) + sum(diff.values()))
            if diff:
                row.notes.append(f"{self.migration} {name}: {list(diff)[:5]}")
        if self.digest:
            there = images(self.destination).get("payload")
            if there is None or (there.status, there.hash_value) != ("active", self.digest):
                row.lost += 1
                row.notes.append(f"{self.migration}: the image's bytes aren't there: {there and there.status}")


def refused(ask: Callable[[], Any]) -> str | None:
    """Why something is refused; None when it isn't."""
    try:
        ask()
    except Error as error:
        return str(error)
    return None
