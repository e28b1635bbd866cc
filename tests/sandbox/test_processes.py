"""Processes that are told apart by their start time, and the lock that they inherit."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackferry_sandbox import processes
from stackferry_sandbox.files import locked, read_json, write_atomically
from stackferry_sandbox.layout import CloudPaths
from stackferry_sandbox.processes import Process

WAIT = [sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read()"]


@contextmanager
def child(*command: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until the context ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command or WAIT, **(pipes | options)) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()


def identity(pid: int) -> Process:
    return Process(pid, processes.start_time(pid) or "")


def test_a_process_is_alive_until_it_is_killed_even_before_it_is_reaped() -> None:
    with child() as running:
        process = identity(running.pid)
        assert process.alive
        running.kill()
        assert processes.wait_until(lambda: not process.alive, 10)
        assert Path(f"/proc/{running.pid}").exists()  # a zombie: its parent has not asked yet


def test_another_process_of_the_same_pid_is_not_it() -> None:
    assert not Process(os.getpid(), "1").alive


def test_processes_end_even_those_that_ignore_the_request() -> None:
    stubborn = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)"
    with child(sys.executable, "-c", f"{stubborn}; sys.stdin.read()") as running:
        process = identity(running.pid)
        processes.end([process], patience=0.2)
        assert not process.alive
        assert running.wait() == -signal.SIGKILL


def test_the_process_of_a_service_is_found_while_it_lives(tmp_path: Path) -> None:
    paths = CloudPaths(tmp_path)
    paths.make()
    assert processes.process_of(paths, "nova") is None
    with child() as running:
        me = identity(running.pid)
        record = {"process": [me.pid, me.started], "launcher": [me.pid, me.started]}
        paths.pid("nova").write_text(json.dumps(record))
        assert processes.process_of(paths, "nova") == me
        assert processes.memory_of(me)["rss"] > 0
    assert processes.process_of(paths, "nova") is None


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_process_that_inherits_the_lock_holds_it_when_its_parent_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path) as descriptor:
        assert is_locked(path)
        heir = child(*WAIT, pass_fds=(descriptor,))
        process = heir.__enter__()
    assert is_locked(path)
    process.kill()
    process.wait()
    assert not is_locked(path)
    heir.__exit__(None, None, None)


def test_whoever_waits_for_the_lock_can_tell_so(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    told: list[str] = []
    with child(*WAIT) as unrelated, path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        @contextmanager
        def waiting() -> Iterator[None]:
            told.append("waiting")
            fcntl.flock(file, fcntl.LOCK_UN)
            yield

        with locked(path, waiting=waiting()):
            assert told == ["waiting"]
        assert unrelated.poll() is None


def test_a_file_is_replaced_at_once_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    write_atomically(path, "new", 0o600)
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert read_json(tmp_path / "nothing") is None
