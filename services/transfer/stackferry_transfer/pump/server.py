"""Listens at the source: one port for all volumes that are offered, and a thread for each connection."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from stackferry.errors import Error
from stackferry_runtime.certificates import Identity

from . import source
from .connections import IDLE, accept, interrupt
from .source import Offer, Shared

LIMIT = 256  # connections at once, with those that haven't said yet who they are
SILENT = 32  # of those that haven't, from one address
RETRY = 0.2  # seconds until it accepts again, when the system had no descriptor left


@dataclass(frozen=True)
class Ended:
    """A connection that is over: which copy it was about (None: it never came to that), what was sent, and why."""

    peer: str
    copy: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    error: Exception | None = None


class Server:
    """Serves offers from ``with`` on until it's closed, and closes the listener then.

    ``on_end`` hears of each connection that ended, in that connection's thread; ``withdraw`` and ``close`` wait for
    it, so it may call neither.
    """

    def __init__(
        self,
        listener: socket.socket,
        mine: Identity,
        shared: Shared | None = None,
        on_end: Callable[[Ended], None] = lambda _: None,
        limit: int = LIMIT,
    ) -> None:
        self._listener, self._mine, self._on_end, self._limit = listener, mine, on_end, limit
        self.shared = shared or Shared()
        self._changed = threading.Condition()
        self._offers: dict[str, Offer] = {}
        self._found: set[str] = set()  # the offered copies that a connection was about
        self._open: dict[socket.socket, str | None] = {}  # a handle of each connection, and the copy it's about
        self._silent: dict[socket.socket, str] = {}  # who hasn't said who it is, oldest first, and its address
        self._thread = threading.Thread(target=self._accept, name="pump-server", daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def offer(self, offer: Offer) -> None:
        """Offer a volume, in place of what was offered under the copy's id."""
        with self._changed:
            self._offers[offer.copy.id] = offer
            self._found.discard(offer.copy.id)

    def withdraw(self, copy: str) -> None:
        """Offer a copy no more; return when no connection reads its device any more."""
        with self._changed:
            self._offers.pop(copy, None)
            self._found.discard(copy)
            for handle, about in self._open.items():
                if about == copy:
                    interrupt(handle)
            self._changed.wait_for(lambda: copy not in self._open.values())

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: host and port."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def serves(self, copy: str) -> bool:
        """Whether a connection is about this copy now."""
        with self._changed:
            return copy in self._open.values()

    def has_served(self, copy: str) -> bool:
        """Whether a connection has been about this copy since it was offered, however short."""
        with self._changed:
            return copy in self._found

    def close(self) -> None:
        """End all connections, and wait until their threads are done."""
        self.shared.stop.set()
        interrupt(self._listener)
        self._thread.join()
        self._listener.close()
        with self._changed:
            for handle in self._open:
                interrupt(handle)
            self._changed.wait_for(lambda: not self._open)

    def _accept(self) -> None:
        stop = self.shared.stop
        while not stop.is_set():
            try:
                raw, address = self._listener.accept()
                handle = raw.dup()  # TLS takes the socket itself over; this one can be interrupted at any time
            except OSError:
                stop.wait(RETRY)
                continue
            with self._changed:
                if stop.is_set() or not self._let_in(str(address[0])):
                    raw.close()
                    handle.close()
                    continue
                self._open[handle], self._silent[handle] = None, str(address[0])
            threading.Thread(target=self._serve, args=(raw, handle), name="pump-source", daemon=True).start()

    def _let_in(self, address: str) -> bool:
        """Whether there's room for one more: those that haven't said who they are give way, the oldest first."""
        here = [handle for handle, known in self._silent.items() if known == address]
        if len(here) < SILENT and len(self._open) < self._limit:
            return True
        oldest = next(iter(here if len(here) >= SILENT else self._silent), None)
        if oldest is not None:
            del self._silent[oldest]
            interrupt(oldest)
        return oldest is not None

    def _serve(self, raw: socket.socket, handle: socket.socket) -> None:
        try:
            self._on_end(self._served(raw, handle))
        finally:
            raw.close()
            with self._changed:
                del self._open[handle]
                self._silent.pop(handle, None)
                handle.close()
                self._changed.notify_all()

    def _served(self, raw: socket.socket, handle: socket.socket) -> Ended:
        session, peer, failure = None, "?", None
        try:
            peer = "{}:{}".format(*raw.getpeername()[:2])
            with closing(accept(raw, self._mine, self._certificates())) as connection:
                session = source.greet(connection, self._offers_to(connection), self.shared)
                with self._changed:
                    self._silent.pop(handle, None)
                with closing(session):
                    if self._register(handle, session.offer):
                        connection.settimeout(IDLE)
                        session.serve()
        except (Error, OSError) as error:
            failure = error
        if session is None:
            return Ended(peer, error=failure)
        return Ended(peer, session.offer.copy.id, session.counts, failure)

    def _certificates(self) -> set[str]:
        with self._changed:
            return {certificate for offer in self._offers.values() for certificate in offer.certificates}

    def _offers_to(self, connection: ssl.SSLSocket) -> dict[str, Offer]:
        """Offers to others are none to this peer."""
        theirs = connection.getpeercert(binary_form=True)
        with self._changed:
            offers = list(self._offers.values())
        return {
            offer.copy.id: offer
            for offer in offers
            if theirs in {ssl.PEM_cert_to_DER_cert(certificate) for certificate in offer.certificates}
        }

    def _register(self, handle: socket.socket, offer: Offer) -> bool:
        """False when the offer was withdrawn meanwhile."""
        with self._changed:
            offered = self._offers.get(offer.copy.id) is offer
            self._open[handle] = offer.copy.id if offered else None
            if offered:
                self._found.add(offer.copy.id)
            return offered
