"""Which service processes are there."""

from __future__ import annotations

from marshmallow import fields, validate

from .fields import flag, need, text
from .message import Fact


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
