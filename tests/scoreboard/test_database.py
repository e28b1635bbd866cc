"""R8: the coordinator's database is locked, its disk is full, it's gone for a while: everybody waits, nothing is half done."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from stackferry_cli.local.processes import until

from .board import scaled, scored
from .world import Crossing

pytestmark = [pytest.mark.scoreboard, pytest.mark.clouds, pytest.mark.timeout(7200),
              pytest.mark.skipif(os.geteuid() != 0, reason="without root: no tmpfs")]  # fmt: skip


def test_r8_a_database_that_is_locked_full_or_killed(worlds: Any, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)
    file = folder / "stackferry.db"
    try:
        with worlds(STACKFERRY_DATABASE_URL=f"sqlite:///{file}") as world, \
                scored("R8", "database: locked for seconds, disk full, coordinator killed in a transaction") as row:  # fmt: skip
            link = Path(world.stack.folder, "stackferry.db")  # where the judge looks
            for suffix in ("", "-wal", "-shm"):
                Path(f"{link}{suffix}").symlink_to(f"{file}{suffix}")

            def locked() -> None:
                with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as db:
                    db.execute("BEGIN IMMEDIATE")
                    time.sleep(world.random.uniform(2, 9))  # what is tried: so long a lock
                    db.execute("ROLLBACK")

            def full() -> None:
                filler = folder / "filler"
                with suppress(OSError), filler.open("wb") as out:
                    while True:
                        out.write(bytes(1 << 16))
                        out.flush()
                time.sleep(world.random.uniform(2, 5))  # what is tried: so long without room
                filler.unlink()

            def killed() -> None:
                with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as db:
                    db.execute("BEGIN IMMEDIATE")  # so that the coordinator is amid a transaction that waits
                    time.sleep(0.5)
                    pid = world.stack.process("coordinator").pid()
                    assert pid is not None
                    os.kill(pid, 9)
                    db.execute("ROLLBACK")
                assert until(lambda: world.stack.process("coordinator").pid() is None, 10)
                world.up()

            def strike(_: Crossing) -> None:
                world.random.choice((locked, full, killed))()

            world.storm(row, scaled(20), strike)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
