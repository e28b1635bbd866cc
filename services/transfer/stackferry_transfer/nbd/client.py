"""Fetches a part of a volume with nbdcopy: straight onto an empty device, else block by block through our hands."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..children import GRACE, Child
from ..copying.passes import begun
from ..copying.tally import Progress, Pulled
from ..copying.task import Mode, Task
from ..copying.writer import Asked, Writer
from ..disk.blocks import UNKNOWN, digest, is_zero, zero_digest
from ..disk.devices import Device
from ..disk.journal import Journal
from ..errors import PeerLost
from . import programs

STALLED = 300.0  # seconds without a word, or a byte, of nbdcopy
REACH = 5.0  # seconds to find out whether an agent can be reached
_LOOK = 0.2  # seconds between looks at the stop event
_PIPE = 1 << 20  # bytes that wait in a pipe


@dataclass(frozen=True)
class Export:
    """Where it is, and what nbdcopy needs to get there; ``folder`` is ours, and goes when we do."""

    location: str
    folder: Path
    environ: Mapping[str, str]


def reachable(data: Mapping[str, Any], mode: Mode) -> str | None:
    """Where the offering agent itself answers, which costs less in every mode but the first; None when it doesn't."""
    where = data.get("pump")
    if mode is Mode.FULL or not where:
        return None
    host, _, port = where.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=REACH).close()
    except OSError:
        return None
    return str(where)


def fetch(
    device: Device,
    journal: Journal,
    export: Export,
    mode: Mode,
    blocks: range,
    stop: threading.Event,
    progress: Progress,
) -> Pulled:
    """Make *blocks* what they are at the source. A first copy of them onto zeros takes the short way."""
    if mode is Mode.FULL:
        if _empty(device, journal, blocks, stop):
            return copy(device, journal, export, blocks, stop, progress)
        mode = Mode.REHASH  # a try before this one has begun
    return stream(device, journal, export, mode, blocks, stop, progress)


def _empty(device: Device, journal: Journal, blocks: range, stop: threading.Event) -> bool:
    """Whether the device has zeros alone in *blocks*; False on *stop*."""
    for block in blocks:
        offset, buffer = journal.copy.offset(block), bytearray(journal.copy.length(block))
        device.read_into(buffer, offset)
        device.drop_cached(offset, len(buffer))
        if not is_zero(buffer) or stop.is_set():
            return False
    return True


