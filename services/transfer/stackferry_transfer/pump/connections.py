"""Connections between two agents: TCP that notices a dead peer, TLS 1.3 between two known certificates, exact reads."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Protocol

from stackferry_runtime import certificates
from stackferry_runtime.certificates import Identity, Stranger

from ..disk.blocks import Bytes
from ..errors import PeerLost, PeerRefused
from .protocol import Read

GREETING = 30.0  # seconds to connect, shake hands and say hello
STALLED = 120.0  # seconds without a byte from a source that was asked
IDLE = 900.0  # seconds without a request: the destination may take long to flush
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6), (socket.TCP_NODELAY, 1))
_UNWANTED = {"TLSV1_ALERT_UNKNOWN_CA", "TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE"}


Reach = Callable[[tuple[str, int]], socket.socket]
"""Makes a plain connection to an address."""


class Connection(Protocol):
    """What is needed of a connection: a TLS socket has it."""

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Fill some of the buffer; return how much, 0 at the end."""

    def sendall(self, data: Bytes, /) -> None:
        """Write all of it."""


def direct(address: tuple[str, int]) -> socket.socket:
    """Connect over the network; PeerLost when that can't be."""
    try:
        return socket.create_connection(address, timeout=GREETING)
    except OSError as error:
        raise PeerLost(f"the source at {address[0]}:{address[1]} can't be reached: {error}") from error


def connect(
    address: tuple[str, int], mine: Identity, certificate: str, stalled: float = STALLED, reach: Reach = direct
) -> ssl.SSLSocket:
    """Connect to the holder of *certificate*: PeerLost when it can't be reached, Stranger when it's somebody else."""
    raw = reach(address)
    raw.settimeout(GREETING)
    connection = _secured(raw, certificates.connecting(mine, certificate), [certificate], server_side=False)
    connection.settimeout(stalled)
    return connection


def accept(raw: socket.socket, mine: Identity, accepted: Iterable[str]) -> ssl.SSLSocket:
    """Shake hands with who has connected: PeerLost or Stranger unless it holds one of the *accepted* certificates."""
    accepted = list(accepted)
    raw.settimeout(GREETING)
    return _secured(raw, certificates.serving(mine, accepted), accepted, server_side=True)


def _secured(raw: socket.socket, context: ssl.SSLContext, accepted: list[str], server_side: bool) -> ssl.SSLSocket:
    """The connection is closed when this fails."""
    connection: socket.socket = raw
    try:
        if raw.family != socket.AF_UNIX:  # through a tunnel, which has signs of life of its own
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                raw.setsockopt(socket.IPPROTO_TCP, option, value)
        connection = secured = context.wrap_socket(raw, server_side=server_side)
        certificates.check_peer(secured, accepted)
        return secured
    except ssl.SSLCertVerificationError as error:
        connection.close()
        raise Stranger(f"the other end has another certificate than was announced: {error.verify_message}") from error
    except OSError as error:
        connection.close()
        raise PeerLost(f"the connection broke while it was secured: {error}") from error
    except Stranger:
        connection.close()
        raise


def fill(connection: Connection, buffer: bytearray | memoryview) -> None:
    """Read exactly as much as the buffer takes; PeerLost."""
    view, done = memoryview(buffer), 0
    try:
        while done < len(view):
            read = connection.recv_into(view[done:])
            if not read:
                raise PeerLost("the other end closed the connection")
            done += read
    except TimeoutError as error:
        raise PeerLost("the other end said nothing for too long") from error
    except ssl.SSLError as error:
        if error.reason in _UNWANTED:  # in TLS 1.3 this comes after the handshake
            raise PeerRefused("the other end does not accept this end's certificate") from error
        raise PeerLost(f"the connection broke: {error}") from error
    except OSError as error:
        raise PeerLost(f"the connection broke: {error}") from error


def send(connection: Connection, data: Bytes) -> None:
    """Write all of it; PeerLost."""
    try:
        connection.sendall(data)
    except TimeoutError as error:
        raise PeerLost("the other end took nothing for too long") from error
    except OSError as error:
        raise PeerLost(f"the connection broke: {error}") from error


def reader(connection: Connection) -> Read:
    """Return what reads exactly so many bytes."""

    def read(size: int) -> bytes:
        buffer = bytearray(size)
        fill(connection, buffer)
        return bytes(buffer)

    return read


def interrupt(connection: socket.socket) -> None:
    """Wake the thread that reads or writes here: its call fails.

    Not by the TLS socket's own shutdown: that would make it a plain one, whose next read returns encrypted bytes.
    """
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # it broke, or was closed, before: nobody waits there
