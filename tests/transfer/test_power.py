"""A loss of power at any moment finds a journal that doesn't lie: played with disks that keep as little as they may."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from stackferry_transfer.copying.task import Mode
from stackferry_transfer.disk.blocks import HASH, UNKNOWN, Copy, digest
from stackferry_transfer.disk.devices import Device
from stackferry_transfer.disk.journal import Journal

from .rig import SMALL, Rig, change


class WatchedJournal(Journal):
    """A journal on a disk that may store a note at once, or not before it's flushed."""

    def __init__(self, path: Path, copy: Copy) -> None:
        self.device: WatchedDevice | None = None
        self.may_know: set[int] = set()  # blocks that the disk may tell a hash of
        self.forgotten: set[int] = set()  # not for certain, before it's flushed
        self.looks = 0
        super().__init__(path, copy)
        self.may_know = {block for block in range(copy.count) if self.known(block, 1) != UNKNOWN}

    def write(self, first: int, hashes: bytes) -> None:
        assert self.device
        for index in range(len(hashes) // HASH):
            told, block = hashes[index * HASH : (index + 1) * HASH], first + index
            if told == UNKNOWN:
                self.forgotten.add(block)
                continue
            self.looks += 1
            self.may_know.add(block)
            self.forgotten.discard(block)
            assert block not in self.device.unsafe, f"block {block} is noted, and not stored"
            data = bytearray(self.copy.length(block))
            self.device.read_into(data, self.copy.offset(block))
            assert digest(data) == told, f"the journal lies of {block}"
        super().write(first, hashes)

    def flush(self) -> None:
        before = set(self.forgotten)
        super().flush()
        self.may_know -= before
        self.forgotten -= before


class WatchedDevice(Device):
    """A device that may lose what isn't flushed, wholly or half."""

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, path)
        self.journal: WatchedJournal | None = None
        self.unsafe: set[int] = set()
        self.lock = threading.Lock()
        self.changes = 0

    def touch(self, offset: int) -> None:
        block = offset // SMALL
        assert self.journal
        assert block not in self.journal.may_know, f"block {block} is written to while the disk's journal knows it"
        with self.lock:
            self.unsafe.add(block)
            self.changes += 1

    def write(self, data: Any, offset: int) -> None:
        self.touch(offset)
        super().write(data, offset)

    def clear(self, offset: int, length: int) -> None:
        self.touch(offset)
        super().clear(offset, length)

    def flush(self) -> None:
        with self.lock:
            before = set(self.unsafe)
        super().flush()
        with self.lock:
            self.unsafe -= before


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("connections", [1, 3])
def test_the_journal_is_true_at_any_moment(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, mode: Mode, connections: int
) -> None:
    chance, made = random.Random(3), []

    def open_device(path: Path, size: int) -> WatchedDevice:
        made.append(WatchedDevice(os.open(path, os.O_RDWR), path))
        return made[0]

    def open_journal(path: Path, copy: Copy) -> WatchedJournal:
        journal = WatchedJournal(path, copy)
        journal.device, made[0].journal = made[0], journal
        return journal

    with rig.serving():
        if mode is not Mode.FULL:
            rig.pull()
            change(rig.source, *chance.sample(range(399), 60))
            data = bytearray(rig.source.read_bytes())
            data[20 * SMALL : 40 * SMALL] = bytes(20 * SMALL)
            rig.source.write_bytes(data)
        monkeypatch.setattr("tests.transfer.rig.open_destination", open_device)
        monkeypatch.setattr("tests.transfer.rig.Journal", open_journal)
        rig.pull(mode=mode, connections=connections, every_blocks=7)
        assert made[0].changes > 60
        assert made[0].journal.looks > 60
    assert rig.equal()
