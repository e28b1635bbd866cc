"""Claims: before a delivery works on a try, it asks the coordinator whether it may. A try can be claimed once."""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

from kombu import Queue as AMQPQueue
from stackferry import topology
from stackferry.bus import BUS_ERRORS, Outgoing, Publisher, connect
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, Claimed, InvalidMessage
from stackferry.messages import StepClaimed

from .logs import logger

log = logger(__name__)
ASK_AGAIN, GIVE_UP = 5.0, 4  # seconds without an answer, and how often the same claim is sent


class Claims:
    """Asks in the name of *user*, and hears the answers while :meth:`run` runs. :meth:`granted` is for any thread."""

    def __init__(self, uri: str, publisher: Publisher, source: str, user: str, stop: threading.Event) -> None:
        self.uri, self.publisher, self.source, self.stop = uri, publisher, source, stop
        self.id = f"{user}.{uuid.uuid4().hex}"
        self.waiting: dict[str, Queue[bool]] = {}
        self.ready = threading.Event()

    def granted(self, envelope: Envelope, again: bool) -> bool:
        """Whether this delivery may work on its try; raise Claimed when the coordinator doesn't answer.

        It is asked again and again, and any answer counts: one that is late is as good.
        """
        self.ready.wait(ASK_AGAIN)
        about = {name: envelope.data[name] for name in ("migration", "step", "attempt")}
        claim = {**about, "token": uuid.uuid4().hex, "again": again, "reply_to": self.id}
        answers: Queue[bool] = Queue()
        asked = []
        try:
            for _ in range(GIVE_UP):
                question = StepClaimed.make(self.source, claim, envelope)
                asked.append(question.id)
                self.waiting[question.id] = answers  # before it's asked: the answer may be quick
                self.publisher.publish(Outgoing.of(topology.FACTS.name, StepClaimed.key, question))
                with suppress(Empty):
                    return answers.get(timeout=ASK_AGAIN)
        finally:
            for id_ in asked:
                del self.waiting[id_]
        raise Claimed("the coordinator doesn't answer claims")

    def run(self) -> None:
        """Hear the answers, until it's time to stop."""
        while not self.stop.is_set():
            try:
                self._listen()
            except (*BUS_ERRORS, BrokerUnavailable) as error:
                log.warning("the broker is away; trying again", error=str(error))
                self.stop.wait(1)

    def _listen(self) -> None:
        with connect(self.uri, f"{self.id} answers") as connection:
            channel = connection.channel()
            queue = AMQPQueue(f"stackferry.worker.{self.id}", exclusive=True, auto_delete=True, durable=False)(channel)
            queue.queue_declare()
            queue.bind_to(topology.REPLIES, routing_key=self.id)
            with connection.Consumer([queue], no_ack=True, on_message=self._answer, auto_declare=False):
                self.ready.set()
                raw = connection.connection  # kombu would open another one by itself, and not consume there
                while not self.stop.is_set():
                    with suppress(TimeoutError):
                        raw.drain_events(timeout=0.5)
                    raw.heartbeat_tick()  # answers alone don't tell the broker that anybody is here

    def _answer(self, message: Any) -> None:
        try:
            answer = Envelope.from_bytes(message.body, message.content_type)
        except InvalidMessage:
            return
        content, waiting = answer.data.get("content"), self.waiting.get(answer.causationid)
        if waiting is not None:
            waiting.put(isinstance(content, dict) and content.get("granted") is True)
