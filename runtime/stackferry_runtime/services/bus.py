"""The bus under nameko: ``@handles(Message)`` entrypoints that lose nothing, and the ``Publish`` dependency.

nameko's own entrypoints acknowledge a message whose handler failed, drop what can't be decoded, and lose the
acknowledgements of work that finishes during a stop. Here a message is acknowledged last: after its handler
returned, or after a copy with the reason is safely in a delay queue or in the parking queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from amqp.exceptions import NotFound
from eventlet import sleep
from eventlet.event import Event
from eventlet.semaphore import Semaphore
from nameko.extensions import DependencyProvider, Entrypoint, ProviderCollector, SharedExtension
from stackferry import topology
from stackferry.bus import BUS_ERRORS, Outgoing, Publisher, connect, receiving, user_of
from stackferry.delivery import check_commander, copied, doubtful, parked, postponed, read, retried, sender
from stackferry.envelope import Envelope
from stackferry.errors import Error, InvalidMessage, NotNow, Unroutable
from stackferry.messages import Answer, Command, Fact, Message

from .. import metrics
from ..logs import logger
from .refusals import refusals

log = logger(__name__)
# the reader says what came of each message; nameko would say it again, with a traceback for what others did wrong
logging.getLogger("nameko.containers").addFilter(lambda record: "error handling worker" not in str(record.msg))


@dataclass(frozen=True)
class Delivery:
    """What a handler gets. *doubtful*: an earlier delivery of this message may have been worked on.

    *sender*: the user of the broker who published it, by the broker's word; "" when nobody knows.
    """

    envelope: Envelope
    doubtful: bool
    sender: str
    began: float = field(default_factory=monotonic)

    @property
    def data(self) -> dict[str, Any]:
        """The message's checked fields."""
        return self.envelope.data


class Publish(DependencyProvider):
    """``self.publish(Message, data, cause)`` in a handler: confirmed, mandatory, persistent."""

    def setup(self) -> None:
        self.publisher = Publisher(
            self.container.config["settings"].amqp_uri, f"{self.container.service_name} publisher"
        )

    def stop(self) -> None:
        self.publisher.close()

    def get_dependency(self, worker_ctx: Any) -> Callable[..., Envelope]:
        return partial(send, self.publisher, f"stackferry/{self.container.service_name}")


def send(
    publisher: Publisher, source: str, message: type[Message], data: dict[str, Any],
    cause: Envelope | None = None, reply_to: str | None = None, **attributes: Any,
) -> Envelope:  # fmt: skip
    """Publish one message to where it belongs; an Answer goes to *reply_to*, and may find nobody there."""
    envelope = message.make(source, data, cause, **attributes)
    exchange, key = address(message, reply_to)
    try:
        publisher.publish(Outgoing.of(exchange, key, envelope))
    except Unroutable:
        if message is not Answer:
            raise
        log.info("nobody waits for this answer any more", reply_to=reply_to)
    return envelope


def address(message: type[Message], reply_to: str | None = None) -> tuple[str, str]:
    """Return (exchange, routing key) of a message class."""
    if message is Answer:
        return topology.REPLIES.name, reply_to or ""
    if issubclass(message, Command):
        return message.queues[0].exchange.name, message.queues[0].name
    assert issubclass(message, Fact)  # noqa: S101 - for the type checker
    return topology.FACTS.name, message.key


#: how a copy of a message is made → what became of it
OUTCOMES: dict[Any, str] = {None: "done", retried: "again", postponed: "later", parked: "parked"}


