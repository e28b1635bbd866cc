"""What is asked on the way of a server and its disks, besides making resources: of the clouds, and of the agents."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from .. import topology
from .fields import called, labels, migration_id, need, number, text
from .message import Command, Event, Fact
from .scope import nested_place
from .steps import StepFields

#: what can be done with a server or a volume of one cloud
ACTIONS = ("look", "wait", "stop", "start", "expose", "withdraw", "attach", "detach", "power", "settle", "arrived",
           "at-rest", "clean-up", "room")  # fmt: skip
KINDS = ("server", "volume", "project")
#: how a segment is fetched; all but copy look at every block, and read back what they write
MODES = ("copy", "delta", "rehash", "verify")
#: what moves the bytes: the agents themselves, or nbdkit and nbdcopy, which they start
ENGINES = ("pump", "nbd")


class PerformAction(StepFields, Command):
    """Do something with a server or a volume: look at it, stop or start it, make a disk readable, attach it ...

    ``power`` stops a new server that was stopped at the source. ``wait`` is over once people have stopped it.
    ``clean-up`` is the only one that deletes what was there before.
    """

    queues = (topology.EXPORTER_WORKLOADS, topology.IMPORTER_WORKLOADS)

    place = nested_place("the project that has it", required=True)
    action = text("what to do", required=True, validate=validate.OneOf(ACTIONS))
    kind = text("server, volume, or the whole project", required=True, validate=validate.OneOf(KINDS))
    resource = text(
        "id of the server or the volume in this cloud, or name of the project; null: detach, and nothing was attached",
        required=True, allow_none=True, validate=validate.Length(1, 512),
    )  # fmt: skip
    known = fields.Dict(
        load_default=dict, metadata={"description": "what earlier steps found: host, was, marker, source_access ..."}
    )

    @validates_schema
    def _about_something(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("resource") is None and data.get("action") != "detach":
            raise ValidationError({"resource": ["only a detach may be about nothing"]})


class _Segment(StepFields):
    """A range of a volume that one try is about."""

    host = need("id of the conversion host's server")
    volume = need("id of the volume that is attached to this host")
    copy = need("id of the copy: the same for all segments, passes and tries")
    first = number("where the segment begins, in bytes", required=True, validate=validate.Range(0))
    length = number("bytes; 0: to the volume's end", required=True, validate=validate.Range(0))
    engine = text("pump, or nbd: nbdkit and nbdcopy", load_default="pump", validate=validate.OneOf(ENGINES))


class OfferSegment(_Segment, Command):
    """Serve a range of a source volume to one of the given agents."""

    queues = (topology.HOST,)

    certificates = fields.List(
        fields.String(), required=True, metadata={"description": "PEM certificates that may fetch it"}
    )
    mode = text("how it will be fetched", load_default="copy", validate=validate.OneOf(MODES))
    bandwidth = number(
        "bytes a second that it's sent with, at most: its share of the migration's; absent: as the agent allows",
        validate=validate.Range(1),
    )


class SegmentOffered(StepFields, Fact):
    """A range of a volume can be fetched."""

    key = "segment.offered"

    address = need("host:port")
    certificate = text("PEM certificate of the offering agent", required=True)
    size = number("bytes of the whole volume", required=True)
    pump = text("host:port where the agent itself serves what nbdkit serves at address", allow_none=True)


class SegmentServed(StepFields, Fact):
    """A range was served: what its source has answered. A try is over once the destination says the same."""

    key = "segment.served"

    blocks = number("different blocks that were asked for and answered; null: nbdkit served them", allow_none=True)
    digest = text(
        "BLAKE3 over the BLAKE3 of each block of the range, in order, hexadecimal; null: not all were answered",
        allow_none=True,
    )


class FetchSegment(_Segment, Command):
    """Write an offered range into a volume of the destination, or compare it with what is there."""

    queues = (topology.HOST,)

    mode = text(
        "copy: what the copy's journal doesn't know; delta: what is unlike the journal; rehash: what is unlike the "
        "device, with a new journal; verify: the same, and a source that has changed since the copy is a failure",
        required=True,
        validate=validate.OneOf(MODES),
    )
    address = need("host:port of the offer")
    certificate = text("PEM certificate of the offering agent", required=True)
    size = number("bytes of the source volume", required=True)
    pump = text("host:port where the offering agent itself can be asked, if it can be reached", allow_none=True)


#: it's there; it's given up, and being taken back; that is over; it was removed by `undo`; it gets another round
WORKLOAD_STATES = ("done", "failing", "failed", "skipped", "removed", "again")


class WorkloadChanged(Event):
    """A server, or a volume that is attached nowhere, has arrived, or is given up, or taken back."""

    migration = migration_id()
    migration_name = called()
    labels = labels()
    workload = need("key of the workload: server/<id> or volume/<id>, with the id at the source")
    name = text("its name", allow_none=True)
    state = text("what became of it", required=True, validate=validate.OneOf(WORKLOAD_STATES))
    reason = text("why, when it failed", allow_none=True)
    destination_id = text("id at the destination", allow_none=True)
    results = fields.Dict(load_default=dict, metadata={"description": "downtime in seconds, passes ..."})
