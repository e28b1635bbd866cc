"""Claims: before a delivery works on a try, it asks the coordinator whether it may. A try can be claimed once."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

import eventlet
from eventlet.event import Event
from kombu import Queue
from nameko.extensions import DependencyProvider
from stackferry import topology
from stackferry.bus import BUS_ERRORS, Outgoing, Publisher, connect
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, Claimed, InvalidMessage
from stackferry.messages import StepClaimed

from ..logs import logger
from .bus import Delivery

log = logger(__name__)
ASK_AGAIN = 5.0  # seconds without an answer after which the same claim is sent again
GIVE_UP = 4  # how often; then the command waits in a delay queue


class Claims(DependencyProvider):
    """``self.claims.granted(delivery)`` in a handler."""

    def setup(self) -> None:
        self.uri = self.container.config["settings"].amqp_uri
        self.source = f"stackferry/{self.container.service_name}"
        self.id = f"{self.container.service_name}.{uuid.uuid4().hex}"
        self.publisher = Publisher(self.uri, f"{self.id} claims")
        self.waiting: dict[str, Event] = {}
        self.over = False

    def start(self) -> None:
        self.ready = Event()
        self.container.spawn_managed_thread(self._run)
        self.ready.wait()

    def stop(self) -> None:
        self.over = True
        self.publisher.close()

    kill = stop

    def get_dependency(self, worker_ctx: Any) -> Claims:
        return self

    def granted(self, delivery: Delivery) -> bool:
        """Whether this delivery may work on its try; raises Claimed when the coordinator doesn't answer.

        It is asked again and again, and any answer counts: one that is late is as good.
        """
        data = {name: delivery.data[name] for name in ("migration", "step", "attempt")}
        claim = {**data, "token": uuid.uuid4().hex, "again": delivery.doubtful, "reply_to": self.id}
        answered, asked = Event(), []
        try:
            for _ in range(GIVE_UP):
                question = StepClaimed.make(self.source, claim, delivery.envelope)
                asked.append(question.id)
                self.waiting[question.id] = answered  # before it's asked: the answer may be quick
                self.publisher.publish(Outgoing.of(topology.FACTS.name, StepClaimed.key, question))
                with eventlet.Timeout(ASK_AGAIN, False):
                    return bool(answered.wait())
        finally:
            for id_ in asked:
                del self.waiting[id_]
        raise Claimed("the coordinator doesn't answer claims")

    def _run(self) -> None:
        while not self.over:
            try:
                self._listen()
            except (*BUS_ERRORS, BrokerUnavailable) as error:
                log.warning("the broker is away; trying again", error=str(error))
                eventlet.sleep(1)

    def _listen(self) -> None:
        with connect(self.uri, f"{self.id} answers") as connection:
            channel = connection.channel()
            queue = Queue(f"stackferry.worker.{self.id}", exclusive=True, auto_delete=True, durable=False)(channel)
            queue.queue_declare()
            queue.bind_to(topology.REPLIES, routing_key=self.id)
            with connection.Consumer([queue], no_ack=True, on_message=self._answer, auto_declare=False):
                if not self.ready.ready():
                    self.ready.send(None)
                raw = connection.connection  # kombu would open another one by itself, and not consume there
                while not self.over:
                    with suppress(TimeoutError):
                        raw.drain_events(timeout=0.5)
                    raw.heartbeat_tick()  # answers alone don't tell the broker that anybody is here

    def _answer(self, message: Any) -> None:
        try:
            answer = Envelope.from_bytes(message.body, message.content_type)
        except InvalidMessage:
            return
        waiting = self.waiting.get(answer.causationid)
        if waiting is not None and not waiting.ready():
            content = answer.data.get("content")
            waiting.send(content.get("granted") if isinstance(content, dict) else None)