def copy(
    device: Device, journal: Journal, export: Export, blocks: range, stop: threading.Event, progress: Progress
) -> Pulled:
    """Have nbdcopy write *blocks*, of which the device holds zeros alone; then journal what it holds.

    That takes one more reading of the device; by it a later pass knows what has changed since.
    """
    first, span = journal.copy.offset(blocks.start), journal.copy.span(blocks.start, len(blocks))
    again = Path(f"/proc/{os.getpid()}/fd/{device.descriptor}")  # paths may change hands
    with begun(device, journal, Mode.REHASH, blocks, stop, lambda blocks, size: None) as task, _until(stop):
        if _copied(export, again, first, stop, lambda percent: progress(0, span * percent // 100)):
            _note(task)
    return task.tally.pulled(len(blocks), task.work.complete)


def stream(
    device: Device,
    journal: Journal,
    export: Export,
    mode: Mode,
    blocks: range,
    stop: threading.Event,
    progress: Progress,
) -> Pulled:
    """Read all of *blocks* from the source, and write what is unlike that which *mode* compares with."""
    with (
        begun(device, journal, mode, blocks, stop, progress) as task,
        closing(Child(programs.stream(export.location), export.environ, stdout=subprocess.PIPE)) as child,
        _until(stop),
    ):
        assert child.stdout  # noqa: S101  (it was asked for)
        fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, _PIPE)
        _take_in(task, child, child.stdout.fileno())
    return task.tally.pulled(len(blocks), task.work.complete)


@contextmanager
def _until(stop: threading.Event) -> Iterator[None]:
    """What breaks when it's to stop is no error."""
    try:
        yield
    except PeerLost:
        if not stop.is_set():
            raise


def _copied(export: Export, path: Path, first: int, stop: threading.Event, progress: Callable[[int], None]) -> bool:
    """Run nbdcopy to its end; False when it was stopped. In any case nobody writes to the device any more."""
    with ExitStack() as stack:
        listener = stack.enter_context(taken(export.folder, path, first))
        ours, its = os.pipe()
        words = stack.enter_context(open(ours, "rb", buffering=0))
        try:
            child = Child(programs.copy(export.location, listener, its), export.environ, pass_on=[its])
        finally:
            os.close(its)
        stack.callback(child.close)
        said = bytearray(64)
        while read := _read(words.fileno(), memoryview(said), stop.is_set):
            percents = [word for word in bytes(said[:read]).split(b"\n") if word.endswith(b"/100")]
            if percents:
                progress(int(percents[-1].removesuffix(b"/100")))
        if read is not None:
            _check(child)
        return read is not None


@contextmanager
def taken(folder: Path, path: Path, first: int) -> Iterator[str]:
    """A socket at which an nbdkit of ours writes to the device.

    Not one that nbdcopy starts: that outlives it for a moment, and leaves its socket behind in /tmp when it's killed.
    The folder is named by its descriptor, because a socket's name can only have some 100 bytes.
    """
    descriptor = os.open(folder, os.O_PATH)
    try:
        name = f"/proc/{os.getpid()}/fd/{descriptor}/device"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
            listener.listen()
            child = Child(programs.take(path, first), {}, listener=listener)
        with closing(child):
            yield name
    finally:
        os.close(descriptor)


def _note(task: Task) -> None:
    """Journal what the device holds."""
    with Writer(task) as writer:
        while (batch := task.work.take(wait=False)) is not None:
            for block in batch:
                length, found = task.copy.length(block), writer.stored_digest(block)
                zero = found == zero_digest(length)
                task.recorder.done(block, found, written=False)
                task.tally.add("written", 0 if zero else length)
                task.tally.done("zero" if zero else "raw", 1, length)
                task.work.settle()


def _take_in(task: Task, child: Child, pipe: int) -> None:
    with Writer(task) as writer:
        while (batch := task.work.take(wait=False)) is not None:
            asked = Asked(batch, batch.start)
            writer.look(asked)
            for block in batch:
                content = bytearray(task.copy.length(block))
                if not _fill(pipe, content, child, lambda: task.work.closed):
                    return
                _settle(task, writer, asked, block, content)
                task.work.settle()
    if task.work.complete:
        _check(child)


def _settle(task: Task, writer: Writer, asked: Asked, block: int, content: bytearray) -> None:
    zero = is_zero(content)
    found = zero_digest(len(content)) if zero else digest(content)
    same = found == asked.known_at(block) != UNKNOWN
    if not same:
        writer.store(asked, block, None if zero else content, found)
    writer.record(asked, block, found, written=not same)
    task.tally.add("wire_received", len(content))
    task.tally.done("same" if same else "zero" if zero else "raw", 1, len(content))


def _fill(pipe: int, buffer: bytearray, child: Child, stopped: Callable[[], bool]) -> bool:
    """Fill the buffer; False when it's to stop."""
    view, done = memoryview(buffer), 0
    while done < len(view):
        read = _read(pipe, view[done:], stopped)
        if read is None:
            return False
        if not read:
            _check(child)
            raise PeerLost("nbdcopy ended before all had come")
        done += read
    return True


def _read(pipe: int, view: memoryview, stopped: Callable[[], bool]) -> int | None:
    """Read what is there into *view*; return how much: 0 at the end, None to stop. PeerLost when it stalls."""
    deadline = time.monotonic() + STALLED
    while not stopped():
        if select.select([pipe], [], [], _LOOK)[0]:
            return os.readv(pipe, [view])
        if time.monotonic() > deadline:
            raise PeerLost(f"nbdcopy moved nothing for {STALLED:.0f} seconds")
    return None


def _check(child: Child) -> None:
    """Raise PeerLost unless it ends well, now that it has said all."""
    if child.wait(GRACE) != 0:
        raise PeerLost(f"nbdcopy failed: {child.last_words()}")
