"""Which service processes are there; and what they had to throw away."""

from __future__ import annotations

from marshmallow import fields, validate

from .. import topology
from .answers import Workers
from .fields import answer_key, flag, need, number, text
from .message import Command, Event, Fact


class WorkerSeen(Fact):
    """A service process is there; sent at start and every half minute."""

    key = "worker.seen"

    service = need("exporter, importer, ...")
    instance = need("which process: no two that run have the same text")
    version = text("version of the software")
    certificate = text("public certificate (PEM) of its data connections", allow_none=True)
    clouds = fields.List(
        need("a name"), allow_none=True, validate=validate.Length(max=10_000),
        metadata={"description": "names of the clouds that it has credentials for, in clouds.yaml; null: not known"},
    )  # fmt: skip
    stopping = flag("it's about to end: this is the last that is heard of it", load_default=False)


class DescribeWorkers(Command):
    """Ask for every exporter and importer that is there; the answer is an Answer to ``reply_to``."""

    queues = (topology.COORDINATOR,)
    answer = Workers

    reply_to = answer_key()


class DeadLettersDropped(Event):
    """So many messages were parked that the oldest have left the broker: they're in a file of the coordinator's."""

    number = number("how many", required=True)
    file = need("the file, as the coordinator sees it")
