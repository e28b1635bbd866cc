"""Files and real block devices: claimed, read, written, cleared, and read past the cache."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stackferry_transfer.disk import devices
from stackferry_transfer.disk.blocks import aligned
from stackferry_transfer.disk.devices import Device, open_destination, open_shared, open_source, reopen
from stackferry_transfer.disk.stored import StoredReader
from stackferry_transfer.errors import DeviceBusy, DeviceError, DeviceFailed, DeviceMissing, DeviceTooSmall

Loop = Callable[[Path], Path]
SIZE = 1 << 20
LOCKED = 0x2000  # MAP_LOCKED of mmap(2): the kernel lets go of its cache at any moment, and not of this


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"\xaa" * SIZE)
    return path


@pytest.fixture(params=["file", "block device"])
def volume(request: Any, file: Path) -> Path:
    return file if request.param == "file" else request.getfixturevalue("loop")(file)


def test_what_is_written_is_read(volume: Path) -> None:
    with open_destination(volume, SIZE) as device:
        assert device.size == SIZE
        device.write(b"hello", 4096)
        device.flush()
        buffer = bytearray(7)
        device.read_into(buffer, 4095)
        assert buffer == b"\xaahello\xaa"
    device.close()


def test_cleared_parts_are_zeros_and_nothing_else_is(volume: Path) -> None:
    with open_destination(volume, SIZE) as device:
        device.clear(4096, 8192)
        buffer = bytearray(16384)
        device.read_into(buffer, 0)
        assert buffer == b"\xaa" * 4096 + bytes(8192) + b"\xaa" * 4096


@pytest.mark.parametrize("clearing", [devices._punch, devices._zero_out])
def test_each_way_of_clearing_works_on_a_block_device(clearing: Any, file: Path, loop: Loop) -> None:
    with open_destination(loop(file), SIZE) as device:
        clearing(device.descriptor, 4096, 8192)
        buffer = bytearray(16384)
        device.read_into(buffer, 0)
        assert buffer == b"\xaa" * 4096 + bytes(8192) + b"\xaa" * 4096


def test_a_device_that_can_not_clear_is_written_to_and_not_asked_twice(file: Path) -> None:
    asked: list[int] = []

    def cannot(*_: int) -> None:
        asked.append(1)
        raise OSError(errno.EOPNOTSUPP, "no")

    with open_destination(file, SIZE) as device:
        device._clearings = (cannot,)
        device.clear(0, 4096)
        device.clear(8192, 4096)
    assert asked == [1]
    assert file.read_bytes()[:12288] == bytes(4096) + b"\xaa" * 4096 + bytes(4096)


def test_a_device_that_fails_to_clear_is_told(file: Path) -> None:
    def fails(*_: int) -> None:
        raise OSError(errno.EIO, "broken")

    with open_destination(file, SIZE) as device, pytest.raises(DeviceFailed, match="clearing at offset 4096"):
        device._clearings = (fails,)
        device.clear(4096, 4096)


def test_a_block_device_is_claimed_and_can_be_shared(file: Path, loop: Loop) -> None:
    path = loop(file)
    with open_destination(path, SIZE) as device:
        with pytest.raises(DeviceBusy, match=str(path)):
            open_destination(path, SIZE)
        with reopen(device.descriptor, path) as other:
            other.write(b"other", 0)
            buffer = bytearray(5)
            device.read_into(buffer, 0)
            assert buffer == b"other"
    open_destination(path, SIZE).close()


def test_a_source_is_only_read(volume: Path) -> None:
    with open_source(volume) as device, pytest.raises(DeviceFailed, match="writing"):
        device.write(b"x", 0)


def test_a_device_that_is_too_small_is_refused(volume: Path) -> None:
    with pytest.raises(DeviceTooSmall, match=f"{SIZE} bytes"):
        open_destination(volume, SIZE + 1)


def test_what_is_no_device_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path / "pipe", os.O_RDWR)  # or opening it would wait for a writer
    for path in ("pipe", "/dev/null"):
        with pytest.raises(DeviceError, match="neither"):
            open_source(tmp_path / path)
    os.close(descriptor)
    with pytest.raises(DeviceMissing):
        open_source(tmp_path / "none")
    with pytest.raises(DeviceError):
        open_source(tmp_path)


def test_reading_past_the_end_is_an_error_that_says_where(volume: Path) -> None:
    with open_source(volume) as device, pytest.raises(DeviceFailed, match=f"ends at {SIZE}"):
        device.read_into(bytearray(10), SIZE - 5)


def test_a_block_device_that_fails_says_where(file: Path, loop: Loop) -> None:
    path = loop(file)
    with open_source(path) as device:
        device.drop_cached(0, 0)
        os.truncate(file, SIZE // 2)  # the rest of the device is gone: real I/O errors
        with pytest.raises(DeviceFailed, match=f"reading at offset {SIZE // 2} failed: Input/output error"):
            device.read_into(bytearray(8192), SIZE // 2)


def test_the_device_is_read_and_not_the_cache(file: Path, loop: Loop) -> None:
    path = loop(file)
    with (
        open_source(path) as device, closing(StoredReader(device, 4096)) as stored,
        mmap.mmap(device.descriptor, 4096, mmap.MAP_SHARED | LOCKED, mmap.PROT_READ) as cached,
    ):  # fmt: skip
        before = cached[:]
        with file.open("r+b") as behind:
            behind.write(bytes(255 - one for one in before))
        assert stored.read(0, 4096) == bytes(255 - one for one in before)
        assert cached[:] == before, "the cache is old: whoever reads it reads something else"


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("size", [5, 511, 4096, 5000, 8192])
def test_stored_blocks_are_read_with_and_without_direct_reads(tmp_path: Path, direct: bool, size: int) -> None:
    path, data = tmp_path / "odd", os.urandom(size)
    path.write_bytes(data)
    with open_source(path) as device, closing(StoredReader(device, 4096)) as stored:
        if not direct:
            stored.close()
        offsets = range(0, size, 4096)
        assert b"".join(bytes(stored.read(at, min(4096, size - at))) for at in offsets) == data
        with pytest.raises(DeviceFailed):
            stored.read(8192, 4096)


def test_nothing_stays_open(file: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with open_destination(file, SIZE) as device, closing(StoredReader(device, 4096)), reopen(device.descriptor, file):
        assert len(os.listdir("/proc/self/fd")) > before
    with pytest.raises(DeviceTooSmall):
        open_destination(file, SIZE + 1)
    with pytest.raises(DeviceError):
        open_source(file.parent)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_failed_flush_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with Device(os.open(file, os.O_RDWR), file) as device:
        monkeypatch.setattr(os, "fdatasync", fails)
        with pytest.raises(DeviceFailed, match="could not be stored"):
            device.flush()


def test_agents_share_a_device_that_nobody_else_has_claimed(file: Path, loop: Loop) -> None:
    path = loop(file)
    with open_shared(path, SIZE) as one, open_shared(path, SIZE) as other:
        one.write(b"1" * 4096, 0)
        other.write(b"2" * 4096, 4096)
    with open_destination(path, SIZE), pytest.raises(DeviceBusy):
        open_shared(path, SIZE)


def test_whole_pages_go_past_the_cache(file: Path, loop: Loop) -> None:
    with open_shared(loop(file), SIZE) as device:
        page = aligned(8192)
        page[:] = b"n" * 8192
        device.write(page, 4096)
        assert file.read_bytes()[4096:12288] == page  # not flushed, and there
        device.write(page[:4096], 65536)
        assert file.read_bytes()[65536:69632] == page[:4096]


@pytest.mark.parametrize(("length", "offset", "skip"), [(512, 0, 0), (4096, 512, 0), (4096, 0, 1), (8191, 4096, 0)])
def test_other_parts_are_written_as_well(file: Path, loop: Loop, length: int, offset: int, skip: int) -> None:
    with open_shared(loop(file), SIZE) as device:
        memory = aligned(16384)
        memory[:] = b"n" * 16384
        device.write(memory[skip : skip + length], offset)
        device.flush()
    expected = bytearray(b"\xaa" * SIZE)
    expected[offset : offset + length] = b"n" * length
    assert file.read_bytes() == expected


def test_whole_pages_are_read_past_the_cache(file: Path, loop: Loop) -> None:
    with open_source(loop(file)) as device:
        buffer = aligned(8192)
        device.read_into(buffer, 4096)
        with file.open("r+b") as under:  # where the device's cache doesn't see it
            under.seek(4096)
            under.write(b"n" * 8192)
        device.read_into(buffer, 4096)
        assert bytes(buffer) == b"n" * 8192
        rest = bytearray(1000)
        device.read_into(rest, SIZE - 1000)
        assert rest == b"\xaa" * 1000


def test_a_direct_write_that_fails_is_told(file: Path, loop: Loop) -> None:
    with (
        open_shared(loop(file), SIZE) as device,
        pytest.raises(DeviceFailed, match=f"writing at offset {SIZE} failed: No space"),
    ):
        device.write(aligned(4096), SIZE)


def test_agents_that_open_a_device_at_the_same_time_do_not_see_each_other(file: Path, loop: Loop) -> None:
    path = loop(file)

    def often(_: int) -> None:
        for _ in range(100):
            open_shared(path, SIZE).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(often, range(4)))
