"""What many migrations of the past cost: listing them, starting beside them, forgetting them; and what progress costs.

python benchmarks/remembering.py [--migrations 2000] [--objects 27]

In SQLite, without broker and clouds. Each figure stands beside the same on an empty database, in one run.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine, insert
from stackferry.envelope import Envelope
from stackferry.messages import ForgetMigrations, RequestMigration, StepProgressed
from stackferry_coordinator import queries
from stackferry_coordinator.storage import database
from stackferry_coordinator.storage import tables as t
from stackferry_coordinator.transactions.shell import Shell
from stackferry_coordinator.trust.authority import Authority

PLACES = {"source": {"cloud": "src"}, "destination": {"cloud": "dst"}}
STEP = {"action": "ensure", "kind": "network", "order": 1, "state": "done", "waits": 0, "attempt": 1, "tries": 1,
        "outcome": "created", "made": [], "links": {}, "hints": {"first_asked": 1.0}, "notes": [], "changes": [],
        "seconds": 0.2, "done": 0}  # fmt: skip
FACTS = 4  # messages that changed a migration, for each object


def fill(engine: Engine, migrations: int, objects: int) -> list[str]:
    """Make migrations of the past; return their ids."""
    ids = [str(uuid.uuid4()) for _ in range(migrations)]
    keys = [f"network/{uuid.uuid4()}" for _ in range(objects)]
    content = {"type": "openstack.network.Network", "params": {"description": "x" * 800}, "_info": {}}
    for id_ in ids:
        with engine.begin() as connection:
            connection.execute(insert(t.migration).values(
                id=id_, request=PLACES, phase="done", mode="run", paused=False, counts={"done": objects}, got=1, attempt=1,
                created=time.time(), changed=time.time(),
            ))  # fmt: skip
            about = [{"migration": id_, "key": key} for key in keys]
            connection.execute(insert(t.step), [{**STEP, **one, "name": one["key"]} for one in about])
            connection.execute(insert(t.document), [{**one, "content": content} for one in about])
            connection.execute(insert(t.edge), [
                {"migration": id_, "before": keys[0], "after": key, "hard": True} for key in keys
            ])  # fmt: skip
            facts = [{"migration": id_, "at": 1.0, "name": "step-ended", "data": {"step": key, "notes": ["x" * 200]}}
                     for key in keys for _ in range(FACTS)]  # fmt: skip
            connection.execute(insert(t.fact), facts)
    return ids


class Nobody:
    """Stands where the broker would be."""

    def publish_all(self, outgoing: list[Any]) -> list[None]:
        return [None] * len(outgoing)


def coordinator(engine: Engine, clock: Callable[[], float] = time.time) -> Shell:
    return Shell(engine, Nobody(), clock, authority=Authority(own_user=""))  # type: ignore[arg-type]


def seconds(what: Callable[[], Any], times: int = 5) -> float:
    """The median."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def start(file: Path) -> None:
    """What a coordinator does before it takes messages, and its first round of everything."""
    engine = database.connect(f"sqlite:///{file}")
    database.upgrade(engine)
    running = coordinator(engine)
    running.tick()
    running.relay()
    running.forget()
    engine.dispose()


def progress(engine: Engine, messages: int = 2000) -> float:
    """Milliseconds of CPU for each message that says how far a step is, one a second, and for telling it to everybody."""
    now = [time.time()]
    running, migration = coordinator(engine, lambda: now[0]), str(uuid.uuid4())
    running.take(RequestMigration.make("bench", {"migration": migration, "source": {"cloud": "src"}, "mode": "export"}))
    about = {"migration": migration, "step": "export", "attempt": 1}
    told: list[Envelope] = [StepProgressed.make("bench", {**about, "done": n}) for n in range(messages)]
    began = time.process_time()
    for envelope in told:
        now[0] += 1.0
        running.take(envelope)
        running.relay()
    return 1000 * (time.process_time() - began) / messages


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("migrations", 2000), ("objects", 27)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="stackferry-bench-") as folder:
        file = Path(folder) / "it.db"
        engine = database.connect(f"sqlite:///{file}")
        database.upgrade(engine)
        empty = file.stat().st_size, seconds(lambda: start(Path(folder) / "empty.db"))
        ids = fill(engine, options.migrations, options.objects)
        listing = seconds(lambda: list(queries.describe(engine, {}, lambda places: True)))
        engine.dispose()
        started, full = seconds(lambda: start(file)), file.stat().st_size
        engine = database.connect(f"sqlite:///{file}")
        each, running = progress(engine), coordinator(engine)
        running.forget_migrations(ForgetMigrations.make("bench", {"reply_to": "me", "migrations": ids}))
        began, longest = time.perf_counter(), 0.0
        while running.forgetting:
            longest = max(longest, seconds(running.tick, 1))
        took = time.perf_counter() - began
        engine.dispose()
        print(f"{options.migrations} migrations of {options.objects} objects: {full / 1e6:.0f} MB")
        print(f"list: {listing:.3f} s; start: {started:.3f} s (empty: {empty[1]:.3f} s)")
        print(f"a message of progress: {each:.2f} ms of CPU")
        print(f"forget all: {took:.1f} s, the longest transaction {longest:.3f} s; then {file.stat().st_size / 1e6:.1f} MB "
              f"(empty: {empty[0] / 1e6:.1f} MB)")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
