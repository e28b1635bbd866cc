"""Two agents without a broker: what they're commanded to is given to them, and what they tell is kept in a list."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackferry.bus import Outgoing
from stackferry.envelope import Envelope
from stackferry.messages import FetchSegment, OfferSegment
from stackferry_runtime.certificates import identity
from stackferry_transfer.pump.server import Server
from stackferry_transfer.reports import Reports
from stackferry_transfer.segments import Segments
from stackferry_transfer.settings import Settings

MIGRATION = str(uuid.UUID(int=7))
VOLUME = "0f0e0d0c-0000-4000-8000-000000000001"


@dataclass
class Told:
    """Stands where the broker would be."""

    envelopes: list[Envelope] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def publish(self, outgoing: Outgoing) -> None:
        with self.changed:
            self.envelopes.append(Envelope.from_bytes(outgoing.body))
            self.changed.notify_all()

    def last(self, words: str, seconds: float = 30) -> dict[str, Any]:
        """The data of the last fact of a type, once there is one."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.of(words), seconds), f"no {words} in {self.envelopes}"
            return self.of(words)[-1]

    def of(self, words: str) -> list[dict[str, Any]]:
        return [each.data for each in self.envelopes if each.type == f"stackferry.{words}.v1"]


@dataclass
class Side:
    """One agent's segments, and what it told."""

    segments: Segments
    told: Told
    stop: threading.Event


@dataclass
class Pair:
    folder: Path
    source: Side
    destination: Side
    tries: int = 0

    def attach(self, side: str, device: Path) -> None:
        """Have the device appear as the volume's, in place of what was there."""
        link = self.folder / side / "by-id" / f"virtio-{VOLUME[:20]}"
        link.unlink(missing_ok=True)
        link.symlink_to(device)

    def about(self, **other: Any) -> dict[str, Any]:
        self.tries += 1
        base = {"migration": MIGRATION, "step": "volume/v/copy/0", "attempt": self.tries, "host": "h", "volume": VOLUME}
        return base | {"copy": f"{MIGRATION}/v", "first": 0, "length": 0} | other

    def offer(self, about: dict[str, Any], *others: str, mode: str = "copy") -> dict[str, Any]:
        """Have the source offer, also to the holders of these certificates; return what it offers."""
        self.source.told.envelopes.clear()
        data = {**about, "mode": mode, "certificates": [*others, self.destination.segments.mine.certificate]}
        command = OfferSegment.make("test", data)
        threading.Thread(target=self.source.segments.offer, args=(command,), name="offer").start()
        offered = self.source.told.last("segment-offered")
        return {name: offered[name] for name in ("address", "certificate", "size", "pump") if name in offered}

    def fetch(self, about: dict[str, Any], offer: dict[str, Any], mode: str = "copy") -> dict[str, Any]:
        """Have the destination fetch; return how that ended."""
        self.destination.told.envelopes.clear()
        self.destination.segments.fetch(FetchSegment.make("test", {**about, **offer, "mode": mode}))
        return self.destination.told.last("step-ended", 1)

    def cross(self, mode: str = "copy", **other: Any) -> dict[str, Any]:
        about = self.about(**other)
        return self.fetch(about, self.offer(about, mode=mode), mode)

    def served(self) -> dict[str, Any]:
        """What the source says to have answered in the last try."""
        told = self.source.told.last("segment-served", 10)
        return {name: told[name] for name in ("blocks", "digest")}


@contextmanager
def pair(folder: Path, **settings: Any) -> Iterator[Pair]:
    """*settings* are the destination's."""
    with _side(folder / "source") as source, _side(folder / "destination", **settings) as destination:
        try:
            yield Pair(folder, source, destination)
        finally:
            source.stop.set()
            destination.stop.set()
            for thread in threading.enumerate():
                if thread.name == "offer":
                    thread.join()


@contextmanager
def _side(folder: Path, **given: Any) -> Iterator[Side]:
    (folder / "by-id").mkdir(parents=True)
    settings = Settings(devices_dir=str(folder / "by-id"), state_dir=str(folder), **given)
    told, stop, mine = Told(), threading.Event(), identity(folder, "transfer", "127.0.0.1")
    with Server(socket.create_server(("127.0.0.1", 0)), mine) as server:
        reports = Reports(told, f"stackferry/transfer/{folder.name}", stop)  # type: ignore[arg-type]
        yield Side(Segments(settings, mine, server, reports, stop), told, stop)
