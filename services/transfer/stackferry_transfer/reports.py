"""What an agent tells the coordinator: that it's there, how far a try is, how it ended."""

from __future__ import annotations

import threading
import time
from typing import Any

from stackferry import topology
from stackferry.bus import Outgoing, Publisher
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, Unconfirmed, Unroutable
from stackferry.messages import Fact, StepEnded, StepProgressed
from stackferry_runtime.logs import logger

log = logger(__name__)
PROGRESS_EVERY = 1.0  # seconds between two words about one try
ALIVE_EVERY = 5.0  # seconds after which it says that it's alive, though nothing moved
#: seconds after which a try that the coordinator can't hear of any more must have stopped writing: less than its lease
SILENCE = 20.0
AGAIN = 2.0
LOST = (BrokerUnavailable, Unconfirmed, Unroutable)


class Reports:
    """Publishes facts; any thread may."""

    def __init__(self, publisher: Publisher, source: str, stop: threading.Event) -> None:
        self.publisher, self.source, self.stop = publisher, source, stop

    def tell(self, fact: type[Fact], data: dict[str, Any], cause: Envelope | None = None) -> None:
        """Publish one fact; raise BrokerUnavailable, Unconfirmed or Unroutable."""
        envelope = fact.make(self.source, data, cause)
        self.publisher.publish(Outgoing.of(topology.FACTS.name, fact.key, envelope))

    def ended(self, data: dict[str, Any], cause: Envelope) -> None:
        """Publish how a try ended."""
        self.surely(StepEnded, data, cause)

    def surely(self, fact: type[Fact], data: dict[str, Any], cause: Envelope) -> None:
        """Publish one fact, until the broker has it or the agent ends: then the lease tells it."""
        while True:
            try:
                self.tell(fact, data, cause)
                return
            except LOST as error:
                log.warning("the broker did not take a report", error=str(error))
            if self.stop.wait(AGAIN):
                return


class Progress:
    """Tells how far a try is while it's open, and ends it when nobody can hear of it any more."""

    def __init__(self, reports: Reports, about: dict[str, Any], cause: Envelope, abandon: threading.Event) -> None:
        self.reports, self.about, self.cause, self.abandon = reports, about, cause, abandon
        self.done = 0
        self.total: int | None = None
        self._over = threading.Event()

    def __enter__(self) -> Progress:
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()  # or a last word could follow the end

    def __call__(self, blocks: int, size: int) -> None:
        self.done = size

    def _run(self) -> None:
        said, heard, spoken = -1, time.monotonic(), 0.0
        while not self._over.wait(PROGRESS_EVERY):
            now = time.monotonic()
            if self.done == said and now - spoken < ALIVE_EVERY:
                continue
            said, spoken = self.done, now
            try:
                self.reports.tell(StepProgressed, {**self.about, "done": said, "total": self.total}, self.cause)
                heard = time.monotonic()
            except LOST as error:
                log.warning("the broker did not take a report", error=str(error))
                if time.monotonic() - heard > SILENCE:
                    self.abandon.set()
