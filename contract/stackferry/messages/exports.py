"""Reading a project: the command to an exporter, and the documents that come of it."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields, validate

from .. import topology
from .document import DocumentsField
from .fields import called, flag, labels, migration_id, need, number, seconds_taken, text
from .message import Command, Fact
from .scope import nested_place, nested_selection


class ExportProject(Command):
    """Read a project and publish its resources as documents."""

    queues = (topology.EXPORTER,)

    migration = migration_id()
    attempt = number("number of the try, from 1", required=True)
    source = nested_place("the project to read", required=True)
    selection = nested_selection()


class DocumentsExported(Fact):
    """Some of the documents of an export."""

    key = "documents.exported"

    migration = migration_id()
    attempt = number("try of the export", required=True)
    part = number("number of this part, from 1", required=True)
    documents = DocumentsField()


class StayingSchema(Schema):
    """Objects of a project that don't cross, alike in type and reason."""

    class Meta:
        unknown = EXCLUDE

    type = need("what people call them")
    number = fields.Integer(allow_none=True, metadata={"description": "how many there are; null: nobody knows"})
    names = fields.List(fields.String(), metadata={"description": "the names of some of them, or their ids"})
    reason = need("why they stay")


class ExportEnded(Fact):
    """An export is over: how many parts it had, or why it failed."""

    key = "export.ended"
    told = True

    migration = migration_id()
    migration_name = called()
    labels = labels()
    attempt = number("try of the export", required=True)
    parts = number("how many DocumentsExported there were", required=True)
    outcome = text("how it ended", required=True, validate=validate.OneOf(("done", "failed", "interrupted")))
    retryable = flag("whether another try may succeed", load_default=False)
    reason = text("why it failed", allow_none=True)
    notes = fields.List(
        fields.String(), metadata={"description": "what was left out of what the documents describe, and why"}
    )
    stays_behind = fields.List(
        fields.Nested(StayingSchema), metadata={"description": "what no document describes, by type and reason"}
    )
    seconds = seconds_taken()
