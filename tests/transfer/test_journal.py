"""The journal knows what the device holds, never more."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from stackferry_transfer.copying.recorder import Recorder, runs
from stackferry_transfer.disk import journal
from stackferry_transfer.disk.blocks import HASH, UNKNOWN, Copy
from stackferry_transfer.disk.journal import HEADER, Journal
from stackferry_transfer.errors import DeviceFailed, JournalFailed, JournalRefused

COPY = Copy("copy-1", 5000 * 4096 - 7, 4096)


def hash_of(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_a_journal_with_hashes_of_another_sort_is_begun_anew(path: Path) -> None:
    with Journal(path, COPY) as journal:
        journal.write(3, hash_of(3))
    path.write_bytes(path.read_bytes().replace(b'"format": 2', b'"format": 1', 1))
    with Journal(path, COPY) as journal:
        assert journal.count() == 0
        journal.write(4, hash_of(4))
    with Journal(path, COPY) as journal:
        assert journal.known(3, 2) == UNKNOWN + hash_of(4)


def test_it_keeps_what_it_is_told(path: Path) -> None:
    with Journal(path, COPY) as journal:
        assert journal.known(0, 3) == UNKNOWN * 3
        journal.write(1, hash_of(1) + hash_of(2))
        journal.write(4999, hash_of(4999))
    assert path.stat().st_size == HEADER + 5000 * HASH
    assert path.stat().st_mode & 0o777 == 0o600
    with Journal(path, COPY) as journal:
        assert journal.known(0, 4) == UNKNOWN + hash_of(1) + hash_of(2) + UNKNOWN
        assert journal.count() == 3
        assert journal.count(range(2, 4999)) == 1
        journal.forget(0, 4999)
        assert journal.count() == 1
        assert journal.known(4999, 1) == hash_of(4999)
    journal.close()


def test_what_is_forgotten_is_stored_as_unknown_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[bytes] = []
    monkeypatch.setattr(os, "fdatasync", lambda _: stored.append(path.read_bytes()[HEADER : HEADER + HASH]))
    with Journal(path, COPY) as journal:
        journal.write(0, hash_of(0))
        stored.clear()
        journal.forget(0, 1)
    assert stored == [UNKNOWN]


def test_the_digest_is_of_all_hashes_in_order_and_none_before(path: Path) -> None:
    hashes = b"".join(map(hash_of, range(5000)))
    with Journal(path, COPY) as journal:
        journal.write(0, hashes[:-HASH])
        assert journal.digest() is None
        journal.write(4999, hashes[-HASH:])
        assert journal.digest() == blake3(hashes).digest()
        assert journal.count() == 5000


def test_an_empty_volume_is_known_at_once(path: Path) -> None:
    with Journal(path, Copy("empty", 0)) as journal:
        assert journal.digest() == blake3().digest()
        assert journal.count() == 0


@pytest.mark.parametrize(
    "other", [Copy("copy-2", COPY.size, 4096), Copy("copy-1", COPY.size + 1, 4096), Copy("copy-1", COPY.size, 8192)]
)
def test_the_journal_of_something_else_is_refused_and_left_alone(path: Path, other: Copy) -> None:
    Journal(path, COPY).close()
    before = path.read_bytes()
    with pytest.raises(JournalRefused, match="copy-1|8192|4096"):
        Journal(path, other)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"x" * 600, b"[" * 600, b"[]".ljust(600), b"{}".ljust(600), b"\xff" * 600])
def test_what_is_no_journal_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalRefused, match="is no journal"):
        Journal(path, COPY)
    assert path.read_bytes() == content


@pytest.mark.parametrize("length", [0, 1, HEADER - 1, HEADER, HEADER + 1, HEADER + HASH + 31, HEADER + 2 * HASH])
def test_what_was_cut_off_is_unknown(path: Path, length: int) -> None:
    with Journal(path, COPY) as journal:
        journal.write(0, hash_of(0) + hash_of(1) + hash_of(2))
    os.truncate(path, length)
    with Journal(path, COPY) as journal:
        whole = max(0, length - HEADER) // HASH
        hashes = [journal.known(block, 1) for block in range(3)]
        for block in range(whole):
            assert hashes[block] == hash_of(block)
        assert set(hashes[whole + 1 :]) <= {UNKNOWN}
        assert path.stat().st_size == HEADER + 5000 * HASH


def test_a_journal_that_is_cut_off_while_it_is_open_ends_in_unknown_blocks(path: Path) -> None:
    with Journal(path, COPY) as journal:
        journal.write(0, hash_of(0) + hash_of(1))
        os.truncate(path, HEADER + HASH + 31)
        assert journal.known(0, 3) == hash_of(0) + UNKNOWN * 2


def test_a_journal_that_can_not_be_made_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalFailed, match="opened"):
        Journal(tmp_path / "none" / "journal", COPY)


def _write_share(path: Path, share: int) -> None:
    with Journal(path, COPY) as journal:
        for block in range(share, 5000, 4):
            journal.write(block, hash_of(block))


def test_several_processes_write_to_one_file(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_share, args=(path, share)) for share in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    with Journal(path, COPY) as journal:
        assert journal.known(0, 5000) == b"".join(map(hash_of, range(5000)))


@given(st.dictionaries(st.integers(0, 60), st.binary(min_size=HASH, max_size=HASH)))
def test_runs_are_the_same_hashes_in_fewer_writes(hashes: dict[int, bytes]) -> None:
    found = runs(hashes)
    assert {
        first + i: row[i * HASH : (i + 1) * HASH] for first, row in found for i in range(len(row) // HASH)
    } == hashes
    ends = [first + len(row) // HASH for first, row in found]
    assert all(end < first for end, (first, _) in zip(ends, found[1:], strict=False)), "neighbours in two runs"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_noted_before_the_device_was_flushed(path: Path) -> None:
    with Journal(path, COPY) as journal:
        counts: list[int] = []
        recorder = Recorder(journal, lambda: counts.append(journal.count()), every_blocks=3, every_seconds=1e9)
        for block in range(7):
            recorder.done(block, hash_of(block))
            assert journal.count() == (block + 1) // 3 * 3
        recorder.commit()
        recorder.commit()
        assert counts == [0, 3, 6]
        assert journal.count() == 7


def test_it_is_flushed_in_time_too(path: Path) -> None:
    clock = Clock()
    with Journal(path, COPY) as journal:
        recorder = Recorder(journal, lambda: None, every_blocks=100, every_seconds=5, clock=clock)
        recorder.done(1, hash_of(1))
        clock.now = 4.9
        recorder.done(2, hash_of(2))
        assert journal.count() == 0
        clock.now = 5
        recorder.done(3, hash_of(3))
        assert journal.count() == 3


def test_what_is_to_be_forgotten_is_not_noted_later(path: Path) -> None:
    with Journal(path, COPY) as journal:
        recorder = Recorder(journal, lambda: None)
        journal.write(4, hash_of(4))
        recorder.done(5, hash_of(5))
        recorder.forget(4, 2)
        assert journal.count() == 0
        recorder.commit()
        assert journal.count() == 0


def test_after_a_failed_flush_nothing_is_noted_any_more(path: Path) -> None:
    """The kernel tells of a lost write once: the next flush succeeds, and what was lost stays lost."""
    failures = [DeviceFailed("lost")]

    def flush() -> None:
        if failures:
            raise failures.pop()

    with Journal(path, COPY) as journal:
        recorder = Recorder(journal, flush, every_blocks=1)
        for _ in range(2):
            with pytest.raises(DeviceFailed):
                recorder.done(1, hash_of(1))
        with pytest.raises(DeviceFailed):
            recorder.commit()
        assert journal.count() == 0


def test_journals_that_nobody_writes_to_any_more_go(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, time.time() - journal.KEPT - 60))
    journal.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [new]
    journal.sweep(tmp_path / "nowhere")
