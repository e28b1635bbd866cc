"""The only list of exchanges, queues, bindings and permissions; everything else is generated from it.

Clients publish requests to ``stackferry.requests``, and to nothing else; the coordinator alone publishes commands to
``stackferry.commands``. Workers report to ``stackferry.facts``; what of it is true, the coordinator tells everybody on
``stackferry.events``. A work queue is bound to one of the first two under its own name, or to ``stackferry.facts`` by
the facts it lives on. Failures wait in one of a few delay queues that all work queues share: a message published to
``stackferry.retry.<n>s`` keeps the work queue's name as routing key, and the queue's dead-lettering brings it
back through ``stackferry.returns``. What can't be helped is parked in ``stackferry.dead``: by the broker, or by a
service through ``stackferry.parked``. A service may use no routing key but its own queues' names there (topic
permissions), so the key of a parked message is true, whatever its headers say.

Only what must be a queue argument is one (type, dead-letter exchange, time to live). The rest is in POLICIES,
since arguments can never change and policies can. Works on RabbitMQ 3.10 to 4.x.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from kombu import Exchange, Queue, binding

from . import events
from .errors import Error

REQUESTS = Exchange("stackferry.requests", "direct", durable=True)
COMMANDS = Exchange("stackferry.commands", "direct", durable=True)
FACTS = Exchange("stackferry.facts", "topic", durable=True)
#: told by the coordinator alone; the keys are made by ``events``
EVENTS = Exchange("stackferry.events", "topic", durable=True)
#: for the broker alone: what it parks by itself, and what comes back to a queue that is gone
DEAD = Exchange("stackferry.dead", "fanout", durable=True)
PARKED = Exchange("stackferry.parked", "topic", durable=True)
REPLIES = Exchange("stackferry.replies", "direct", durable=True)
#: what has waited, or was parked, goes back to its queue by this one; nobody else may write to the queues of facts
RETURNS = Exchange("stackferry.returns", "direct", durable=True)

#: seconds a failed delivery waits before each next try; after the last one it's parked
BACKOFF = (1, 5, 30, 120)

#: bytes of a message that the broker takes (``max_message_size``); an event has at most half of it (``MAX_BYTES``)
MAX_MESSAGE_BYTES = 2 << 20
#: bytes in a work queue, or in a delay queue, after which the broker refuses more; publishers try again
FULL = 1_000_000_000

#: tunables, applied as policies (``rabbitmqctl set_policy``, or definitions.json)
POLICIES: dict[str, dict[str, Any]] = {
    "work": {
        "pattern": r"^stackferry\.(exporter|importer|transfer|coordinator)(\..*)?$",
        "definition": {
            "delivery-limit": 20,  # a message that kills its consumer is parked in the end
            "dead-letter-strategy": "at-least-once",
            "overflow": "reject-publish",  # at-least-once dead-lettering demands it
            "max-length-bytes": FULL,
        },
    },
    "retry": {
        "pattern": r"^stackferry\.retry\..*$",
        "definition": {
            "dead-letter-strategy": "at-least-once",
            "overflow": "reject-publish",
            "max-length-bytes": FULL,
        },
    },
    "dead": {
        "pattern": r"^stackferry\.dead$",
        # looking at a parked message must not use it up; of too many, the oldest go
        "definition": {"delivery-limit": 1_000_000_000, "max-length-bytes": FULL, "overflow": "drop-head"},
    },
    "audit": {
        "pattern": r"^stackferry\.audit$",
        "definition": {"max-age": "7D", "max-length-bytes": 1_000_000_000},
    },
    "history": {
        "pattern": r"^stackferry\.history$",
        "definition": {"max-age": "30D", "max-length-bytes": 1_000_000_000},
    },
    "clients": {
        "pattern": r"^stackferry\.client\..*$",
        # what clients have forgotten goes by itself, and doesn't fill the disk before
        "definition": {"expires": 86_400_000, "max-length-bytes": FULL // 10},
    },
    "returns": {
        "pattern": r"^stackferry\.returns$",
        "apply-to": "exchanges",
        # of a queue that is gone, such as a deleted host's: else one such message would hold up a whole delay queue
        "definition": {"alternate-exchange": "stackferry.dead"},
    },
}


@dataclass(frozen=True)
class WorkQueue:
    """A queue that a service works through: ``facts`` are topic patterns, ``service`` its only reader.

    What ``asked`` says is asked by clients, everything else commanded by the coordinator.
    """

    name: str
    service: str
    purpose: str
    facts: tuple[str, ...] = ()
    asked: bool = False

    @property
    def exchange(self) -> Exchange:
        """Where what belongs on this queue is published to; facts are told to whoever listens."""
        return FACTS if self.facts else REQUESTS if self.asked else COMMANDS


@dataclass(frozen=True)
class User:
    """A broker user with the least it needs.

    It reads and settles the work queues ``works``, ``reads`` other queues and exchanges, ``writes`` to exchanges, tells
    the facts ``topics``, and may bind to the events ``hears`` (regular expressions of routing keys).
    """

    name: str
    works: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    own_queues: str = field(default="")  # regular expression of queues it may create for itself


EXPORTER = WorkQueue("stackferry.exporter", "exporter", "read a project of a source cloud")
EXPORTER_CHECKS = WorkQueue("stackferry.exporter.checks", "exporter", "check access to a source")
EXPORTER_IMAGES = WorkQueue("stackferry.exporter.images", "exporter", "serve the payload of an image")
EXPORTER_WORKLOADS = WorkQueue("stackferry.exporter.workloads", "exporter", "act on servers and disks of a source")
IMPORTER = WorkQueue("stackferry.importer", "importer", "make one resource as its document says")
IMPORTER_CHECKS = WorkQueue("stackferry.importer.checks", "importer", "check access to a destination")
IMPORTER_IMAGES = WorkQueue("stackferry.importer.images", "importer", "take in the payload of an image")
IMPORTER_WORKLOADS = WorkQueue("stackferry.importer.workloads", "importer", "act on servers and disks of a destination")
COORDINATOR = WorkQueue("stackferry.coordinator", "coordinator", "requests of users, and their questions", asked=True)
COORDINATOR_FACTS = WorkQueue(
    "stackferry.coordinator.facts",
    "coordinator",
    "what the workers report",
    (
        "documents.exported",
        "export.ended",
        "step.ended",
        "step.progressed",
        "image.offered",
        "segment.offered",
        "segment.served",
        "worker.seen",
        "agent.seen",
    ),
)
COORDINATOR_CLAIMS = WorkQueue(
    "stackferry.coordinator.claims", "coordinator", "whether a delivery may work on its try", ("step.claimed",)
)


def host_queue(host: str) -> WorkQueue:
    """The queue of a conversion host (id of its server), for all its agents; the coordinator declares it."""
    return WorkQueue(f"stackferry.transfer.{host}", "transfer", "move bytes of the volumes attached to this host")


#: stands for the queues of all hosts
HOST = host_queue("{host}")
WORK_QUEUES = (
    EXPORTER,
    EXPORTER_CHECKS,
    EXPORTER_IMAGES,
    EXPORTER_WORKLOADS,
    IMPORTER,
    IMPORTER_CHECKS,
    IMPORTER_IMAGES,
    IMPORTER_WORKLOADS,
    COORDINATOR,
    COORDINATOR_FACTS,
    COORDINATOR_CLAIMS,
)

_WORKERS_WRITE = ("stackferry.facts", "stackferry.parked", r"stackferry\.retry\..*")
_ANSWER = ("stackferry.replies",)


def _works(service: str) -> tuple[str, ...]:
    return tuple(queue.name for queue in WORK_QUEUES if queue.service == service)


def client_queues(user: str) -> str:
    """How the names of a client's own queues begin."""
    return f"stackferry.client.{user}."


