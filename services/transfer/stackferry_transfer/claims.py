"""Asking the coordinator whether a delivery may work on its try, and listening for the answers."""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from kombu import Queue
from stackferry import topology
from stackferry.bus import BUS_ERRORS, Outgoing, Publisher, connect, user_of
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, Claimed, InvalidMessage
from stackferry.messages import StepClaimed
from stackferry_runtime.logs import logger

log = logger(__name__)
ASK_AGAIN, GIVE_UP = 5.0, 4  # seconds without an answer, and how often the same claim is sent


class Claims:
    """Runs a thread that takes answers from ``with`` on; :meth:`granted` may be called by any thread."""

    def __init__(self, uri: str, publisher: Publisher, source: str, stop: threading.Event) -> None:
        self.uri, self.publisher, self.source, self.stop = uri, publisher, source, stop
        self.id = f"{user_of(uri)}.{uuid.uuid4().hex}"
        self.waiting: dict[str, SimpleQueue[bool]] = {}
        self.ready = threading.Event()

    def __enter__(self) -> Claims:
        self.thread = threading.Thread(target=self._run, name="claims")
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join()

    def granted(self, envelope: Envelope, again: bool) -> bool:
        """Whether this delivery may work on its try; raise Claimed when nobody answers. A late answer counts, too."""
        self.ready.wait(ASK_AGAIN)
        about = {name: envelope.data[name] for name in ("migration", "step", "attempt")}
        claim = {**about, "token": uuid.uuid4().hex, "again": again, "reply_to": self.id}
        answers, asked = SimpleQueue[bool](), []
        try:
            for _ in range(GIVE_UP):
                question = StepClaimed.make(self.source, claim, envelope)
                asked.append(question.id)
                self.waiting[question.id] = answers
                self.publisher.publish(Outgoing.of(topology.FACTS.name, StepClaimed.key, question))
                with suppress(Empty):
                    return answers.get(timeout=ASK_AGAIN)
        finally:
            for id_ in asked:
                del self.waiting[id_]
        raise Claimed("the coordinator doesn't answer claims")

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                self._listen()
            except (*BUS_ERRORS, BrokerUnavailable) as error:
                log.warning("the broker is away; trying again", error=str(error))
                self.stop.wait(1)

    def _listen(self) -> None:
        with connect(self.uri, f"{self.id} answers") as connection:
            channel = connection.channel()
            queue = Queue(f"stackferry.worker.{self.id}", exclusive=True, auto_delete=True, durable=False)(channel)
            queue.queue_declare()
            queue.bind_to(topology.REPLIES, routing_key=self.id)
            with connection.Consumer([queue], no_ack=True, on_message=self._answer, auto_declare=False):
                self.ready.set()
                while not self.stop.is_set():
                    try:
                        connection.drain_events(timeout=0.5)
                    except TimeoutError:
                        connection.heartbeat_check()

    def _answer(self, message: Any) -> None:
        try:
            answer = Envelope.from_bytes(message.body, message.content_type)
        except InvalidMessage:
            return
        waiting = self.waiting.get(answer.causationid)
        if waiting is not None:
            waiting.put(bool(answer.data.get("content", {}).get("granted")))
