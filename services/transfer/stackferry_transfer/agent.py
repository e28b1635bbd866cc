"""The agent as a process: registers, reads its host's queue, moves segments in threads, leaves when told to."""

from __future__ import annotations

import os
import signal
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from stackferry import __version__, topology
from stackferry.bus import Publisher, user_of
from stackferry.envelope import Envelope
from stackferry.errors import Claimed, Error, InvalidMessage, NotNow
from stackferry.messages import AgentSeen, FetchSegment, OfferSegment
from stackferry_runtime import metrics, starting
from stackferry_runtime.certificates import identity
from stackferry_runtime.claims import Claims
from stackferry_runtime.logs import logger

from .consumer import Consumer
from .disk import journal
from .nbd import programs
from .pump.pace import Pace
from .pump.server import Server
from .pump.source import Shared
from .reports import LOST, Reports
from .segments import BY_SLOT, Segments
from .settings import Settings

log = logger(__name__)
EVERY = 5.0  # seconds between two words that it's there
#: what agents handle
TAKES = (OfferSegment.type, FetchSegment.type)


class Agent:
    """One agent. :meth:`run` returns when it was told to stop and has."""

    def __init__(self, config: Settings) -> None:
        if config.tunnel and not (config.tunnel_key and config.tunnel_known_hosts):
            raise Error("STACKFERRY_TUNNEL also needs STACKFERRY_TUNNEL_KEY and STACKFERRY_TUNNEL_KNOWN_HOSTS")
        self.config, self.stop = config, threading.Event()
        self.host = config.server_id or server_id()
        self.uri = config.amqp_uri.replace(topology.SERVER_ID, self.host)
        self.instance = f"{socket.gethostname()}:{os.getpid()}:{config.instance}:{uuid.uuid4().hex[:8]}"
        self.publisher = Publisher(self.uri, f"agent {self.instance}")
        self.source = f"stackferry/transfer/{self.host}"
        self.reports = Reports(self.publisher, self.source, self.stop)
        self.running: set[tuple[str, str, int, str]] = set()
        self.lock = threading.Lock()

    consumer: Consumer | None = None

    def run(self) -> None:
        """Work until :attr:`stop` is set."""
        config = self.config
        shared = Shared(pace=Pace(config.bandwidth or None))
        address = config.listen_address or own_address(self.uri)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.create_server((address, port_of(config)), family=family)
        folder = Path(config.state_dir) / "agents" / (config.instance or "1")
        self.identity = identity(folder, "transfer", config.advertise_address or listener.getsockname()[0])
        programs.sweep(folder)
        journal.sweep(Path(config.state_dir) / "journals")
        with ExitStack() as stack:
            stack.callback(self.publisher.close)
            server = stack.enter_context(Server(listener, self.identity, shared))
            self.segments = Segments(config, self.identity, server, self.reports, self.stop)
            self.claims = Claims(self.uri, self.publisher, self.source, user_of(self.uri), self.stop)
            asking = threading.Thread(target=self.claims.run, name="claims")
            asking.start()
            stack.callback(asking.join)
            self.pool = stack.enter_context(ThreadPoolExecutor(self.room, thread_name_prefix="segment"))
            queue = topology.host_queue(self.host)
            consumer = self.consumer = Consumer(self.uri, queue, self.publisher, self.take, self.has_room, self.stop)
            presence = threading.Thread(target=self._be_seen, args=(consumer,), name="presence")
            presence.start()
            consumer.run()
            presence.join()

    def is_ready(self) -> bool:
        """Whether it takes what there is to do."""
        return self.consumer is not None and self.consumer.consuming.is_set()

    @property
    def room(self) -> int:
        """Segments at once."""
        return self.config.slots * BY_SLOT

    def has_room(self) -> bool:
        """Whether another segment can be begun."""
        return len(self.running) < self.room

    def take(self, envelope: Envelope, again: bool) -> None:
        """Begin a segment, if this try is ours to make. A fetch needs no claim: its offer serves one guest."""
        if envelope.type not in TAKES:
            raise InvalidMessage("misrouted", {"type": f"no agent handles {envelope.type}"})
        offers = envelope.type == OfferSegment.type
        if offers and not self.claims.granted(envelope, again):
            return
        key = (envelope.data["migration"], envelope.data["step"], envelope.data["attempt"], envelope.type)
        with self.lock:
            if key in self.running:
                return
            if not self.has_room():
                raise Claimed("every slot is taken") if offers else NotNow("every slot is taken")
            self.running.add(key)
        work = self.segments.offer if offers else self.segments.fetch
        self.pool.submit(work, envelope).add_done_callback(lambda _: self.running.discard(key))

    def _be_seen(self, consumer: Consumer) -> None:
        said_ready = not self.config.ready_file
        while True:
            stopping = self.stop.is_set()
            try:
                self.reports.tell(AgentSeen, self._facts(stopping))
            except LOST as error:
                log.warning("could not say that we're here", error=str(error))
            if stopping:
                return
            if not said_ready and consumer.consuming.is_set():
                Path(self.config.ready_file).write_text(str(os.getpid()))
                said_ready = True
                log.info("ready", host=self.host, instance=self.instance)
            self.stop.wait(EVERY if said_ready else 0.5)

    def _facts(self, stopping: bool) -> dict[str, object]:
        config = self.config
        return {
            "host": self.host, "name": config.host_name or socket.gethostname(), "instance": self.instance,
            "cloud": config.cloud, "project": config.project or None,
            "slots": config.slots, "version": __version__, "certificate": self.identity.certificate,
            "stopping": stopping,
        }  # fmt: skip


def port_of(config: Settings) -> int:
    """The port of this one of a host's agents."""
    if not config.listen_port or not config.instance.isdecimal():
        return config.listen_port
    return config.listen_port + int(config.instance) - 1


def own_address(amqp_uri: str) -> str:
    """The address of this machine by which it reaches the broker; nothing is sent."""
    broker = urlsplit(amqp_uri)
    try:
        found = socket.getaddrinfo(broker.hostname, broker.port or 5672, type=socket.SOCK_DGRAM)
        family, kind, _, _, where = found[0]
        with socket.socket(family, kind) as probe:
            probe.connect(where)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise Error(f"the broker's name can't be resolved ({error}); set STACKFERRY_LISTEN_ADDRESS") from None


def server_id() -> str:
    """The id of the server that this runs on, as its firmware says; raise Error when it doesn't."""
    for path in ("/sys/class/dmi/id/product_uuid", "/run/cloud-init/.instance-id"):
        try:
            return str(uuid.UUID(Path(path).read_text("utf-8").strip().removeprefix("i-")))
        except (OSError, ValueError):
            continue
    raise Error("STACKFERRY_SERVER_ID is not set, and neither firmware nor cloud-init says which server this is")


def main() -> None:
    """Run an agent until SIGTERM or SIGINT. Exit codes: 0 stopped, 2 wrong settings."""
    config = starting.told(Settings)
    with starting.refusing():
        if not config.cloud:
            raise Error("STACKFERRY_CLOUD is not set: which cloud is this host in?")
        agent = Agent(config)
        metrics.watched(config.metrics_address, agent.is_ready)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop.set())
    agent.run()