def client_user(name: str, clouds: Collection[str] | None = None, projects: Collection[str] | None = None) -> User:
    """A user for whoever asks for migrations; what it may ask for says the coordinator (see its ``roles``).

    *clouds*, *projects*: it hears of migrations between these only, and can't read the history, which tells of all.
    """
    everything = clouds is None and projects is None
    return User(
        name,
        reads=("stackferry.events", "stackferry.replies", *(["stackferry.history"] if everything else [])),
        writes=("stackferry.requests",),
        hears=(events.permitted(clouds, projects),),
        own_queues=rf"{re.escape(client_queues(name))}.*",
    )


#: looks after what was parked, and may put it back; reads what anybody has said
OPERATOR = User(
    "operator", reads=("stackferry.dead", "stackferry.audit", "stackferry.history"), writes=("stackferry.returns",)
)
USERS = (
    User(
        "exporter",
        works=_works("exporter"),
        reads=_ANSWER,
        writes=(*_WORKERS_WRITE, *_ANSWER),
        own_queues=r"stackferry\.worker\.exporter\..*",
        topics=(r"documents\..*", r"export\..*", r"image\.offered", r"worker\.seen", r"step\..*"),
    ),
    User(
        "importer",
        works=_works("importer"),
        reads=_ANSWER,
        writes=(*_WORKERS_WRITE, *_ANSWER),
        own_queues=r"stackferry\.worker\.importer\..*",
        topics=(r"step\..*", r"worker\.seen"),
    ),
    User(
        "coordinator",
        works=_works("coordinator"),
        # so that it can make queues, bind them, and have them park; and make room in the parking queue
        reads=(
            "stackferry.dead",
            "stackferry.requests",
            "stackferry.commands",
            "stackferry.facts",
            "stackferry.events",
            "stackferry.returns",
        ),
        # to the returns: what was parked, for operators who ask it to put that back (see ``deadletters``)
        writes=(
            *_WORKERS_WRITE,
            *_ANSWER,
            "stackferry.commands",
            "stackferry.events",
            "stackferry.dead",
            "stackferry.returns",
        ),
        # all work queues, and what it has told: it makes them anew when somebody has deleted one, for which RabbitMQ
        # wants to see every right
        own_queues=r"stackferry\.((transfer|exporter|importer|coordinator)(\..*)?|history)",
        topics=(r"worker\.seen",),
        hears=(events.permitted(None, None),),  # what the history is bound to
    ),
    client_user("client"),
    client_user("gateway"),  # it asks on behalf of many, and tells them what it hears
    client_user("bridge"),  # it carries what is told to other systems, and requests from there
    OPERATOR,
)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A conversion host as it was enrolled: id of its server, its cloud and project as migrations name them ("": the
    project that the credentials are for). All of it is in the name of its broker user, for which the broker vouches.
    """

    host: str
    cloud: str
    project: str = ""

    @property
    def user(self) -> str:
        """The name of its user: ``host.<cloud>.<project>.<id of the server>``, cloud and project percent-encoded."""
        words = (quote(word, safe="").replace(".", "%2E") for word in (self.cloud, self.project))
        return ".".join((_HOST_USER, *words, self.host))

    @classmethod
    def read(cls, user: str) -> Enrolled | None:
        """The host of whose agents this is the user; None for any other user."""
        words = user.split(".")
        if len(words) != 4 or words[0] != _HOST_USER:
            return None
        return cls(words[3], unquote(words[1]), unquote(words[2]))


_HOST_USER = "host"
#: stands for the id of the server in a URI that is written before the server is made: the agent completes it
SERVER_ID = "{server_id}"


def host_user(enrolled: Enrolled) -> User:
    """The user of the agents on one conversion host: nobody else's queue, and no other name."""
    if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", enrolled.host):
        raise Error(f"{enrolled.host!r} is no server's id; `openstack server list` shows them")
    return User(
        enrolled.user,
        works=(host_queue(enrolled.host).name,),
        reads=_ANSWER,
        writes=_WORKERS_WRITE,
        own_queues=rf"stackferry\.worker\.{re.escape(enrolled.user)}\..*",
        topics=(r"agent\.seen", r"segment\.(offered|served)", r"step\..*"),
    )


