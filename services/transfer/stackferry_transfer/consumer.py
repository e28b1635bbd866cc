"""Reads the host's queue with plain kombu: a message is acknowledged when its work has begun, or its copy is safe.

Work that has begun is known to the coordinator by its claim: when this process dies, the claim's lease ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from stackferry import topology
from stackferry.bus import BUS_ERRORS, Outgoing, Publisher, connect, receiving, user_of
from stackferry.delivery import check_commander, copied, doubtful, parked, postponed, read, retried, sender
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, Error, InvalidMessage, NotNow
from stackferry_runtime.logs import logger

log = logger(__name__)
LOOK = 0.2  # seconds between two looks at an empty queue
#: seconds after a message was taken in which the host's other agents look: or one would take all that comes at once
SHARE = 0.3
PAUSE = 1.0  # seconds before another look at a broker that is away, or a queue that isn't there yet

Handler = Callable[[Envelope, bool], None]
"""Takes a message, and whether an earlier delivery of it may have been worked on; returns once its work has begun."""


class Consumer:
    """Reads one queue until *stop*; *has_room* says whether another message can be taken now."""

    def __init__(
        self, uri: str, queue: topology.WorkQueue, publisher: Publisher, handler: Handler,
        has_room: Callable[[], bool], stop: threading.Event,
    ) -> None:  # fmt: skip
        self.uri, self.queue, self.publisher = uri, queue, publisher
        self.handler, self.has_room, self.stop = handler, has_room, stop
        self.carriers = (user_of(uri), topology.OPERATOR.name)
        self.consuming = threading.Event()

    def run(self) -> None:
        """Read until the end."""
        while not self.stop.is_set():
            try:
                self._session()
            except (*BUS_ERRORS, Error) as error:
                log.warning("the queue can't be read; trying again", queue=self.queue.name, error=str(error))
                self.consuming.clear()
                self.stop.wait(PAUSE)

    def _session(self) -> None:
        connection = connect(self.uri, self.queue.name)
        try:
            self._consume(connection)
        except BaseException:
            connection.collect()
            raise
        connection.release()

    def _consume(self, connection: Any) -> None:
        channel = receiving(connection)
        channel.basic_qos(0, 1, False)
        queue = topology.work_queue(self.queue)(channel)
        queue.queue_declare(passive=True)
        self.consuming.set()
        while not self.stop.is_set():
            message = queue.get() if self.has_room() else None
            if message is None:
                self.stop.wait(LOOK)
            elif self._begins(message):
                self.stop.wait(SHARE)
            try:
                connection.drain_events(timeout=0.001)
            except TimeoutError:
                connection.heartbeat_check()

    def _begins(self, message: Any) -> bool:
        """Whether work begins; else the message is put where it belongs."""
        move = self._handle(message)
        if move is not None:
            self.publisher.publish(move(copy=copied(message, self.carriers)))
        message.ack()
        return move is None

    def _handle(self, message: Any) -> Callable[..., Outgoing] | None:
        """Begin the work; return what becomes of the message instead, if it can't be begun."""
        name = self.queue.name
        try:
            envelope = read(message.body, message.content_type, name)
            check_commander(self.queue, sender(message, self.carriers), self.carriers[0])
            again = doubtful(message.headers, bool(message.delivery_info.get("redelivered")))
            self.handler(envelope, again)
        except InvalidMessage as error:
            return partial(parked, name, reason=error.reason, error=error.errors)
        except NotNow as error:
            return partial(postponed, name, why=error)
        except BrokerUnavailable:
            raise
        except Exception as error:
            log.exception("work could not begin", queue=name)
            return partial(retried, name, error=f"{type(error).__name__}: {error}")
        return None
