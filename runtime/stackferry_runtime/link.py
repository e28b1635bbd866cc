"""A thread that listens to the broker, and connects again when the connection is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from kombu import Connection
from stackferry.bus import BUS_ERRORS, connected
from stackferry.errors import BrokerUnavailable

from .logs import logger

log = logger(__name__)
AGAIN = 0.5  # seconds between two tries to connect


class Link:
    """Calls *begin* with each new connection, which consumes on it; *lost* when one is gone."""

    def __init__(self, uri: str, name: str, begin: Callable[[Connection], None], lost: Callable[[], None]) -> None:
        self.uri, self.name = uri, name
        self._begin, self._lost = begin, lost
        self._connected, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_ready(self) -> bool:
        """Whether what is said arrives."""
        return self._connected.is_set()

    def await_ready(self, seconds: float) -> bool:
        """Return once it does, or after so long; say which."""
        return self._connected.wait(max(0.0, seconds))

    def start(self) -> None:
        """Connect; the broker may come later."""
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._over.set()
        self._thread.join(5)

    def _run(self) -> None:
        is_news = True  # a broker that stays away is told of once
        while not self._over.is_set():
            try:
                self._listen()
            except (BrokerUnavailable, *BUS_ERRORS) as error:
                if is_news or self._connected.is_set():
                    log.warning("the broker can't be reached; trying again", link=self.name, error=str(error))
                is_news = False
            except Exception:
                log.exception("what the broker says can't be taken in; trying again", link=self.name)
            self._connected.clear()
            self._lost()
            self._over.wait(AGAIN)

    def _listen(self) -> None:
        with connected(self.uri, self.name) as connection:
            self._begin(connection)
            self._connected.set()
            raw = connection.connection  # kombu would open another one by itself, and listen to nothing there
            while not self._over.is_set():
                with suppress(TimeoutError):
                    raw.drain_events(timeout=1.0)
                raw.heartbeat_tick()
