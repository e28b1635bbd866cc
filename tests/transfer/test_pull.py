"""A volume crosses, byte by byte: whole, what changed, without a journal, and checked; on files and block devices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stackferry_transfer.copying import batches, readback
from stackferry_transfer.copying.tally import Repair
from stackferry_transfer.copying.task import Mode
from stackferry_transfer.disk import devices
from stackferry_transfer.disk.blocks import BLOCK
from stackferry_transfer.disk.devices import Device, open_destination
from stackferry_transfer.disk.journal import Journal
from stackferry_transfer.errors import RepairFailed
from stackferry_transfer.pump import source
from stackferry_transfer.pump.compression import Compression

from .rig import SMALL, Rig, change

SIZES = [0, 1, SMALL - 1, SMALL, SMALL + 1, 32 * SMALL, 33 * SMALL + 7, 300 * SMALL - 512]
BOTH = pytest.mark.parametrize("connections", [1, 2, 5])


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("size", SIZES)
def test_each_mode_makes_any_volume_equal(tmp_path: Path, size: int, mode: Mode) -> None:
    rig = Rig.make(tmp_path, size, seed=size)
    with rig.serving():
        pulled = rig.pull(mode=mode)
    assert rig.equal()
    assert rig.known() == list(range(rig.copy.count))
    assert pulled.complete
    assert pulled.blocks == rig.copy.count == pulled.same + pulled.zero + pulled.raw + pulled.zstd
    assert pulled.volume_bytes == size
    with Journal(rig.journal, rig.copy) as journal:
        assert journal.digest()


@BOTH
def test_a_full_copy_costs_what_is_no_zeros(rig: Rig, connections: int) -> None:
    seen: list[tuple[int, int]] = []
    with rig.serving():
        pulled = rig.pull(connections=connections, progress=lambda blocks, size: seen.append((blocks, size)))
    assert rig.equal()
    assert pulled.zero > 80
    assert pulled.raw > 80
    assert pulled.written == sum(rig.copy.length(block) for block in range(400) if rig.holds(block))
    assert pulled.same == pulled.skipped == pulled.zstd == pulled.repaired == pulled.resent == 0
    assert pulled.raw * SMALL <= pulled.wire_received <= (pulled.raw + 1) * SMALL + 400 * 37 + connections * 200
    assert seen == sorted(seen)
    assert seen[-1] == (400, rig.copy.size)
    sent = sum(end.counts["wire_sent"] for end in rig.ended)
    assert sent == pulled.wire_received
    assert "copy-1" in {end.copy for end in rig.ended}
    assert not any(end.error for end in rig.ended if end.copy)  # others came when all was done, and left


def test_a_second_pull_asks_for_nothing(rig: Rig) -> None:
    with rig.serving():
        rig.pull()
        pulled = rig.pull()
    assert (pulled.skipped, pulled.volume_bytes, pulled.wire_received, pulled.wire_sent) == (400, 0, 0, 0)


def test_a_pull_goes_on_where_the_journal_ends(rig: Rig) -> None:
    with rig.serving():
        rig.pull(blocks=range(10, 150))
        with Journal(rig.journal, rig.copy) as journal:
            journal.forget(100, 1)
        pulled = rig.pull()
    assert rig.equal()
    assert pulled.skipped == 139


@BOTH
def test_a_delta_costs_what_changed(rig: Rig, connections: int) -> None:
    with rig.serving():
        rig.pull()
        change(rig.source, 0, 7, 8, 200, 398)
        pulled = rig.pull(mode=Mode.DELTA, connections=connections)
        assert rig.equal()
        assert (pulled.same, pulled.raw) == (395, 5)
        assert pulled.written == 4 * SMALL + rig.copy.length(398)
        assert pulled.wire_received <= 5 * SMALL + 400 * 37
        assert rig.known() == list(range(400))
        again = rig.pull(mode=Mode.DELTA)
        assert again.same == 400


def test_a_delta_clears_what_became_zeros(rig: Rig) -> None:
    with rig.serving():
        rig.pull()
        data = bytearray(rig.source.read_bytes())
        data[: 100 * SMALL] = bytes(100 * SMALL)
        rig.source.write_bytes(data)
        pulled = rig.pull(mode=Mode.DELTA, fresh=True)  # which it isn't any more
    assert pulled.zero > 50
    assert 50 * SMALL < pulled.written < 100 * SMALL  # zeros where there were none
    assert rig.equal()


def test_a_delta_with_an_unknown_block_has_it_sent(rig: Rig) -> None:
    with rig.serving():
        rig.pull()
        with Journal(rig.journal, rig.copy) as journal:
            journal.forget(5, 3)
        change(rig.target, 5, 6, 7)
        pulled = rig.pull(mode=Mode.DELTA)
    assert pulled.same == 397
    assert rig.equal()


def test_a_rehash_finds_what_the_journal_never_knew(rig: Rig) -> None:
    with rig.serving():
        rig.pull()
        rig.journal.unlink()
        change(rig.target, 3, 77)
        pulled = rig.pull(mode=Mode.REHASH)
    assert rig.equal()
    assert pulled.same == 398
    assert rig.known() == list(range(400))


def test_a_rehash_does_not_believe_the_journal(rig: Rig) -> None:
    with rig.serving():
        rig.pull()
        change(rig.target, 3, 77)
        pulled = rig.pull(mode=Mode.REHASH, blocks=range(0, 50))
    assert pulled.same == 49
    with Journal(rig.journal, rig.copy) as journal:
        assert journal.count() == 400


def test_a_rehash_that_ends_early_leaves_nothing_that_is_not_believed(rig: Rig) -> None:
    stop = threading.Event()
    with rig.serving():
        rig.pull()
        change(rig.target, 300, 310, 399 - 1)
        pulled = rig.pull(mode=Mode.REHASH, stop=stop, progress=lambda blocks, _: stop.set() if blocks == 50 else None)
    assert not pulled.complete
    assert 50 <= len(rig.known()) <= 51  # and true


def test_a_verify_of_an_equal_volume_costs_no_blocks(rig: Rig) -> None:
    with rig.serving():
        rig.pull()
        pulled = rig.pull(mode=Mode.VERIFY)
    assert (pulled.same, pulled.repaired, pulled.repairs) == (400, 0, ())


@BOTH
def test_a_verify_repairs_and_tells_who_differed(rig: Rig, connections: int) -> None:
    with rig.serving():
        rig.pull()
        change(rig.target, 398)
        change(rig.source, 10)
        with Journal(rig.journal, rig.copy) as journal:
            journal.forget(20, 1)
        change(rig.target, 20, seed=9)
        pulled = rig.pull(mode=Mode.VERIFY, connections=connections)
    assert rig.equal()
    assert rig.known() == list(range(400))
    expected = [
        Repair(10, False, True),
        Repair(20, False, False),  # nobody knows
        Repair(398, True, False),
    ]
    assert sorted(pulled.repairs, key=lambda repair: repair.block) == expected
    assert (pulled.repaired, pulled.destination_differed, pulled.source_changed) == (3, 1, 1)


def test_a_verify_tells_when_both_differed(rig: Rig) -> None:
    with rig.serving():
        rig.pull()
        change(rig.target, 4, seed=1)
        change(rig.source, 4, seed=2)
        pulled = rig.pull(mode=Mode.VERIFY)
    assert rig.equal()
    assert pulled.repairs == (Repair(4, True, True),)
    assert rig.known() == list(range(400))


def test_a_verify_corrects_the_journal_when_both_ends_agree_on_something_else(rig: Rig) -> None:
    with rig.serving():
        rig.pull()
        change(rig.target, 4)
        change(rig.source, 4)
        pulled = rig.pull(mode=Mode.VERIFY)
    assert (pulled.same, pulled.repaired) == (400, 0)
    assert rig.known() == list(range(400))


def test_a_range_is_all_that_is_touched(rig: Rig) -> None:
    with rig.serving():
        rig.pull(blocks=range(100, 110))
    assert rig.known() == list(range(100, 110))
    data = rig.target.read_bytes()
    assert data[100 * SMALL : 110 * SMALL] == rig.source.read_bytes()[100 * SMALL : 110 * SMALL]
    assert not any(data[: 100 * SMALL] + data[110 * SMALL :])


def test_zeros_are_cleared_unless_the_device_is_fresh(rig: Rig) -> None:
    rig.target.write_bytes(b"old" * (rig.copy.size // 3 + 1))
    with rig.serving():
        rig.pull()
        assert rig.equal()
        rig.journal.unlink()
        rig.target.write_bytes(b"old" * (rig.copy.size // 3 + 1))
        rig.pull(fresh=True)
    data, wanted = rig.target.read_bytes(), rig.source.read_bytes()
    for block in range(399):
        part = slice(block * SMALL, (block + 1) * SMALL)
        assert (data[part] == wanted[part]) is any(wanted[part])  # zeros were left as they were


def test_zeros_take_no_space(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, 64 * SMALL)
    rig.source.write_bytes(bytes(64 * SMALL))
    rig.target.write_bytes(bytes(32 * SMALL) + b"x" * 32 * SMALL)
    held = rig.target.stat().st_blocks
    with rig.serving():
        rig.pull()
    assert rig.equal()
    assert rig.target.stat().st_blocks < held


def test_a_larger_device_keeps_its_rest(rig: Rig) -> None:
    with rig.target.open("ab") as file:
        file.write(b"rest")
    with rig.serving():
        rig.pull()
        rig.pull(mode=Mode.VERIFY)
    assert rig.equal()
    assert rig.target.read_bytes().endswith(b"rest")


def test_each_block_is_read_once_at_the_source(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    class Counting(Device):
        def read_into(self, buffer: Any, offset: int) -> None:
            read.append(offset)
            super().read_into(buffer, offset)

    plain = devices.open_source
    monkeypatch.setattr(devices, "open_source", lambda path: Counting(plain(path).descriptor, path))
    with rig.serving():
        rig.pull()
        assert sorted(read) == list(range(0, rig.copy.size, SMALL))
        rig.pull(mode=Mode.VERIFY)
    assert sorted(read) == sorted(list(range(0, rig.copy.size, SMALL)) * 2)


@pytest.mark.parametrize(("source_allows", "destination_allows"), [(True, True), (True, False), (False, True)])
def test_blocks_are_compressed_when_both_ends_allow_it(rig: Rig, source_allows: bool, destination_allows: bool) -> None:
    with rig.serving(compression=Compression.ALWAYS if source_allows else Compression.NEVER):
        pulled = rig.pull(compression=destination_allows)
    assert rig.equal()
    assert (pulled.zstd > 80) is (source_allows and destination_allows)
    assert pulled.raw > 80  # noise is sent as it is


def test_only_the_offered_blocks_are_given(rig: Rig) -> None:
    with rig.serving(blocks=range(50, 60)):
        assert rig.pull(blocks=range(50, 60)).complete
        with pytest.raises(Exception, match="only blocks 50 to 60 are offered"):
            rig.pull()
    assert set(range(50, 60)) <= set(rig.known())
    assert not any(rig.target.read_bytes()[60 * SMALL :])


def test_parts_are_pulled_at_the_same_time_into_one_journal(rig: Rig) -> None:
    with rig.serving():
        parts = [threading.Thread(target=rig.pull, kwargs={"blocks": range(at, at + 100)}) for at in range(0, 400, 100)]
        for part in parts:
            part.start()
        for part in parts:
            part.join()
    assert rig.equal()
    assert rig.known() == list(range(400))


def test_a_used_up_connection_is_replaced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def connect() -> Any:
        made.append(1)
        return rig.connect()

    monkeypatch.setattr("stackferry_transfer.pump.receiver.RENEW", 100_000)
    with rig.serving():
        pulled = rig.pull(connect, connections=1)
    assert rig.equal()
    assert pulled.complete
    assert 4 <= len(made) <= 20


def test_blocks_of_the_products_size_cross(tmp_path: Path) -> None:
    rig = Rig.make(tmp_path, 20 * BLOCK + 12345, block=BLOCK)
    with rig.serving():
        assert rig.pull().complete
        change(rig.source, 3, block=BLOCK)
        assert rig.pull(mode=Mode.DELTA).raw == 1
        assert rig.pull(mode=Mode.VERIFY).same == 21
    assert rig.equal()


def test_block_devices_cross(tmp_path: Path, loop: Callable[[Path], Path]) -> None:
    rig = Rig.make(tmp_path, 20 * BLOCK + 512, block=BLOCK)
    files = rig.source, rig.target
    rig.target.write_bytes(b"old" * (rig.copy.size // 3 + 1))
    rig.target.open("r+b").truncate(rig.copy.size)
    rig.source, rig.target = loop(rig.source), loop(rig.target)
    with rig.serving():
        assert rig.pull().complete
        assert rig.equal()
        change(files[1], 2, block=BLOCK)  # under the device, where its cache doesn't see it
        change(files[1], 20, block=512)
        pulled = rig.pull(mode=Mode.VERIFY)
        assert (pulled.repaired, pulled.destination_differed) == (2, 2)
        with open_destination(rig.target, rig.copy.size) as device:
            device.drop_cached(0, 0)
        assert rig.equal()
        assert rig.known() == list(range(21))
    assert files[0].read_bytes() == files[1].read_bytes()


READING_BACK = pytest.mark.parametrize("mode", [mode for mode in Mode if mode.reads_back])


@READING_BACK
def test_a_bit_that_the_device_flips_is_found_before_it_is_journaled(
    tmp_path: Path, loop: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    rig = Rig.make(tmp_path, 20 * BLOCK, block=BLOCK)
    files, (rig.source, rig.target) = (rig.source, rig.target), (loop(rig.source), loop(rig.target))
    plain, flushed = Device.flush, []

    def flush(self: Device) -> None:
        plain(self)
        flushed.append(self)
        if flips != [len(flushed)]:
            return
        with files[1].open("r+b") as file:  # under the device, where its cache doesn't see it
            file.seek(7 * BLOCK + 1000)
            byte = file.read(1)[0]
            file.seek(7 * BLOCK + 1000)
            file.write(bytes([byte ^ 8]))

    with rig.serving():
        rig.pull()
        change(files[0], 3, 7, 11, block=BLOCK)
        flips = [2 if mode.reads_device else 1]  # at which flush: what is looked at is flushed before
        monkeypatch.setattr(Device, "flush", flush)
        with pytest.raises(RepairFailed, match=rf"{rig.target}: block 7 at offset {7 * BLOCK} reads back unlike"):
            rig.pull(mode=mode, connections=1)
        monkeypatch.undo()
        with open_destination(rig.target, rig.copy.size) as device:
            device.drop_cached(0, 0)
        assert 7 not in rig.known()
        assert rig.pull(mode=Mode.DELTA).written >= BLOCK
        assert rig.equal()
        assert len(rig.known()) == 20
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_full_copy_leaves_that_to_the_verify(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readback.ReadBack, "check", lambda *_: pytest.fail("it was read back"))
    with rig.serving():
        assert rig.pull().complete


@READING_BACK
def test_what_was_not_written_is_not_read_back(rig: Rig, monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    seen: dict[int, bytes] = {}
    plain = readback.ReadBack.check

    def check(self: readback.ReadBack, written: dict[int, bytes]) -> None:
        seen.update(written)
        plain(self, written)

    monkeypatch.setattr(readback.ReadBack, "check", check)
    with rig.serving():
        rig.pull()
        assert seen == {}
        change(rig.source, 3, 4, 200)
        rig.pull(mode=mode)
    assert sorted(seen) == [3, 4, 200]


def test_what_is_asked_for_stays_small(rig: Rig) -> None:
    """A volume's size changes neither how much is asked for at once, nor how much of the journal is read."""
    most = max(map(len, batches.all_of(range(10**6, 10**6 + 100))))
    assert most == batches.BATCH <= 64
    assert next(batches.all_of(range(10**12))) == range(32)
    assert source.Session(None, source.Offer(rig.copy, rig.source, ()), None, False, source.Shared())  # type: ignore[arg-type]