def retry_exchange(seconds: int) -> Exchange:
    """The exchange behind which a message waits *seconds* before it goes back to its work queue.

    A topic exchange, since topic permissions then keep each service to its own queues' names.
    """
    return Exchange(f"stackferry.retry.{seconds}s", "topic", durable=True)


def exchanges() -> list[Exchange]:
    """Every exchange."""
    return [REQUESTS, COMMANDS, FACTS, EVENTS, DEAD, PARKED, REPLIES, RETURNS, *map(retry_exchange, BACKOFF)]


def on(queue: WorkQueue, name: str) -> bool:
    """Whether *name* is this queue, or the queue of some host where *queue* stands for all of those."""
    return name == queue.name or (queue == HOST and name.startswith(HOST.name.partition("{")[0]))


def work_queue(queue: WorkQueue) -> Queue:
    """The kombu queue of *queue*, with its bindings."""
    return Queue(
        queue.name,
        bindings=[
            binding(RETURNS, routing_key=queue.name),
            *(binding(queue.exchange, routing_key=key) for key in queue.facts or (queue.name,)),
        ],
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": DEAD.name,
            "x-dead-letter-routing-key": queue.name,
        },
    )


def retry_queue(seconds: int) -> Queue:
    """The delay queue behind :func:`retry_exchange`; no dead-letter key, so the message keeps its own."""
    return Queue(
        f"stackferry.retry.{seconds}s",
        exchange=retry_exchange(seconds),
        routing_key="#",
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-message-ttl": seconds * 1000,
            "x-dead-letter-exchange": RETURNS.name,
        },
    )


def dead_queue() -> Queue:
    """The parking queue: a message's routing key is the queue where it was found, its headers say why it is here."""
    found = [binding(DEAD, routing_key=""), binding(PARKED, routing_key="#")]
    return Queue(DEAD.name, bindings=found, durable=True, queue_arguments={"x-queue-type": "quorum"})


def history_queue() -> Queue:
    """A stream of what was told of migrations (``events.KEPT``): to read from any point in time."""
    return Queue(
        "stackferry.history",
        bindings=[binding(EVENTS, routing_key=f"*.*.*.{name}") for name in events.KEPT],
        durable=True,
        queue_arguments={"x-queue-type": "stream"},
    )


def audit_queue() -> Queue:
    """A stream of what workers have said, whether it counted or not, and the reason that no fact is unroutable."""
    return Queue(
        "stackferry.audit",
        exchange=FACTS,
        routing_key="#",
        durable=True,
        queue_arguments={"x-queue-type": "stream"},
    )


def queues() -> list[Queue]:
    """Every durable queue."""
    return [*map(work_queue, WORK_QUEUES), *map(retry_queue, BACKOFF), dead_queue(), history_queue(), audit_queue()]


def bindings(queue: Queue) -> list[tuple[str, str]]:
    """(exchange, routing key) of each binding of *queue*."""
    pairs = [(bound.exchange.name, bound.routing_key or "") for bound in queue.bindings]
    return pairs or [(queue.exchange.name, queue.routing_key or "")]
