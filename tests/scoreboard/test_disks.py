"""R7: disks that fail on both ends, and under the journal. What is bad is never taken for good; the rest goes on later."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from stackferry.errors import Error
from stackferry_transfer.copying.task import Mode
from stackferry_transfer.disk.devices import Device
from stackferry_transfer.pump import source

from ..transfer.rig import SMALL, Rig, loop_device
from .board import SEED, scaled, scored

pytestmark = [pytest.mark.scoreboard, pytest.mark.timeout(7200),
              pytest.mark.skipif(os.geteuid() != 0, reason="without root: no loop devices, no tmpfs")]  # fmt: skip
BLOCKS = 2000


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[], None]]:
    """A file system with room for so many bytes; the call of what it yields makes it large."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=256m", folder], check=True) and None
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


class Forgetful(Device):
    """A disk that silently doesn't store one write in twenty."""

    chance = random.Random(SEED)

    def write(self, data: Any, offset: int) -> None:
        if self.chance.random() >= 0.05:
            super().write(data, offset)


def told(pull: Callable[[], Any]) -> str | None:
    """How a pull fails, in a sentence; None when it doesn't. Anything but a sentence is a fault of ours."""
    try:
        pull()
    except Error as error:
        return str(error)
    return None


def source_fails(rig: Rig, chance: random.Random) -> str | None:
    """The source can't be read from somewhere on."""
    content = rig.source.read_bytes()
    file = rig.source
    with loop_device(file) as device:
        rig.source = device
        with rig.serving():
            os.truncate(file, chance.randrange(1, BLOCKS - 8) * SMALL)
            why = told(lambda: rig.pull(connections=1))
    rig.source = file
    file.write_bytes(content)
    return why


def destination_is_full(rig: Rig, chance: random.Random) -> str | None:
    """The destination's disk can't store all."""
    with small_disk(rig.folder / "thin", chance.randrange(1 << 20, 4 << 20)) as grow:
        thin = rig.folder / "thin" / "target"
        thin.touch()
        os.truncate(thin, rig.copy.size)
        plain, rig.target = rig.target, thin
        with rig.serving():
            why = told(rig.pull)
            rig.known()
            grow()
            again = told(rig.pull)
            assert again is None, again
        assert rig.equal()
        plain.write_bytes(thin.read_bytes())
        rig.target = plain
    return why


def journal_is_full(rig: Rig, chance: random.Random) -> str | None:
    """The journal's disk is full."""
    with small_disk(rig.folder / "notes", 16384) as grow:
        journal = rig.folder / "notes" / "journal"
        with mock.patch.object(Rig, "journal", property(lambda _: journal)), rig.serving():
            why = told(rig.pull)
            grow()
            assert told(rig.pull) is None
    return why


def bits_flip(rig: Rig, chance: random.Random) -> str | None:
    """Every so many messages of the source a bit flips, for ever."""
    plain, often, count = source.send, chance.randint(3, 40), [0]

    def send(connection: Any, data: Any) -> None:
        count[0] += 1
        if len(data) > 1000 and count[0] % often == 0:
            data = bytearray(data)
            data[chance.randrange(64, len(data))] ^= 1 << chance.randrange(8)
        plain(connection, data)

    with mock.patch.object(source, "send", send), rig.serving():
        why = told(rig.pull)
        rig.known()  # the journal tells no lies
    return why or "bits have flipped, and were asked for again"


def writes_get_lost(rig: Rig, chance: random.Random) -> str | None:
    """The destination's disk says that it has stored what it hasn't: verification finds all of it."""
    with mock.patch("tests.transfer.rig.open_destination", lambda path, size: Forgetful(os.open(path, os.O_RDWR), path)), \
            rig.serving():  # fmt: skip
        told(rig.pull)
    return "nobody could know before verification"


FAULTS = (source_fails, destination_is_full, journal_is_full, bits_flip, writes_get_lost)


def test_r7_disks_that_fail(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with scored("R7", "disks: read and write errors, full, bits that flip, writes that get lost; journal full") as row:
        for number in range(scaled(60)):
            fault, folder = FAULTS[number % len(FAULTS)], tmp_path / str(number)
            folder.mkdir()
            rig = Rig.make(folder, BLOCKS * SMALL, seed=number)
            row.attempted += 1
            if fault(rig, chance) is None:
                row.unexpected += 1
                row.notes.append(f"{number}: {fault.__name__} was not told")
            row.acknowledged += 1
            with rig.serving():
                assert told(rig.pull) is None
                row.recovered += 1
                assert told(lambda rig=rig: rig.pull(mode=Mode.VERIFY)) is None
            if rig.equal():
                row.completed += 1
            else:
                row.lost += 1
                row.notes.append(f"{number}: after {fault.__name__} the destination isn't the source")
            rig.known()
