"""Whichever process dies and when: each hash in the journal is that of the device's block, and the copy goes on from there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stackferry_transfer.copying.task import Mode
from stackferry_transfer.disk.blocks import BLOCK
from stackferry_transfer.errors import PeerLost
from stackferry_transfer.pump.pace import Pace
from stackferry_transfer.pump.source import Shared

from .rig import Rig, change

ROOT = Path(__file__).parents[2]


@contextmanager
def child(rig: Rig, role: str, **job: Any) -> Iterator[subprocess.Popen[str]]:
    copy = [rig.copy.id, rig.copy.size, rig.copy.block_size]
    job = {"folder": str(rig.folder), "copy": copy, "role": role, "port": rig.address[1], **job}
    command = [sys.executable, "-m", "tests.transfer.child", json.dumps(job)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def pulling(rig: Rig, **job: Any) -> Any:
    return child(rig, "pull", **{"mode": "full", "blocks": None, "exit_at": -1, "every_blocks": 16, **job})


def lines(process: subprocess.Popen[str], least: int) -> None:
    """Return when the child has said a number of at least so much."""
    assert process.stdout
    for line in process.stdout:
        if int(line) >= least:
            return
    pytest.fail("the child ended early")


@pytest.mark.parametrize("mode", list(Mode))
def test_a_pull_that_dies_at_once_leaves_a_true_journal(rig: Rig, mode: Mode) -> None:
    with rig.serving():
        if mode is not Mode.FULL:
            rig.pull()
            change(rig.source, *range(0, 399, 5))
        with pulling(rig, mode=mode.value, exit_at=250) as process:
            assert process.wait(30) == 9
        known = rig.known()
        assert len(known) >= 200
        if mode is Mode.FULL:
            assert len(known) < 400
        pulled = rig.pull(mode=Mode.FULL if mode is Mode.FULL else Mode.DELTA)
    assert rig.equal()
    assert pulled.skipped == (len(known) if mode is Mode.FULL else 0)
    assert rig.known() == list(range(400))


def test_a_pull_that_is_killed_again_and_again_arrives(rig: Rig) -> None:
    with rig.serving(shared=Shared(pace=Pace(1e6))):
        last = 0
        for least in (60, 150, 300):
            with pulling(rig) as process:
                lines(process, least)
                process.send_signal(signal.SIGKILL)
                assert process.wait(30) == -signal.SIGKILL
            known = len(rig.known())
            assert last < known < 400
            last = known
        rig.shared.pace.rate = None
        assert rig.pull().skipped == last
    assert rig.equal()


@pytest.mark.parametrize("mode", [Mode.DELTA, Mode.REHASH])
def test_a_delta_that_is_killed_on_block_devices_goes_on(
    tmp_path: Path, loop: Callable[[Path], Path], mode: Mode
) -> None:
    rig = Rig.make(tmp_path, 64 * BLOCK, block=BLOCK)
    files, (rig.source, rig.target) = (rig.source, rig.target), (loop(rig.source), loop(rig.target))
    with rig.serving(shared=Shared(pace=Pace(200e6))):
        rig.pull()
        changed = range(0, 64, 2)
        change(files[0], *changed, block=BLOCK)
        rig.shared.pace.rate = 8e6
        with pulling(rig, mode=mode.value, every_blocks=4) as process:
            lines(process, 30)
            process.send_signal(signal.SIGKILL)
            assert process.wait(30) == -signal.SIGKILL
        known = rig.known()  # each as the device has it, of before or of after
        assert len(known) < 64
        rig.shared.pace.rate = None
        pulled = rig.pull(mode=mode)
        # Not again what was written before the kill. A delta has only the journal to go by, which may have been made to
        # forget blocks that hadn't changed.
        forgotten = set(range(64)) - set(known)
        most = len(forgotten | set(changed)) if mode is Mode.DELTA else len(changed) - 1
        assert 0 < pulled.written <= most * BLOCK
        assert rig.known() == list(range(64))
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_source_that_is_killed_is_noticed_and_the_next_one_goes_on(rig: Rig) -> None:
    with child(rig, "serve", rate=1e6) as source:
        assert source.stdout
        rig.address = ("127.0.0.1", int(source.stdout.readline()))
        killed = threading.Event()

        def progress(blocks: int, _: int) -> None:
            if blocks >= 120 and not killed.is_set():
                killed.set()
                source.kill()

        with pytest.raises(PeerLost, match="journaled"):
            rig.pull(progress=progress)
    known = rig.known()
    assert 120 <= len(known) < 400
    with rig.serving():
        assert rig.pull().skipped == len(known)
    assert rig.equal()


def test_processes_pull_parts_into_one_journal_and_one_may_die(rig: Rig) -> None:
    with rig.serving():
        with (
            pulling(rig, blocks=[0, 130]) as first,
            pulling(rig, blocks=[130, 270], exit_at=70) as second,
            pulling(rig, blocks=[270, 400]) as third,
        ):
            assert [process.communicate(timeout=30) and process.returncode for process in (first, second, third)] == [
                0,
                9,
                0,
            ]
        known = rig.known()
        assert {*range(130), *range(270, 400)} < set(known) < set(range(400))
        assert rig.pull().skipped == len(known)
    assert rig.equal()
