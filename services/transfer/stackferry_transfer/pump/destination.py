"""Pulls a volume's blocks from the source into a device, over several connections at once."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from ..copying.passes import begun
from ..copying.recorder import EVERY_BLOCKS, EVERY_SECONDS
from ..copying.tally import Progress, Pulled
from ..copying.task import Mode, Task
from ..disk.devices import Device
from ..disk.journal import Journal
from ..errors import PeerLost
from .connections import interrupt
from .receiver import Receiver

CONNECTIONS = 2
_LOOK = 0.1  # seconds between looks at the stop event

Connect = Callable[[], ssl.SSLSocket]
"""Makes a connection to the source, as ``connections.connect`` does."""


def pull(
    device: Device,
    journal: Journal,
    connect: Connect,
    *,
    mode: Mode = Mode.FULL,
    blocks: range | None = None,
    connections: int = CONNECTIONS,
    fresh: bool = False,
    offer: str | None = None,
    compression: bool = True,
    progress: Progress = lambda blocks, size: None,
    stop: threading.Event | None = None,
    every_blocks: int = EVERY_BLOCKS,
    every_seconds: float = EVERY_SECONDS,
) -> Pulled:
    """Make *blocks* (None: all) of the journal's copy on *device* what they are at the source; return what it took.

    *offer* is the id that the source offers this copy by, when that's not the copy's own (an id for each part, and for
    each try). *fresh* says that the device held zeros alone before the first pull of this copy, and that this is the
    first: a pull that was killed may have written what isn't journaled. It counts in mode ``full`` only. *stop* ends
    the pull soon; the result isn't ``complete`` then. The device is flushed, and the journal written, every so many
    blocks or seconds.

    Raise PeerLost when the last connection broke, PeerRefused, Stranger, SourceFailed, BlockCorrupted, RepairFailed,
    Violation, DeviceFailed, DeviceTooSmall or JournalFailed. In each case what was done before is journaled.
    """
    copy, stop = journal.copy, stop or threading.Event()
    blocks = copy.part(blocks)
    with begun(
        device,
        journal,
        mode,
        blocks,
        stop,
        progress,
        copy=copy if offer is None else replace(copy, id=offer),
        compression=compression,
        fresh=fresh,
        every_blocks=every_blocks,
        every_seconds=every_seconds,
    ) as task:
        _Crew(task, connect, connections).run(stop)
    return task.tally.pulled(len(blocks), task.work.complete)


class _Crew:
    """Threads that work on one task, each over a connection of its own. The work of one that breaks goes to others."""

    def __init__(self, task: Task, connect: Connect, size: int) -> None:
        self._task, self._connect = task, connect
        self._threads = [threading.Thread(target=self._work, name=f"pump-{n}", daemon=True) for n in range(size)]
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, ssl.SSLSocket] = {}
        self._lost: list[PeerLost] = []
        self._failure: BaseException | None = None

    def run(self, stop: threading.Event) -> None:
        """Return when all is done, or *stop* is set; else raise what went wrong."""
        for thread in self._threads:
            thread.start()
        try:
            while running := self._running():
                running[0].join(_LOOK)
                if stop.is_set():
                    self._end()
        finally:
            self._end()
            for thread in self._running():
                thread.join()
        if self._failure:
            raise self._failure
        if self._lost and not self._task.work.complete and not stop.is_set():
            known = self._task.journal
            raise PeerLost(f"copy {known.copy.id}: {self._lost[-1]}; what came before is journaled") from self._lost[-1]

    def _running(self) -> list[threading.Thread]:
        """Whom to wait for: at the end not for who still tries to connect, since it won't touch anything any more."""
        with self._lock:
            over = self._task.work.closed or self._task.work.complete
            awaited = list(self._open if over else self._threads)
            return [thread for thread in awaited if thread.is_alive()]

    def _end(self) -> None:
        with self._lock:
            self._task.work.close()
            for connection in self._open.values():
                interrupt(connection)

    def _work(self) -> None:
        try:
            while self._over_one_connection():
                pass
        except PeerLost as error:
            with self._lock:
                self._lost.append(error)
        except BaseException as error:
            with self._lock:
                self._failure = self._failure or error
            self._end()

    def _over_one_connection(self) -> bool:
        me = threading.current_thread()
        with closing(self._connect()) as connection:
            with self._lock:
                if self._task.work.closed:
                    return False
                self._open[me] = connection
            try:
                return Receiver(connection, self._task).run()
            finally:
                with self._lock:
                    del self._open[me]
