"""R11, R13, R14, R15: simulated sagas; secrets; rights and attacks; versions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from stackferry import topology
from stackferry.bus import connect
from stackferry.client import Client

from ..unit.coordinator import test_simulator, test_workload_simulator
from ..unit.coordinator.simulation import Violation
from .board import SEED, Row, scaled, scored
from .world import World, refused

pytestmark = [pytest.mark.scoreboard, pytest.mark.clouds, pytest.mark.timeout(14_400)]
ENDS = {"done", "undone", "cancelled", "stuck", "failed", "skipped", "planned"}


def test_r11_simulated_sagas() -> None:
    """The coordinator's core in an unkind world, by seed; a violation is a lost or doubled thing, or one that never ends."""
    with scored("R11", "simulated migrations: crashes, failures, duplicates, lost hosts, people") as row:
        for number in range(scaled(20_000)):
            seed = SEED * 1_000_000 + number
            simulator = test_workload_simulator if number % 4 == 0 else test_simulator
            played: Any = simulator.world(seed)
            row.attempted += 1
            row.acknowledged += 1
            try:
                phase = played.run()
            except Violation as error:
                row.unexpected += 1
                row.notes.append(f"{simulator.__name__} {seed}: {error}")
                continue
            row.completed += 1
            row.recovered += 1
            row.stuck += phase not in ENDS


def _run(row: Row, *words: str) -> None:
    """Run tests that are there already; each is an attempt, and what it says of itself counts."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
                          env={**os.environ}, capture_output=True, text=True, check=False)  # fmt: skip
    passed, failed = (re.search(rf"(\d+) {word}", done.stdout.splitlines()[-1]) for word in ("passed", "failed"))
    row.attempted += int(passed[1]) if passed else 0
    row.completed += int(passed[1]) if passed else 0
    row.recovered += int(passed[1]) if passed else 0
    if done.returncode:
        row.unexpected += int(failed[1]) if failed else 1
        row.notes.append(done.stdout[-1500:])


def test_r14_rights_and_attacks() -> None:
    with scored(
        "R14", "rights that a user must not have; forged words, requests above one's role, false dead letters"
    ) as row:
        _run(row, "tests/integration/test_permissions.py", "tests/integration/test_rights.py",
             "tests/integration/test_roles.py", "tests/clouds/test_forged.py", "tests/unit/coordinator/test_senders.py")  # fmt: skip
        page = (Path(__file__).parents[2] / "docs" / "rights.md").read_text()
        row.notes.append(f"{page.count('|  ') + page.count('| yes')} cells of docs/rights.md tried")


def test_r15_versions() -> None:
    with scored("R15", "messages and recorded logs of the version before; databases of every version") as row:
        _run(row, "tests/contract/test_messages.py", "tests/unit/coordinator/test_recorded.py",
             "tests/unit/coordinator/test_database.py")  # fmt: skip


def test_r13_secrets_stay_where_they_belong(world: World) -> None:
    """Passwords of tenants and of the broker: in no log, database, stream, parked message, and on no command line."""
    with scored("R13", "passwords, tokens: in logs, database, streams, parked messages, command lines") as row:
        over, lines = threading.Event(), set()

        def watch() -> None:
            while not over.wait(0.05):
                for file in Path("/proc").glob("[0-9]*/cmdline"):
                    with suppress(OSError):
                        lines.add(file.read_bytes())

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            crossing = world.crossing(row, size=4, payload=2)
            with Client(world.stack.uri()) as ferry:
                ferry.check(crossing.source.entry, "source")
                ferry.control(crossing.migration, "cutover")  # something for the parking queue
                assert refused(lambda: ferry.hear(crossing.migration, 30))
            crossing.judge(row)
        finally:
            over.set()
            watching.join()
        passwords = json.loads(Path(world.stack.folder, "rabbitmq", "node.json").read_text())["passwords"]
        secrets = {f"broker user {name}": word for name, word in passwords.items()}
        for tenant in (crossing.source, crossing.destination):
            secrets[f"password of {tenant.entry}"] = tenant.auth["auth"]["password"]
        places = {f"command line {number}": line for number, line in enumerate(sorted(lines))}
        own = {"node.json"}  # where the broker's passwords are kept, 0600
        for file in Path(world.stack.folder).rglob("*"):
            if file.is_file() and file.name not in own:
                places[str(file)] = file.read_bytes()
        places |= _said(world.stack.node.uri("admin"))
        for what, word in secrets.items():
            row.attempted += len(places)
            for place, content in places.items():
                if word.encode() in content:
                    row.unexpected += 1
                    row.notes.append(f"{what} is in {place}")
        tokens = [place for place, content in places.items() if b"gAAAAA" in content]  # Fernet: as Keystone's begin
        row.unexpected += len(tokens)
        row.notes += [f"a token is in {place}" for place in tokens]
        row.recovered = row.attempted
        row.notes.append(f"{len(secrets)} secrets looked for in {len(places)} places")


def _said(uri: str) -> dict[str, bytes]:
    """All messages of the streams, and of the parking queue."""
    found: dict[str, bytes] = {}
    with connect(uri, "tests", heartbeat=0) as connection:
        channel = connection.channel()
        channel.auto_decode = False
        channel.basic_qos(0, 100, False)
        for name in ("stackferry.history", "stackferry.audit", topology.DEAD.name):
            arguments = {} if name == topology.DEAD.name else {"x-stream-offset": "first"}

            def heard(message: Any, name: str = name) -> None:
                found[f"{name} {len(found)}"] = bytes(message.body) + repr(message.properties).encode()
                message.channel.basic_ack(message.delivery_tag)

            channel.basic_consume(name, callback=heard, arguments=arguments)
        with suppress(TimeoutError):
            while True:
                connection.drain_events(timeout=3)
    return found
