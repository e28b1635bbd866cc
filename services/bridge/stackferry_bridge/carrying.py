"""Carries events from the stream to a target, at least once each and in order, over whatever dies in between."""

from __future__ import annotations

import threading

from kombu import Connection
from stackferry.bus import BUS_ERRORS, connected
from stackferry.errors import BrokerUnavailable, Error
from stackferry_runtime import history
from stackferry_runtime.logs import logger

from .cursor import Cursor
from .events import Event, Place
from .reading import read
from .targets import Away, Target

log = logger(__name__)
AGAIN = 1.0  # seconds until the broker is tried again
LONGEST = 60.0  # seconds between two tries to note how far it is


class Stopped(Exception):
    """It's over, and how far it is couldn't be noted."""


class Carrier:
    """A thread that carries. *cursor*: where a target's own word isn't to be had. *oldest*: where the first one begins.

    ``place``: of the last event that has arrived; None before that is known.
    """

    def __init__(self, uri: str, target: Target, cursor: Cursor, oldest: bool) -> None:
        self.uri, self.target, self.cursor, self.oldest = uri, target, cursor, oldest
        self.place: Place | None = None
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
        except Stopped:
            return
        except (BrokerUnavailable, *BUS_ERRORS) as error:
            self.is_well = False
            log.warning("the broker can't be reached", target=self.target.name, error=str(error))
            self._over.wait(AGAIN)

    def _carry(self) -> None:
        """Carry until something is away."""
        self.place = self._begin()
        for batch in read(self.uri, self.place.number, self._over.is_set):
            self.is_well = True
            for place in self.target.send(batch) if batch else ():
                self._keep(place)
                if self._over.is_set():
                    return

    def _begin(self) -> Place:
        """The event after which to go on: as the target says, else as was noted, else the first time."""
        found, noted = self.target.position(), self.cursor.read()
        if found is None or (noted is not None and not self.target.is_exact):
            found = noted
        with connected(self.uri, "bridge") as connection:
            newest = history.latest(connection)
            if found is None:
                found = Place(-1 if self.oldest else newest)
                self._note(found)  # else what is told while the target is away would be skipped at the next start
            is_of_this = found.number < 0 or _is_of_this_stream(connection, found, newest)
        if not is_of_this:
            log.warning("the history is another one by now; all of it is carried", target=self.target.name)
            found = Place(-1)
        return found

    def _keep(self, place: Place) -> None:
        if place != self.place:
            self.place = place
            self._note(place)

    def _note(self, place: Place) -> None:
        """Note how far it is, before anything more is sent: or the same would be sent again and again."""
        pause = AGAIN
        while True:
            try:
                return self.cursor.keep(place)
            except OSError as error:
                self.is_well = False
                log.error("STACKFERRY_STATE_DIR can't be written to", file=str(self.cursor.file), error=error.strerror)
            if self._over.wait(pause):
                raise Stopped
            pause = min(2 * pause, LONGEST)


def _is_of_this_stream(connection: Connection, place: Place, newest: int) -> bool:
    """Whether the event at a place is the one that was carried; of one that is kept no longer nobody knows."""
    if place.number > newest:
        return False
    found = history.at(connection, place.number) if place.id else None
    return found is None or found.number != place.number or Event(*found[:3]).id == place.id
