"""A pass over a part of a copy, whoever brings the blocks: begun, and ended so that what was done is journaled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from ..disk.blocks import Copy
from ..disk.devices import Device
from ..disk.journal import Journal
from ..errors import DeviceTooSmall, PumpError
from .batches import Work, all_of, unknown_of
from .readback import ReadBack
from .recorder import EVERY_BLOCKS, EVERY_SECONDS, Recorder
from .tally import Progress, Tally
from .task import Mode, Task


@contextmanager
def begun(
    device: Device,
    journal: Journal,
    mode: Mode,
    blocks: range,
    stop: threading.Event,
    progress: Progress,
    *,
    copy: Copy | None = None,
    compression: bool = False,
    fresh: bool = False,
    every_blocks: int = EVERY_BLOCKS,
    every_seconds: float = EVERY_SECONDS,
) -> Iterator[Task]:
    """Yield what is to be done; afterwards the device is flushed, and the journal written, even if it failed."""
    if device.size < journal.copy.size:
        raise DeviceTooSmall(f"{device.path}: has {device.size} bytes, the volume has {journal.copy.size}")
    tally = Tally(progress)
    if mode is Mode.REHASH:
        journal.forget(blocks.start, len(blocks))
    if mode.reads_device:
        device.flush()  # what it has stored is looked at
    work = Work(_unskipped(blocks, journal, tally) if mode is Mode.FULL else all_of(blocks), stop)
    with closing(ReadBack(device, journal.copy)) as readback:
        check = readback.check if mode.reads_back else None
        recorder = Recorder(journal, device.flush, every_blocks, every_seconds, check=check)
        fresh = fresh and mode is Mode.FULL
        task = Task(copy or journal.copy, mode, device, journal, recorder, work, tally, compression, fresh)
        try:
            yield task
        except BaseException:
            with suppress(PumpError):  # the first error says more
                recorder.commit()
            raise
        recorder.commit()
    journal.flush()


def _unskipped(blocks: range, journal: Journal, tally: Tally) -> Iterator[range]:
    for batch, known in unknown_of(blocks, journal):
        if known:
            tally.done("skipped", len(batch), journal.copy.span(batch.start, len(batch)))
        else:
            yield batch
