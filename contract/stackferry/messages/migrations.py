"""A migration as its owner sees it: asked for, fed with documents, controlled, and told about."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from .. import topology
from ..mapping import invalid
from ..phases import ACTIONS, PHASES
from ..resources.migration_params import SERVER, wrong_choices
from .answers import Forgotten, Taken
from .document import DocumentsField
from .fields import TextUUID, answer_key, called, flag, labels, migration_id, need, number, text
from .message import Command, Event
from .scope import nested_place, nested_selection

MODES = ("run", "plan", "export")


class RequestMigration(Command):
    """Move a project, or what is selected of it, from one cloud to another."""

    queues = (topology.COORDINATOR,)
    answer = Taken

    reply_to = answer_key(required=False)
    migration = migration_id()
    name = called()
    labels = labels()
    source = nested_place("the project to move; absent: documents are submitted", allow_none=True)
    destination = nested_place("where it goes; absent in mode `export`", allow_none=True)
    mode = text("run, plan (write nothing) or export", load_default="run", validate=validate.OneOf(MODES))
    selection = nested_selection()
    image_blobs = text(
        "folder, as the services see it, for payloads of images: an export writes them, submitted documents use them",
        allow_none=True,
        validate=validate.Regexp(r"/", error="an absolute path is needed"),
    )
    migration_params = fields.Dict(
        keys=fields.String(),
        metadata={"description": "what all servers' `_migration_params` say instead of their own: mode, cutover ..."},
    )
    volumes_at_once = number(
        "volumes of this migration on the conversion hosts at the same time, at most; absent: as they have room",
        validate=validate.Range(1),
    )
    servers_at_once = number(
        "servers without a disk to copy that are stopped, and not yet made, at the same time, at most; absent: 8",
        validate=validate.Range(1),
    )
    bandwidth = number(
        "bytes a second that all its volumes together are sent with, at most; absent: as their agents allow",
        validate=validate.Range(1),
    )
    mapping = fields.Dict(
        allow_none=True,
        metadata={"description": "what is called otherwise at the destination: {kind: {name: name there}}; of flavors, "
                  "volume_types, availability_zones, external networks, images, keypairs"},
    )  # fmt: skip
    prune = flag(
        "security groups that are there already lose Neutron's own rules where the submitted documents hold rules of "
        "theirs, but not these; without it only where the documents were exported with their ids",
    )
    digest = text("of the documents, by whoever submits them: the same id with another one is another request")
    parts = number("how many SubmitDocuments belong to this request", validate=validate.Range(0, 100_000))

    @validates_schema
    def _sides(self, data: dict[str, Any], **_: Any) -> None:
        errors: dict[str, Any] = {}
        if not data.get("source") and not data.get("parts"):
            errors["source"] = ["name a source cloud, or submit documents and say in how many parts"]
        if not data.get("destination") and data.get("mode") != "export":
            errors["destination"] = ["name the destination cloud"]
        if data.get("mode") == "export" and not data.get("source"):
            errors["source"] = ["an export needs a source cloud"]
        if data.get("image_blobs") and data.get("source") and data.get("mode") != "export":
            errors["image_blobs"] = ["payloads come straight from the source cloud; leave it out"]
        known = {param.name for param in SERVER}
        said = data.get("migration_params") or {}
        wrong = {name: "there is no such parameter" for name in said if name not in known}
        if wrong or (wrong := dict(wrong_choices(SERVER, said))):
            errors["migration_params"] = wrong
        if data.get("mapping") and data.get("mode") == "export":
            errors["mapping"] = ["an export says what the source calls things; leave it out"]
        errors |= invalid(data.get("mapping") or {})
        if errors:
            raise ValidationError(errors)


class SubmitDocuments(Command):
    """One part of the documents of a migration that doesn't read a source cloud."""

    queues = (topology.COORDINATOR,)
    answer = Taken

    reply_to = answer_key(required=False)
    migration = migration_id()
    part = number("number of this part, from 1", required=True, validate=validate.Range(1))
    documents = DocumentsField()


class ControlMigration(Command):
    """Start, pause, resume, cancel, retry or undo a migration; or cut over its warm servers."""

    queues = (topology.COORDINATOR,)
    answer = Taken

    reply_to = answer_key(required=False)
    migration = migration_id()
    action = text("what to do", required=True, validate=validate.OneOf(ACTIONS))
    servers = fields.List(
        fields.String(), metadata={"description": "cutover: only these servers, by name or id; absent: all"}
    )


class CleanUpSource(Command):
    """Delete at the source what a migration that is done has moved and verified; nothing else ever deletes there."""

    queues = (topology.COORDINATOR,)
    answer = Taken

    reply_to = answer_key(required=False)
    migration = migration_id()
    workloads = fields.List(
        need("server/<id> or volume/<id>"), required=True, validate=validate.Length(1, 10_000),
        metadata={"description": "keys of the workloads: server/<id> or volume/<id>, with ids at the source"},
    )  # fmt: skip


class ForgetMigrations(Command):
    """Forget migrations that are over, with all that is remembered of them: they can't be undone or shown afterwards.

    The answer to ``reply_to`` says which were forgotten, and of each other one why it stays. What became of a source's
    resources at their destination isn't forgotten: a later migration finds them.
    """

    queues = (topology.COORDINATOR,)
    answer = Forgotten

    reply_to = answer_key()
    migrations = fields.List(
        TextUUID(), required=True, validate=validate.Length(1, 10_000), metadata={"description": "their ids"}
    )


class RequestRefused(Event):
    """A request changed nothing: it makes no sense, comes at the wrong time, or its sender may not ask for it."""

    request = need("id of the message")
    name = text("what was asked for, such as `control-migration`", allow_none=True)
    migration = TextUUID(allow_none=True, metadata={"description": "the migration that it was about, if any"})
    sender = text("the broker's user who asked", allow_none=True)
    reason = text("which field is wrong, and what is expected", required=True)


class MigrationChanged(Event):
    """A migration entered another phase, was paused or resumed."""

    migration = migration_id()
    migration_name = called()
    labels = labels()
    phase = text("the phase that it's in", required=True, validate=validate.OneOf(PHASES))
    was = text("the phase before", allow_none=True)
    paused = flag("whether it asks for nothing new until it's resumed", load_default=False)
    reason = text("why, when a person is needed", allow_none=True)
    totals = fields.Dict(metadata={"description": "how many steps are in which state"}, load_default=dict)
