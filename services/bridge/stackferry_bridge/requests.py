"""Requests that come by NATS: a CloudEvent, as on RabbitMQ, in a message that wants a reply.

The reply is ``{"parts": [...]}``, what the coordinator answers, or ``{"error": {"reason", "errors"}}``. The same
message id is taken once. The bridge is the client ``bridge`` of the coordinator; STACKFERRY_CLIENTS says what it may.
"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import nats
from stackferry import topology
from stackferry.envelope import Envelope
from stackferry.errors import Error, InvalidMessage
from stackferry.messages import REGISTRY, Command
from stackferry.roles import NEEDS, Client, refused
from stackferry_runtime.desk import Declined, Desk
from stackferry_runtime.logs import logger

from .events import MEDIA
from .settings import Settings

log = logger(__name__)
INBOX = "_INBOX."  # begins the subjects that clients make for replies
JSON = {"Content-Type": "application/json"}
AT_ONCE = 16  # requests that are worked on at the same time


class Requests:
    """Takes requests in, in a thread of its own."""

    def __init__(self, told: Settings) -> None:
        self.told = told
        self.desk = Desk(told.amqp_uri, told.answer_within, "stackferry/bridge")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="requests", daemon=True)
        self._over: asyncio.Event | None = None
        self.is_listening = False

    def start(self) -> None:
        """Begin."""
        self.desk.link.start()
        self._thread.start()

    def close(self) -> None:
        """Take nothing more in."""
        if self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5)
        self.desk.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._listen())
        except Exception:
            log.exception("no requests are taken any more")
        finally:
            self.is_listening = False

    async def _listen(self) -> None:
        self._over, turns = asyncio.Event(), asyncio.Semaphore(AT_ONCE)
        client = await nats.connect(
            self.told.target, max_reconnect_attempts=-1, allow_reconnect=True, name="stackferry requests",
            error_cb=_note, connect_timeout=10,
        )  # fmt: skip

        async def take(message: Any) -> None:
            try:
                said = await asyncio.to_thread(self.answer, message.data)
            finally:
                turns.release()
            if message.reply.startswith(INBOX):  # else it would be published with our rights wherever somebody likes
                await client.publish(message.reply, json.dumps(said).encode(), headers=JSON)

        tasks = set()

        async def begin(message: Any) -> None:
            await turns.acquire()  # the next one isn't looked at before
            task = asyncio.create_task(take(message))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        await client.subscribe(self.told.requests, queue="stackferry", cb=begin)
        self.is_listening = True
        await self._over.wait()
        await client.drain()

    def answer(self, body: bytes) -> dict[str, Any]:
        """Ask for what a message says; return what is answered, or why not."""
        try:
            asked = Envelope.from_bytes(body, MEDIA)
            message = REGISTRY.get(asked.type)
            if message is None or not issubclass(message, Command) or topology.COORDINATOR not in message.queues:
                raise InvalidMessage("unknown", {"type": f"{asked.type!r} is no request"})
            data = {name: value for name, value in asked.data.items() if name != "reply_to"}
            role = Client(self.told.requests_role)
            if message.called in NEEDS and (wrong := refused(role, message.called, data, [])):
                raise InvalidMessage("refused", {**wrong, "role": "STACKFERRY_REQUESTS_ROLE says what requests may do"})
            log.info("request", audit=True, type=asked.type, id=asked.id, source=asked.source)
            return {"parts": self.desk.ask(message, data, asked.source, asked.id, asked.traceparent)}
        except Declined as error:
            return {"error": {"reason": error.reason, "errors": error.errors}}
        except InvalidMessage as error:
            return {"error": {"reason": error.reason, "errors": error.errors}}
        except Error as error:
            return {"error": {"reason": "unavailable", "errors": str(error)}}
        except Exception:
            log.exception("a request failed")
            return {"error": {"reason": "internal", "errors": "the bridge's log says more"}}


async def _note(error: Exception) -> None:
    log.warning("NATS can't be reached", error=str(error) or type(error).__name__)
