"""Carries events from the stream to a target, at least once each and in order, over whatever dies in between."""

from __future__ import annotations

import threading

from stackferry.bus import BUS_ERRORS
from stackferry.errors import BrokerUnavailable, Error
from stackferry_runtime.logs import logger

from .cursor import Cursor
from .reading import latest, read
from .targets import Away, Target

log = logger(__name__)
AGAIN = 1.0  # seconds until the broker is tried again


class Carrier:
    """A thread that carries. *cursor*: where a target's own word isn't to be had. *oldest*: where the first one begins.

    ``number``: of the last event that has arrived; None before that is known.
    """

    def __init__(self, uri: str, target: Target, cursor: Cursor, oldest: bool) -> None:
        self.uri, self.target, self.cursor, self.oldest = uri, target, cursor, oldest
        self.number: int | None = None
        self.is_well = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=target.name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """End, with the batch that is under way."""
        self._over.set()
        self._thread.join(seconds)

    @property
    def is_alive(self) -> bool:
        """Whether it carries, or waits to."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._try()
        except Error as error:
            log.error("nothing is carried any more", target=self.target.name, error=str(error))
        except Exception:
            log.exception("nothing is carried any more", target=self.target.name)
        finally:
            self.is_well = False
            self.target.close()

    def _try(self) -> None:
        try:
            self._carry()
        except Away as error:
            self.is_well = False
            log.warning("the target is away", target=self.target.name, error=str(error), again_in=error.seconds)
            self._over.wait(error.seconds)
        except (BrokerUnavailable, *BUS_ERRORS) as error:
            self.is_well = False
            log.warning("the broker can't be reached", target=self.target.name, error=str(error))
            self._over.wait(AGAIN)

    def _carry(self) -> None:
        """Carry until something is away."""
        self.number = self._begin()
        for batch in read(self.uri, self.number, self._over.is_set):
            self.is_well = True
            if batch:
                for number in self.target.send(batch):
                    self._keep(number)

    def _begin(self) -> int:
        """The number of the event after which to go on: as the target says, else as was noted, else the first time."""
        found, noted = self.target.position(), self.cursor.read()
        if found is None:
            found = noted
        elif noted is not None and not self.target.is_exact:
            found = max(found, noted)  # both have arrived
        newest = latest(self.uri)
        if found is None:
            found = -1 if self.oldest else newest
            self.cursor.keep(found)  # else what is told while the target is away would be skipped at the next start
        if found > newest:
            log.warning("the history is another one by now", target=self.target.name, was=found, now=newest)
            found = -1
        return found

    def _keep(self, number: int) -> None:
        if number != self.number:
            self.number = number
            self.cursor.keep(number)
