"""A time by which an answer must be there, whatever it consists of: drops of a header, or compressed nothing.

A socket's own timeout begins anew with each byte. So at the deadline the connection is shut down, and whoever waits
for it hears that it ended.
"""

from __future__ import annotations

import os
import socket
import threading
from types import TracebackType
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Deadline:
    """``with Deadline(seconds) as deadline:`` bounds what this thread asks within.

    ``is_over``: whether the time has come.
    """

    under_way = threading.local()

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._socket: Any = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self.under_way.deadline = self
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._timer.cancel()
        self._socket = self.under_way.deadline = None

    @classmethod
    def watch(cls, connection: HTTPConnection) -> None:
        """Note over which connection the answer comes."""
        if deadline := getattr(cls.under_way, "deadline", None):
            deadline._socket = connection.sock

    def _end(self) -> None:
        self.is_over, opened = True, self._socket
        if opened is not None and (number := opened.fileno()) >= 0:
            with socket.socket(fileno=os.dup(number)) as same:  # below TLS, and not closed under who reads it
                same.shutdown(socket.SHUT_RDWR)


class _Watched(HTTPConnection):
    def getresponse(self) -> Any:
        Deadline.watch(self)
        return super().getresponse()


class _WatchedTLS(HTTPSConnection):
    def getresponse(self) -> Any:
        Deadline.watch(self)
        return super().getresponse()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _PoolTLS(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


#: urllib3's pools by scheme, with connections that a deadline knows of
POOLS = {"http": _Pool, "https": _PoolTLS}
