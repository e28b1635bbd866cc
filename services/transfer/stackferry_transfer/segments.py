"""One try of a segment: offering a range of a source volume, or fetching one into a volume of the destination."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stackferry.envelope import Envelope
from stackferry.messages import SegmentOffered, SegmentServed
from stackferry_runtime.certificates import Identity, Stranger, readable
from stackferry_runtime.logs import logger, of_step

from . import ways
from .copying.tally import Pulled
from .copying.task import Mode
from .disk import attached, devices
from .disk.blocks import BLOCK, Copy, aligned, digest
from .disk.devices import Device
from .disk.journal import Journal
from .errors import DeviceBusy, DeviceError, DeviceMissing, PeerLost, PeerRefused, PumpError
from .nbd.server import Export, listen
from .pump.pace import Pace
from .pump.server import Server
from .pump.source import Offer
from .reports import LOST, Progress, Reports
from .settings import Settings
from .ways import Order

log = logger(__name__)
BY_SLOT = 2  # segments of one volume that are under way at once
GUEST = 90.0  # seconds that an offered segment waits for an agent
GONE = 2.0  # seconds without a connection after which its guest has left; while it fetches it has some all along
_LOOK = 0.5  # seconds between looks for the guest
NAMED = 20  # blocks of a verify that are named in the log
ENCRYPTION = 16 << 20  # bytes of a LUKS header, at most, which whoever has the volume attached doesn't see
APPEARS = 60.0  # seconds that an attached device gets to appear
MODES = {"copy": Mode.FULL, "delta": Mode.DELTA, "rehash": Mode.REHASH, "verify": Mode.VERIFY}
Digests = dict[str, str | None]  # of the journal: over all of the volume, and over this part of it
PASSING = (PeerLost, PeerRefused, DeviceBusy)  # worth another try


class Segments:
    """Does segments; :meth:`offer` and :meth:`fetch` are run in threads of their own."""

    def __init__(
        self, settings: Settings, mine: Identity, server: Server, reports: Reports, stop: threading.Event
    ) -> None:
        self.settings, self.mine, self.server, self.reports, self.stop = settings, mine, server, reports, stop

    # -- at the source -----------------------------------------------------------------------------------

    def offer(self, envelope: Envelope) -> None:
        """Offer a segment until its guest has left, and report what was served; the end is told by whoever fetches,
        unless there's nobody."""
        data, about = envelope.data, _about(envelope.data)
        try:
            # A disk that has shrunk mustn't pass for a whole one; that of an encrypted volume lacks its own header.
            end = data["first"] + max(0, data["length"] - ENCRYPTION)
            with closing(self._opened(data["volume"], lambda path: devices.open_source(path, end))) as device:
                self._offered(device, envelope)
        except LOST as error:
            log.warning("an offer could not be told", error=str(error), **about)
        except Exception as error:  # whatever it is, the coordinator hears of it
            self._failed(envelope, error)

    def _offered(self, device: Device, envelope: Envelope) -> None:
        """Offer a part of a device that stays open meanwhile, until its guest has left."""
        data, about, path = envelope.data, _about(envelope.data), device.path
        copy, ticket, pace = Copy(data["copy"], device.size), _ticket(data), Pace(data.get("bandwidth"))
        if not (guests := readable(data["certificates"])):
            raise Stranger("none of the certificates that may fetch it can be read: see the agents on the other host")
        offer = Offer(Copy(ticket, copy.size), path, guests, _blocks(data, copy), pace=pace)
        device.drop_cached(0, 0)  # another offer may have kept it, and with it what it held before
        self.server.offer(offer)
        log.debug("offers", device=str(path), volume=data["volume"], **about)
        try:
            address = self._reached_at(self.server.address[1])
            told = {**about, "address": address, "size": copy.size, "certificate": self.mine.certificate}
            with self._exported({**data, "certificates": guests}, path, copy) as export:
                if export:
                    told |= {"address": self._reached_at(export.port), "pump": address}
                self.reports.tell(SegmentOffered, told, envelope)
                came, is_told = self._served(offer, export, envelope)
                if not came:
                    why = "its agent was stopped" if self.stop.is_set() else f"no agent came within {GUEST:.0f} seconds"
                    raise PeerLost(f"nobody has fetched it: {why}")
        finally:
            self.server.withdraw(ticket)
        if not is_told:
            self._tell_rest(device, offer, bool(export), envelope)

    def _reached_at(self, port: int) -> str:
        return f"{self.settings.advertise_address or self.server.address[0]}:{port}"

    def _exported(self, data: dict[str, Any], path: Path, copy: Copy) -> AbstractContextManager[Export | None]:
        """An export by nbdkit, where that's the engine."""
        if data.get("engine") != "nbd":
            return nullcontext()
        blocks, port = _blocks(data, copy), self.settings.nbd_port
        part = copy.offset(blocks.start), copy.span(blocks.start, len(blocks))
        listener = listen(self.server.address[0], port, self.settings.slots * BY_SLOT)
        limits = [limit for limit in (data.get("bandwidth"), self.settings.bandwidth) if limit]
        rate = float(min(limits, default=0))
        return Export(path, part, _ticket(data), self.mine, data["certificates"], listener, rate)

    def _tell_rest(self, device: Device, offer: Offer, by_nbdkit: bool, envelope: Envelope) -> None:
        """Say what was served, though it wasn't all: the rest was there already, or nbdkit served it.

        nbdkit doesn't say what it reads. Where each block counts, it's read once more; a first copy is verified later.
        """
        about, blocks = _about(envelope.data), offer.served.blocks
        unseen = by_nbdkit and not offer.served.whole.is_set()
        if unseen and envelope.data["mode"] == "copy":
            self.reports.surely(SegmentServed, {**about, "blocks": None, "digest": None}, envelope)
            return
        if unseen:
            abandon = threading.Event()
            over = _Either(abandon, self.stop)
            with Progress(self.reports, about, envelope, abandon) as progress:
                for block in blocks:
                    if over.is_set():
                        return
                    offer.served.note(block, _read(device, offer.copy, block))
                    progress(1, offer.copy.span(blocks.start, block + 1 - blocks.start))
        self.reports.surely(SegmentServed, {**about, **offer.served.told()}, envelope)

    def _served(self, offer: Offer, export: Export | None, envelope: Envelope) -> tuple[bool, bool]:
        """Wait until the guest of an offer has come and gone; return whether there was one, and whether it's told what
        it got: once that is all, it's told at once."""
        ticket, whole, told = offer.copy.id, offer.served.whole, False
        deadline, came = time.monotonic() + GUEST, False
        while not self.stop.is_set():
            (self.stop if told else whole).wait(_LOOK)
            if whole.is_set() and not told:
                told = True
                self.reports.surely(SegmentServed, {**_about(envelope.data), **offer.served.told()}, envelope)
            if export and export.over():
                return True, told
            here = self.server.serves(ticket) or (export and export.busy())
            if here or (not came and self.server.has_served(ticket)):  # it may have gone between two looks
                came, deadline = True, time.monotonic() + GONE
            elif time.monotonic() > deadline:
                break
        return came, told

    # -- at the destination --------------------------------------------------------------------------------

    def fetch(self, envelope: Envelope) -> None:
        """Fetch a segment, or compare it, and report how that ended."""
        data, about = envelope.data, _about(envelope.data)
        abandon = threading.Event()
        try:
            with Progress(self.reports, about, envelope, abandon) as progress:
                pulled, digests = self._fetch(data, progress, _Either(abandon, self.stop))
        except Exception as error:  # whatever it is, the coordinator hears of it
            if not abandon.is_set():
                self._failed(envelope, error)
            return
        if not abandon.is_set():
            over = ended(pulled, digests, data.get("engine"))
            log.info(over["outcome"], **of_step(envelope, over))
            self.reports.ended({**about, **over}, envelope)

    def _fetch(self, data: dict[str, Any], progress: Progress, stop: threading.Event) -> tuple[Pulled, Digests]:
        copy = Copy(data["copy"], data["size"])
        blocks, mode = _blocks(data, copy), MODES[data["mode"]]
        progress.total = copy.span(blocks.start, len(blocks))
        opened = self._opened(data["volume"], lambda path: devices.open_shared(path, copy.size))
        with closing(opened) as device, self._journal(copy) as journal:
            order = Order(device, journal, mode, blocks, _ticket(data), stop, progress)
            pulled = ways.fetch(order, data, self.mine, self.settings)
            for repair in pulled.repairs[:NAMED]:
                log.warning("a block was unlike its source", device=str(device.path), **asdict(repair), **_about(data))
            whole, part = (journal.digest(), journal.digest(blocks)) if pulled.complete else (None, None)
            return pulled, {name: found.hex() if found else None for name, found in (("digest", whole), ("part", part))}

    def _journal(self, copy: Copy) -> Journal:
        folder = Path(self.settings.state_dir) / "journals"
        folder.mkdir(parents=True, exist_ok=True)
        return Journal(folder / copy.id.replace("/", "_"), copy)

    # -- both ----------------------------------------------------------------------------------------------

    def _opened(self, volume: str, open_: Callable[[Path], Device]) -> Device:
        """Open a volume's device. While it's open, its path can't become that of another disk.

        So it's looked at twice: before it was opened, the volume may have gone, and another one have come in its place.
        """
        folder = Path(self.settings.devices_dir)
        path = attached.wait_for(volume, folder, APPEARS, self.stop)
        device = open_(path)
        try:
            if attached.find(volume, folder) != path:
                raise DeviceMissing(f"volume {volume}: its device was another one a moment ago")
        except BaseException:
            device.close()
            raise
        return device

    def _failed(self, envelope: Envelope, error: Exception) -> None:
        surprise = None if isinstance(error, PumpError | Stranger) else error
        log.warning("a segment failed", error=str(error), exc_info=surprise, **_about(envelope.data))
        passing = isinstance(error, PASSING) or not isinstance(error, PumpError | Stranger)
        outcome = "interrupted" if isinstance(error, PeerLost) else "failed"  # an outage, or no
        retryable = passing or isinstance(error, DeviceError)
        how = {"outcome": outcome, "reason": str(error), "retryable": retryable}
        self.reports.ended({**_about(envelope.data), **how}, envelope)