class QueueReader(SharedExtension, ProviderCollector):
    """Reads one work queue for all entrypoints of this service that handle its messages."""

    def __init__(self, queue: topology.WorkQueue, workers: int) -> None:
        super().__init__()
        self.queue, self.workers = queue, workers
        self.in_flight, self.stopping, self.over = 0, False, False
        self.ready, self.lock, self.pause = Event(), Semaphore(), 0.2
        self.is_reading = False
        self.thread: Any = None

    @property
    def sharing_key(self) -> Any:
        return type(self), self.queue.name

    def setup(self) -> None:
        self.uri = self.container.config["settings"].amqp_uri
        self.carriers = (user_of(self.uri), topology.OPERATOR.name)
        self.publisher = Publisher(self.uri, f"{self.queue.name} settler")
        READERS.append(self)

    def start(self) -> None:
        self.thread = self.container.spawn_managed_thread(self.run)
        self.ready.wait()

    def stop(self) -> None:
        """Take nothing new; return once everything under way is settled (the launcher bounds the time)."""
        self.stopping = True
        if self.thread is not None:  # else it's stopped before it was started
            self.thread.wait()
        self.publisher.close()

    def kill(self) -> None:
        self.over = True

    # -- the reading side --------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while not self._finished():
                self._try()
        finally:
            if not self.ready.ready():  # or a start would wait for ever
                self.ready.send(None)

    def _try(self) -> None:
        try:
            try:
                return self._session()
            except NotFound:
                log.warning("the queue is gone; the coordinator makes it anew", queue=self.queue.name)
        except (*BUS_ERRORS, Error) as error:
            log.warning("the broker is away; trying again", queue=self.queue.name, error=str(error))
        except Exception:  # nothing that comes in may end the process
            log.exception("reading failed; connecting again", queue=self.queue.name)
        sleep(self.pause)
        self.pause = min(self.pause * 2, 5)

    def _finished(self) -> bool:
        return self.over or (self.stopping and self.in_flight <= 0)

    def _session(self) -> None:
        connection = connect(self.uri, self.queue.name)
        try:
            self._consume(connection)
        except BaseException:
            connection.collect()  # without a farewell: a broker in trouble would not answer it
            raise
        finally:
            self.is_reading = False
        connection.release()

    def _consume(self, connection: Any) -> None:
        channel = receiving(connection)
        channel.basic_qos(0, self.workers, False)
        consumer = connection.Consumer(
            [topology.work_queue(self.queue)(channel)], channel=channel, auto_declare=False, on_message=self._receive
        )
        consumer.consume()
        self.pause, self.is_reading = 0.2, True
        if not self.ready.ready():
            self.ready.send(None)
        consuming, raw = True, connection.connection  # kombu would open another one by itself, and not consume there
        while not self._finished():
            if self.stopping and consuming:
                consumer.cancel()
                consuming = False
            try:
                raw.drain_events(timeout=0.5 if not self.stopping else 0.05)
            except TimeoutError:
                raw.heartbeat_tick()

    def _receive(self, message: Any) -> None:
        self.in_flight += 1
        if self.stopping:
            self._settle(message, message.requeue)
        else:
            self.container.spawn_managed_thread(partial(self._handle, message))

    # -- one message -------------------------------------------------------------------------------------

    def _handle(self, message: Any) -> None:
        try:
            envelope = read(message.body, message.content_type, self.queue.name)
            entrypoint = self._entrypoint(envelope)
            said = sender(message, self.carriers)
            check_commander(self.queue, said, self.carriers[0])
        except InvalidMessage as error:
            self._refuse(message, error)
            return
        except Exception as error:  # a check that fails is no reason to end
            log.exception("could not check a message", queue=self.queue.name)
            text = f"{type(error).__name__}: {error}"
            self._finish(message, partial(parked, self.queue.name, reason="invalid", error=text))
            return
        doubt = doubtful(message.headers, bool(message.delivery_info.get("redelivered")))
        try:
            self.container.spawn_worker(
                entrypoint,
                (Delivery(envelope, doubt, said),),
                {},
                context_data={"correlation_id": envelope.correlationid},
                handle_result=partial(self._result, message),
            )
        except BaseException:  # the container is being killed: the message must go back
            self._settle(message, message.requeue)
            raise

    def _entrypoint(self, envelope: Envelope) -> Handles:
        for provider in self._providers:
            if envelope.type in {message.type for message in provider.messages}:
                return provider
        raise InvalidMessage("misrouted", {"type": f"nobody on {self.queue.name} handles {envelope.type}"})

    def _result(self, message: Any, worker_ctx: Any, result: Any = None, exc_info: Any = None) -> Any:
        step = None
        about = worker_ctx.args[0]
        metrics.SECONDS.labels(about.envelope.type).observe(monotonic() - about.began)
        if exc_info is not None:
            error = exc_info[1]
            text = f"{type(error).__name__}: {error}"
            if isinstance(error, InvalidMessage):
                self._refuse(message, error)
                return result, exc_info
            if isinstance(error, NotNow):
                step = partial(postponed, self.queue.name, why=error)
            else:
                log.error("handler failed", queue=self.queue.name, exc_info=exc_info)
                step = partial(retried, self.queue.name, error=text)
        self._finish(message, step)
        return result, exc_info

    def _refuse(self, message: Any, error: InvalidMessage) -> None:
        """Park a message that nobody can act on; whoever asked for it is told."""
        log.warning("parked", queue=self.queue.name, reason=error.reason, error=error.errors)
        if self.queue.asked:
            try:
                id_, who = str(message.properties.get("message_id") or ""), sender(message, self.carriers)
                told = refusals(bytes(message.body), id_, who, error)
                self.publisher.publish_all(told)  # nobody may wait for the answer any more
            except Exception:  # what can't be told must be parked all the same
                log.exception("could not tell that a request was refused", queue=self.queue.name)
        self._finish(message, partial(parked, self.queue.name, reason=error.reason, error=error.errors))

    def _finish(self, message: Any, move: Callable[..., Outgoing] | None = None) -> None:
        """Publish the copy that *move* makes, if any, and only then acknowledge."""
        outcome = OUTCOMES[getattr(move, "func", None)]
        metrics.MESSAGES.labels(self.queue.name, outcome).inc()
        if move is not None:
            try:
                self.publisher.publish(move(copy=copied(message, self.carriers)))
            except Exception as error:  # also of a header that can't be written
                log.error("could not move a message; it goes back to its queue", error=str(error))
                sleep(1)  # or a broken parking queue would spin
                self._settle(message, message.requeue)
                return
        self._settle(message, message.ack)

    def _settle(self, message: Any, how: Callable[[], None]) -> None:
        try:
            if message.channel and message.channel.connection:  # else the broker has taken it back already
                with self.lock:
                    how()
        except BUS_ERRORS as error:
            log.warning("acknowledgement lost; the message comes again", queue=self.queue.name, error=str(error))
        finally:
            self.in_flight -= 1


class Handles(Entrypoint):
    """The method handles these messages of one queue; up to *workers* deliveries at once in this process."""

    def __init__(
        self,
        *messages: type[Message],
        queue: topology.WorkQueue | None = None,
        workers: int = 8,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.messages = messages
        first = messages[0]
        self.reader = QueueReader(queue or first.queues[0], workers)  # type: ignore[attr-defined]

    def setup(self) -> None:
        self.reader.register_provider(self)

    def stop(self) -> None:
        self.reader.stop()  # while what running handlers depend on is still there


handles = Handles.decorator
READERS: list[QueueReader] = []  # of this process


def are_reading() -> bool:
    """Whether every queue of this process is read."""
    return bool(READERS) and all(reader.is_reading for reader in READERS)
