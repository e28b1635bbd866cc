"""Two agents as the product runs them, with a private broker; the part of the coordinator is played here."""

from __future__ import annotations

import os
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from kombu import Queue
from processes import Counted, Relay, cpu_of, memory_of
from stackferry import topology
from stackferry.bus import Outgoing, Publisher, connect, declare
from stackferry.definitions import password_hash
from stackferry.envelope import Envelope
from stackferry.messages import Answer, FetchSegment, OfferSegment
from stackferry_cli import broker_users
from stackferry_cli.hosts import broker
from stackferry_cli.local.rabbitmq import Node
from stackferry_coordinator.plan.subjects import AT_ONCE, segments

MIGRATION = str(uuid.uuid4())
SIDES = ("source", "destination")


class Agents:
    """The agents of both sides, from ``with`` on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.node = folder, Node(folder / "broker")
        self.processes: dict[str, Counted] = {}
        self.facts: list[Envelope] = []
        self.changed, self.over = threading.Condition(), threading.Event()
        self.tries = 0

    def __enter__(self) -> Agents:
        with ExitStack() as stack:
            stack.callback(self.node.stop)
            self.node.start()
            uri = self.node.uri("admin")
            self.publisher = Publisher(self.node.uri("coordinator"), "benchmark")
            stack.callback(self.publisher.close)
            with connect(uri, "benchmark") as connection:
                declare(connection)
            stack.callback(self._listen(uri).join)
            stack.callback(self.over.set)
            self.password = token_urlsafe(18)
            users = {topology.host_user(topology.Enrolled(side, side)): password_hash(self.password) for side in SIDES}
            broker_users.local(self.node).make(users)
            for side in SIDES:
                self.publisher.declare(topology.work_queue(topology.host_queue(side)))
                stack.callback(self._start(side).stop)
            self.certificates = {side: self._seen(side) for side in SIDES}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def cpu(self) -> float:
        """CPU seconds of both so far."""
        return sum(cpu_of(each.process.pid) for each in self.processes.values())

    def memory(self) -> dict[str, float]:
        """The most memory that each has had, MB."""
        return {side: memory_of(each.process.pid) for side, each in self.processes.items()}

    def attach(self, side: str, volume: str, device: Path) -> None:
        """Have a device appear as a volume's."""
        folder = self._by_id(side)
        (folder / f"virtio-{volume[:20]}").symlink_to(device)

    def cross(
        self, copy: str, source: str, target: str, size: int, mode: str, relay: list[Relay] | None = None
    ) -> None:
        """One pass over a volume, in segments; through relays, when there's a list to put them into."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            parts = [range(first, first + length) for first, length in segments(size)]
            passes = [
                pool.submit(self._segment, f"{MIGRATION}/{copy}", source, target, part, mode, relay) for part in parts
            ]
            for each in passes:
                each.result()

    def _segment(self, copy: str, source: str, target: str, part: range, mode: str, relays: list[Relay] | None) -> None:
        with self.changed:
            self.tries += 1
            about = {"migration": MIGRATION, "step": f"volume/v/{mode}/{part.start}", "attempt": self.tries, "copy": copy,
                     "first": part.start, "length": len(part)}  # fmt: skip
        offer = {**about, "host": "source", "volume": source, "certificates": [self.certificates["destination"]]}
        self._send(OfferSegment, "source", offer)
        offered = self._fact("segment-offered", about["attempt"])
        if relays is not None:
            host, _, port = offered["address"].rpartition(":")
            relays.append(Relay((host, int(port))))
            offered["address"] = "{}:{}".format(*relays[-1].address)
        found = {name: offered[name] for name in ("address", "certificate", "size")}
        self._send(
            FetchSegment, "destination", {**about, **found, "host": "destination", "volume": target, "mode": mode}
        )
        ended = self._fact("step-ended", about["attempt"])
        if ended["outcome"] != "done":
            raise SystemExit(f"the pump failed: {ended}")

    def _start(self, side: str) -> Counted:
        home = self.folder / side
        settings = {
            "AMQP_URI": self._uri(side), "CLOUD": side, "SERVER_ID": side, "STATE_DIR": home, "SLOTS": 16,
            "DEVICES_DIR": self._by_id(side), "LISTEN_ADDRESS": "127.0.0.1", "LOG_LEVEL": "WARNING",
        }  # fmt: skip
        environ = {f"STACKFERRY_{name}": str(value) for name, value in settings.items()}
        self.processes[side] = Counted(sys.executable, "-m", "stackferry_transfer", env={**os.environ, **environ})
        return self.processes[side]

    def _uri(self, side: str) -> str:
        return broker.with_own_user(self.node.address(), self.password, side)

    def _by_id(self, side: str) -> Path:
        folder = self.folder / side / "by-id"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _seen(self, side: str) -> str:
        with self.changed:
            self.changed.wait_for(lambda: self._of("agent-seen", "host", side), 60)
            return str(self._of("agent-seen", "host", side)[0]["certificate"])

    def _fact(self, words: str, attempt: int) -> dict[str, Any]:
        with self.changed:
            self.changed.wait_for(
                lambda: self._of(words, "attempt", attempt) or self._of("step-ended", "attempt", attempt)
            )
            found = self._of(words, "attempt", attempt) or self._of("step-ended", "attempt", attempt)
        if "reason" in found[0] and found[0].get("outcome") != "done":
            raise SystemExit(f"a segment failed: {found[0]['reason']}")
        return dict(found[0])

    def _of(self, words: str, name: str, value: Any) -> list[dict[str, Any]]:
        return [f.data for f in self.facts if f.type == f"stackferry.{words}.v1" and f.data[name] == value]

    def _send(self, command: Any, host: str, data: dict[str, Any]) -> None:
        queue = topology.host_queue(host).name
        self.publisher.publish(Outgoing.of(topology.COMMANDS.name, queue, command.make("benchmark", data)))

    def _listen(self, uri: str) -> threading.Thread:
        connection = connect(uri, "benchmark facts")
        channel = connection.channel()
        queue = Queue("benchmark", exclusive=True, auto_delete=True, durable=False)(channel)
        queue.queue_declare()
        queue.bind_to(topology.FACTS, routing_key="#")
        consumer = connection.Consumer([queue], no_ack=True, on_message=self._take, auto_declare=False)

        def run() -> None:
            with connection, consumer:
                while not self.over.is_set():
                    try:
                        connection.drain_events(timeout=0.2)
                    except TimeoutError:
                        connection.heartbeat_check()

        listening = threading.Thread(target=run)
        listening.start()
        return listening

    def _take(self, message: Any) -> None:
        fact = Envelope.from_bytes(message.body, message.content_type)
        if fact.type == "stackferry.step-claimed.v1":
            answer = Answer.make("benchmark", {"content": {"granted": True}}, fact)
            self.publisher.publish(Outgoing.of(topology.REPLIES.name, fact.data["reply_to"], answer))
        elif fact.type != "stackferry.step-progressed.v1":
            with self.changed:
                self.facts.append(fact)
                self.changed.notify_all()
