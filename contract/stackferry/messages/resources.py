"""What an importer is asked to do with one resource of the destination."""

from __future__ import annotations

from marshmallow import fields

from .. import topology
from .document import DocumentField
from .fields import need
from .message import Command
from .scope import nested_place
from .steps import StepFields


class _ResourceCommand(StepFields):
    destination = nested_place("the project to write to", required=True)
    kind = need("kind of the resource")
    document = DocumentField(required=True)
    hints = fields.Dict(
        load_default=dict,
        metadata={"description": "what only the coordinator knows: see stackferry.resources.hints"},
    )


class EnsureResource(_ResourceCommand, Command):
    """Make the destination match one document."""

    queues = (topology.IMPORTER,)


class CompareResource(_ResourceCommand, Command):
    """Say what EnsureResource would do, without writing."""

    queues = (topology.IMPORTER,)


class FinishResource(_ResourceCommand, Command):
    """Set the fields that need other resources first (a router's static routes)."""

    queues = (topology.IMPORTER,)


class RemoveResource(_ResourceCommand, Command):
    """Undo: delete what this migration created (``hints.destination_id`` names it), or bring back what it replaced."""

    queues = (topology.IMPORTER,)