class _Either(threading.Event):
    """Set when either of two events is."""

    def __init__(self, *events: threading.Event) -> None:
        super().__init__()
        self._events = events

    def is_set(self) -> bool:
        return super().is_set() or any(event.is_set() for event in self._events)


def ended(pulled: Pulled, digests: Digests, engine: str | None = None) -> dict[str, Any]:
    """How a fetch ended, for the coordinator.

    nbdcopy has no hash of what it reads: its journal says what arrived. So a block that is unlike it may have been
    damaged on the way, and is well by now; only when the same is found once more, it's the source that changes.
    """
    if not pulled.complete:
        return {"outcome": "interrupted", "retryable": True, "reason": "its agent was stopped"}
    counts = {name: value for name, value in asdict(pulled).items() if name not in ("repairs", "complete")}
    results = {"counts": counts, **digests}
    if pulled.source_changed:
        many = f"{pulled.source_changed} blocks of the source changed while they were copied"
        return {"outcome": "failed", "retryable": engine == "nbd", "reason": many, "results": results}
    notes = [f"{pulled.repaired} blocks were written anew"] if pulled.repaired else []
    return {"outcome": "done", "results": results, "notes": notes, "seconds": pulled.seconds}


def _about(data: dict[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in ("migration", "step", "attempt")}


def _ticket(data: dict[str, Any]) -> str:
    """What names one offer, for both ends."""
    return f"{data['copy']} {'/'.join(data['step'].split('/')[2:])} {data['attempt']}"


def _blocks(data: dict[str, Any], copy: Copy) -> range:
    first = data["first"] // BLOCK
    last = -(-(data["first"] + data["length"]) // BLOCK) if data["length"] else copy.count
    return range(first, min(last, copy.count))


def _read(device: Device, copy: Copy, block: int) -> bytes:
    """The hash of a block of a device, which isn't kept in memory."""
    content = aligned(copy.block_size)[: copy.length(block)]
    device.read_into(content, copy.offset(block))
    device.drop_cached(copy.offset(block), len(content))
    return digest(content)
