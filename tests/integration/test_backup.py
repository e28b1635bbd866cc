"""The coordinator's database is copied while it's in use, and put back; what was under way then is not gone on with."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, select, update
from stackferry.errors import Error, InvalidMessage
from stackferry.messages import ControlMigration
from stackferry.phases import RESTORED
from stackferry_coordinator.storage import backup, database
from stackferry_coordinator.storage import tables as t

from .test_retention import filled, listed, shell

UNDER_WAY = ("ready", "waiting", "asked", "resting", "wanting", "holding")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return made(tmp_path / "own.db")[0]


def made(file: Path) -> tuple[Path, str]:
    """A database with a migration that is done, and one that is under way; return its id."""
    engine = database.connect(URL.create("sqlite", database=str(file)))
    database.upgrade(engine)
    filled(engine)
    running = filled(engine, "running")
    with engine.begin() as connection:
        counts = {"done": 24, **dict.fromkeys(UNDER_WAY, 1)}
        connection.execute(update(t.migration).where(t.migration.c.id == running).values(counts=counts))
        for number, state in enumerate(UNDER_WAY):
            key = t.step.c.key == f"network/{number}"
            connection.execute(update(t.step).where(t.step.c.migration == running, key).values(state=state, due=5.0))
    engine.dispose()
    return file, running


def states(file: Path, migration: str) -> tuple[str, str, dict[str, str]]:
    engine = database.connect(URL.create("sqlite", database=str(file)))
    with engine.connect() as connection:
        head = connection.execute(select(t.migration).where(t.migration.c.id == migration)).mappings().one()
        steps = connection.execute(select(t.step.c.key, t.step.c.state).where(t.step.c.migration == migration))
        found = (head["phase"], head["reason"], dict(map(tuple, steps)))
    engine.dispose()
    return found


def test_a_copy_is_of_one_moment_though_it_is_written_to(own: Path, tmp_path: Path) -> None:
    engine, stop = database.connect(URL.create("sqlite", database=str(own))), threading.Event()

    def write() -> None:
        while not stop.is_set():
            filled(engine, steps=5)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            copy = tmp_path / f"copy-{number}"
            backup.save(own, copy)
            with closing(sqlite3.connect(copy)) as connection:
                whole = "SELECT count(*) FROM migration m WHERE (SELECT count(*) FROM fact f WHERE f.migration = m.id) NOT IN (5, 30)"
                assert connection.execute(whole).fetchone() == (0,)
            assert copy.stat().st_mode & 0o777 == 0o600
    finally:
        stop.set()
        writer.join()
    engine.dispose()
    with pytest.raises(Error, match="it's there already"):
        backup.save(own, copy)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_what_was_under_way_is_cancelled_and_can_only_be_asked_for_again(tmp_path: Path) -> None:
    own, running = made(tmp_path / "own.db")
    tmp_path = tmp_path / "a #1? 100%"
    tmp_path.mkdir()
    own = own.rename(tmp_path / "own.db")
    backup.save(own, tmp_path / "copy")
    engine = database.connect(URL.create("sqlite", database=str(own)))
    later = filled(engine)
    engine.dispose()
    old, stopped = backup.restore(tmp_path / "copy", own, 1000.0)
    assert (old, stopped) == (tmp_path / "own.db.before-1000", [running])
    phase, reason, steps = states(own, running)
    assert (phase, reason) == ("cancelled", RESTORED)
    assert [steps[f"network/{n}"] for n in range(7)] == [*["skipped"] * 5, "removed", "done"]
    engine = database.connect(URL.create("sqlite", database=str(own)))
    assert running in listed(engine)
    assert later not in listed(engine)
    coordinator = shell(engine)
    for action in ("retry", "undo", "resume"):
        with pytest.raises(InvalidMessage, match="it was restored from a backup"):
            coordinator.take(ControlMigration.make("tests", {"migration": running, "action": action}))
    coordinator.tick()
    assert coordinator.relay() == 0, "nothing is said to anybody"
    engine.dispose()
    before = database.connect(URL.create("sqlite", database=str(old)))
    assert later in listed(before), "the database of before is whole"
    before.dispose()


def _of_the_future(file: Path) -> None:
    made(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        connection.commit()


def _damaged(file: Path) -> None:
    made(file)
    content = bytearray(file.read_bytes())
    content[8192:16384] = b"\xff" * 8192
    file.write_bytes(content)


def _of_somebody_else(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE one (id INTEGER PRIMARY KEY)")


WRONG: dict[str, tuple[Any, str]] = {
    "future": (_of_the_future, "used by a newer version of Stackferry"),
    "damaged": (_damaged, "damaged|malformed"),
    "no database": (lambda file: file.write_text("hello, here is no database at all\n" * 100), "not a database"),
    "empty": (lambda file: file.write_bytes(b""), "no database of Stackferry's"),
    "else": (_of_somebody_else, "no database of Stackferry's"),
    "absent": (lambda file: None, "no such file"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_good_backup_is_refused_and_the_database_stays(own: Path, tmp_path: Path, wrong: str) -> None:
    make, why = WRONG[wrong]
    make(tmp_path / "wrong")
    before = own.read_bytes()
    with pytest.raises(Error, match=why):
        backup.restore(tmp_path / "wrong", own, 1000.0)
    assert own.read_bytes() == before
    assert not (tmp_path / "own.db.before-1000").exists()


def test_at_whatever_moment_it_dies_there_is_a_whole_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, running = made(tmp_path / "own.db")
    backup.save(own, tmp_path / "copy")

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    for place, name in ((Path, "replace"), (backup.os, "link"), (backup, "_settle"), (backup, "stop_all")):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(place, name, die)
            backup.restore(tmp_path / "copy", own, 1000.0)
        assert states(own, running)[0] == "running"
        (tmp_path / "own.db.before-1000").unlink(missing_ok=True)
    backup.restore(tmp_path / "copy", own, 1000.0)
    assert states(own, running)[0] == "cancelled"


def test_the_coordinator_says_in_a_sentence_what_is_wrong_with_its_database(tmp_path: Path) -> None:
    for number, (make, why) in enumerate(
        ((_of_the_future, "newer version"), (WRONG["no database"][0], "can't be read"))
    ):
        file = tmp_path / f"{number}.db"
        make(file)
        with pytest.raises(Error, match=why):
            database.upgrade(database.connect(URL.create("sqlite", database=str(file))))


def test_the_program_says_what_it_did(own: Path, tmp_path: Path) -> None:
    def run(*words: str, url: str = f"sqlite:///{own}") -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "stackferry_coordinator.storage.backup", *words], capture_output=True, text=True,
            env={"STACKFERRY_DATABASE_URL": url}, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    assert run("save", str(tmp_path / "copy")) == (0, "")
    code, said = run("restore", str(tmp_path / "copy"))
    assert (code, "the database of before is" in said, RESTORED in said) == (0, True, True)
    for words in ((), ("save",), ("burn", "x")):
        assert run(*words) == (2, "usage: python -m stackferry_coordinator.storage.backup save|restore FILE\n")
    code, said = run("save", str(tmp_path / "other"), url=f"postgresql+psycopg://me:{uuid.uuid4()}@nowhere/it")
    assert (code, said[:24]) == (2, "only SQLite's files are ")
