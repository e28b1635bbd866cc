"""Opens a volume's device and reads, writes, clears and flushes it; a regular file serves as well."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from ..errors import DeviceBusy, DeviceError, DeviceFailed, DeviceMissing, DeviceTooSmall
from .blocks import SMALLEST, Bytes, zeros

_BLKZEROOUT = 0x127F
_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02
_CANNOT = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EPERM}
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]


class Device:
    """An open device. All offsets and lengths are bytes; threads may use it at once. Errors are DeviceFailed."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor, self.path = descriptor, path
        self.size = os.lseek(descriptor, 0, os.SEEK_END)  # a block device's stat says 0
        self._direct: int | None = None  # another opening, past the cache
        self._clearings: tuple[Callable[[int, int, int], None], ...] = (_punch, _zero_out)

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; harmless twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def open_direct(self, flags: int) -> int | None:
        """Return another descriptor of it, past the cache, or None where that can't be.

        The flag holds for all who share an opening: it's one of its own. By descriptor, since paths may change hands.
        """
        try:
            return os.open(f"/proc/self/fd/{self.descriptor}", flags | os.O_DIRECT)
        except OSError:
            return None

    def read_into(self, buffer: bytearray | memoryview, offset: int) -> None:
        """Fill the buffer, past the cache after ``go_direct``."""
        view = memoryview(buffer)
        done = self._direct_read(view, offset)
        while done < len(view):
            try:
                read = os.preadv(self.descriptor, [view[done:]], offset + done)
            except OSError as error:
                raise self.failed("reading", offset + done, error) from error
            if not read:
                raise DeviceFailed(f"{self.path}: ends at {offset + done}, before the {len(view)} bytes at {offset} do")
            done += read

    def write(self, data: Bytes, offset: int) -> None:
        """Write all of it, past the cache after ``go_direct``; it's stored after ``flush``."""
        view = memoryview(data)
        done = self._direct_write(view, offset)
        while done < len(view):
            try:
                done += os.pwrite(self.descriptor, view[done:], offset + done)
            except OSError as error:
                raise self.failed("writing", offset + done, error) from error

    def go_direct(self, flags: int) -> None:
        """From now on, whole pages go between the device and ``aligned`` memory, past the cache.

        That saves a copy, requests of a readahead's small size, and the memory of the host.
        """
        if self._direct is None:
            self._direct = self.open_direct(flags)

    def _direct_read(self, view: memoryview, offset: int) -> int:
        return self._directly("reading", lambda direct: os.preadv(direct, [view], offset), offset, len(view))

    def _direct_write(self, view: memoryview, offset: int) -> int:
        return self._directly("writing", lambda direct: os.pwrite(direct, view, offset), offset, len(view))

    def _directly(self, doing: str, do: Callable[[int], int], offset: int, length: int) -> int:
        """Return how much could be done past the cache."""
        if self._direct is None or offset % SMALLEST or length % SMALLEST:
            return 0
        try:
            return do(self._direct)
        except OSError as error:
            if error.errno == errno.EINVAL:  # not with this memory, or not on this device
                return 0
            raise self.failed(doing, offset, error) from error

    def clear(self, offset: int, length: int) -> None:
        """Make it zeros, and give the space back where that can be; what this device can't do isn't tried twice."""
        for clearing in self._clearings:
            try:
                return clearing(self.descriptor, offset, length)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise self.failed("clearing", offset, error) from error
                self._clearings = tuple(other for other in self._clearings if other is not clearing)
        return self.write(zeros(length), offset)

    def flush(self) -> None:
        """Return when all that was written is stored, and survives a loss of power."""
        try:
            os.fdatasync(self.descriptor)
        except OSError as error:
            raise DeviceFailed(f"{self.path}: what was written could not be stored: {error.strerror}") from error

    def read_ahead(self) -> None:
        """Tell the system that it will be read from the start to the end."""
        os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def drop_cached(self, offset: int, length: int) -> None:
        """Ask the system to keep nothing of this part in memory; what isn't flushed stays. Length 0 is all."""
        os.posix_fadvise(self.descriptor, offset, length, os.POSIX_FADV_DONTNEED)

    def failed(self, doing: str, offset: int, error: OSError) -> DeviceFailed:
        """Return the error with the sentence that says where."""
        return DeviceFailed(f"{self.path}: {doing} at offset {offset} failed: {error.strerror}")


def open_source(path: Path, size: int = 0) -> Device:
    """Open a device to read at least *size* bytes of it: DeviceMissing, DeviceTooSmall, DeviceError."""
    device = Device(_open(path, os.O_RDONLY), path)
    if device.size < size:
        device.close()
        raise DeviceTooSmall(f"{path}: has {device.size} bytes, and {size} are to be read")
    device.read_ahead()
    if path.is_block_device():
        device.go_direct(os.O_RDONLY)
    return device


def open_destination(path: Path, size: int) -> Device:
    """Open a device that is to take *size* bytes: DeviceMissing, DeviceBusy, DeviceTooSmall, DeviceError.

    A block device is claimed: nobody can mount it or claim it meanwhile, and nobody has. A process that shares the
    work ``reopen``s it.
    """
    exclusive = os.O_EXCL if path.is_block_device() else 0  # for a file, without O_CREAT, it means nothing
    device = Device(_open(path, os.O_RDWR | exclusive), path)
    if device.size < size:
        device.close()
        raise DeviceTooSmall(f"{path}: has {device.size} bytes, the volume has {size}")
    return device


def open_shared(path: Path, size: int) -> Device:
    """Open a device that is to take *size* bytes, for one of several agents: DeviceBusy when it's in any other use.

    Each of them writes blocks of its own. That nobody has claimed it (mounted it, made a volume group of it) is
    looked at here; the claim itself would keep the other agents out. They take turns at looking, or each would see the
    others do it.
    """
    device = Device(_open(path, os.O_RDWR), path)
    try:
        fcntl.flock(device.descriptor, fcntl.LOCK_EX)
        open_destination(path, size).close()
        fcntl.flock(device.descriptor, fcntl.LOCK_UN)
        if path.is_block_device():
            device.go_direct(os.O_RDWR)
    except BaseException:
        device.close()
        raise
    return device


def reopen(descriptor: int, path: Path) -> Device:
    """Open once more what an inherited descriptor of ``open_destination`` has open.

    Not the descriptor itself: the kernel reports a failed write once for each opening, and both must hear of it.
    """
    return Device(_open(Path(f"/proc/self/fd/{descriptor}"), os.O_RDWR), path)


def _open(path: Path, flags: int) -> int:
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise DeviceMissing(f"{path}: is not there") from None
    except OSError as error:
        kind = DeviceBusy if error.errno == errno.EBUSY else DeviceError
        raise kind(f"{path}: can't be opened: {error.strerror}") from error
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISBLK(mode) or stat.S_ISREG(mode)):
        os.close(descriptor)
        raise DeviceError(f"{path}: is neither a block device nor a regular file")
    return descriptor


def _punch(descriptor: int, offset: int, length: int) -> None:
    """A hole reads as zeros, in files and on devices that can forget; the others say that they can't."""
    if _libc.fallocate(descriptor, _KEEP_SIZE_AND_PUNCH_HOLE, offset, length):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _zero_out(descriptor: int, offset: int, length: int) -> None:
    """The kernel writes the zeros, or has the device do it."""
    fcntl.ioctl(descriptor, _BLKZEROOUT, struct.pack("QQ", offset, length))
