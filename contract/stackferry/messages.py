"""Every message: one class each, with its fields and where it goes. Commands ask, facts tell.

A command goes to one queue and refuses unknown fields, since a typing error in a migration request must not
pass in silence. A fact goes to whoever listens (``key`` is its routing key) and ignores unknown fields, so that
a newer sender doesn't break an older listener. To add a message, add a class: the registry, the documentation
and the AsyncAPI document follow from it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, ClassVar

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate, validates_schema

from . import topology
from .envelope import Envelope
from .errors import InvalidMessage
from .phases import ACTIONS, PHASES
from .selection import invalid_filters, unknown_kinds

REGISTRY: dict[str, type[Message]] = {}

MODES = ("run", "plan", "export")
OUTCOMES = ("created", "updated", "unchanged", "removed", "conflict", "missing", "failed", "interrupted")


class Message(Schema):
    """Base of all messages; ``type`` is ``stackferry.<name>.v<version>``."""

    type: ClassVar[str]
    schema_version: ClassVar[int] = 1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__ in ("Command", "Fact"):
            return
        name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        cls.type = f"stackferry.{name}.v{cls.schema_version}"
        REGISTRY[cls.type] = cls

    @classmethod
    def load_data(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the checked data; raise InvalidMessage naming each wrong field."""
        try:
            loaded: dict[str, Any] = _schema(cls).load(data)
        except ValidationError as error:
            raise InvalidMessage("invalid", error.messages) from None
        return loaded

    @classmethod
    def make(cls, source: str, data: dict[str, Any], cause: Envelope | None = None, **attributes: Any) -> Envelope:
        """Return an envelope with checked *data*; *cause* is the message that this one answers or follows."""
        cls.load_data(data)
        if cause is not None:
            attributes.setdefault("correlationid", cause.correlationid or cause.id)
            attributes.setdefault("causationid", cause.id)
            attributes.setdefault("traceparent", cause.traceparent)
        attributes.setdefault("subject", str(data.get("migration", "")))
        return Envelope(type=cls.type, data=data, source=source, **attributes)


class Command(Message):
    """Something to do, for the one service that reads ``queue``."""

    queues: ClassVar[tuple[topology.WorkQueue, ...]]

    class Meta:
        unknown = RAISE


class Fact(Message):
    """Something that happened; ``key`` is the routing key on ``stackferry.facts``."""

    key: ClassVar[str]
    queues: ClassVar[tuple[topology.WorkQueue, ...]] = (topology.COORDINATOR_FACTS,)

    class Meta:
        unknown = EXCLUDE


@cache
def _schema(cls: type[Message]) -> Message:
    """One instance a class: building a schema costs more than using it."""
    return cls()


def check(envelope: Envelope) -> Envelope:
    """Return *envelope* when its type is known and its data is valid, else raise InvalidMessage."""
    schema = REGISTRY.get(envelope.type)
    if schema is None:
        raise InvalidMessage("unknown", {"type": f"{envelope.type!r} is no message of this version"})
    schema.load_data(envelope.data)
    return envelope


# -- parts that several messages share -----------------------------------------------------------------------


def _text(description: str, **kwargs: Any) -> fields.String:
    return fields.String(metadata={"description": description}, **kwargs)


def _need(description: str, **kwargs: Any) -> fields.String:
    return _text(description, required=True, validate=validate.Length(1, 512), **kwargs)


def _number(description: str, **kwargs: Any) -> fields.Integer:
    return fields.Integer(strict=True, metadata={"description": description}, **kwargs)


def _flag(description: str, **kwargs: Any) -> fields.Boolean:
    return fields.Boolean(metadata={"description": description}, **kwargs)


def _seconds() -> fields.Float:
    return fields.Float(allow_none=True, metadata={"description": "how many seconds it took"})


def _migration() -> fields.UUID:
    return _TextUUID(required=True, metadata={"description": "id of the migration (UUID)"})


class _TextUUID(fields.UUID):
    """A UUID that is checked, and stays text."""

    def _deserialize(self, *args: Any, **kwargs: Any) -> Any:
        return str(super()._deserialize(*args, **kwargs))


class Place(Schema):
    """One side of a migration: a cloud's name in ``clouds.yaml`` and, when it isn't the cloud's own, a project."""

    class Meta:
        unknown = RAISE

    cloud = _need("name of the cloud in clouds.yaml; never a credential")
    project = _text("name or id of the project; absent: the one that the credentials are for", allow_none=True)


class Selection(Schema):
    """What is to move: kinds, and filters on names as OS Migrate has them."""

    class Meta:
        unknown = RAISE

    kinds = fields.List(fields.String(), metadata={"description": "kinds to move; absent: all"})
    filters = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.Raw()),
        metadata={"description": "per kind, a list of exact names or {regex: <pattern>}; any match keeps"},
    )

    @validates_schema
    def _patterns(self, data: dict[str, Any], **_: Any) -> None:
        if errors := unknown_kinds(data) | invalid_filters(data):
            raise ValidationError(errors)


def _place(description: str, **kwargs: Any) -> fields.Nested:
    return fields.Nested(Place, metadata={"description": description}, **kwargs)


def _selection() -> fields.Nested:
    return fields.Nested(Selection, allow_none=True, metadata={"description": "what of it; absent: everything"})


class DocumentSchema(Schema):
    """A resource as a portable document (OS Migrate's form); keys that we don't know are kept."""

    class Meta:
        unknown = EXCLUDE

    type = _need("type of the resource, such as openstack.network.Network")
    params = fields.Dict(required=True, metadata={"description": "what to create"})
    _info = fields.Dict(metadata={"description": "facts of the source"})
    _migration_params = fields.Dict(metadata={"description": "how to move it"})


class _Documents(fields.List):
    def __init__(self) -> None:
        super().__init__(
            _Document(), required=True, metadata={"description": "documents, as in OS Migrate's `resources`"}
        )


class _Document(fields.Field):
    """A document: checked by DocumentSchema, passed on with all its keys."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("metadata", {"description": "the resource's document"})
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if errors := DocumentSchema().validate(value if isinstance(value, dict) else {"": value}):
            raise ValidationError(errors)
        return value


class _StepFields:
    """What names a try of a step."""

    migration = _migration()
    step = _need("key of the step")
    attempt = _number("number of the try, from 1", required=True, validate=validate.Range(1))


# -- commands to the coordinator -----------------------------------------------------------------------------


class RequestMigration(Command):
    """Move a project, or what is selected of it, from one cloud to another."""

    queues = (topology.COORDINATOR,)

    migration = _migration()
    source = _place("the project to move; absent: documents are submitted", allow_none=True)
    destination = _place("where it goes; absent in mode `export`", allow_none=True)
    mode = _text("run, plan (write nothing) or export", load_default="run", validate=validate.OneOf(MODES))
    selection = _selection()
    parts = _number("how many SubmitDocuments belong to this request", validate=validate.Range(0, 100_000))

    @validates_schema
    def _sides(self, data: dict[str, Any], **_: Any) -> None:
        errors = {}
        if not data.get("source") and not data.get("parts"):
            errors["source"] = ["name a source cloud, or submit documents and say in how many parts"]
        if not data.get("destination") and data.get("mode") != "export":
            errors["destination"] = ["name the destination cloud"]
        if data.get("mode") == "export" and not data.get("source"):
            errors["source"] = ["an export needs a source cloud"]
        if errors:
            raise ValidationError(errors)


class SubmitDocuments(Command):
    """One part of the documents of a migration that doesn't read a source cloud."""

    queues = (topology.COORDINATOR,)

    migration = _migration()
    part = _number("number of this part, from 1", required=True, validate=validate.Range(1))
    documents = _Documents()


class ControlMigration(Command):
    """Start, pause, resume, cancel, retry or undo a migration."""

    queues = (topology.COORDINATOR,)

    migration = _migration()
    action = _text("what to do", required=True, validate=validate.OneOf(ACTIONS))


class DescribeMigrations(Command):
    """Ask for the state of one migration, or of all; the answer is an Answer to ``reply_to``."""

    queues = (topology.COORDINATOR,)

    reply_to = _need("routing key on stackferry.replies that the answer goes to")
    migration = _TextUUID(allow_none=True, metadata={"description": "one migration; absent: all, without steps"})
    after = _text("steps with a key after this one (paging)", allow_none=True)
    documents = _flag("with each step's document")


# -- commands to the workers ---------------------------------------------------------------------------------


class ExportProject(Command):
    """Read a project and publish its resources as documents."""

    queues = (topology.EXPORTER,)

    migration = _migration()
    attempt = _number("number of the try, from 1", required=True)
    source = _place("the project to read", required=True)
    selection = _selection()


class CheckCloud(Command):
    """Try the credentials of a cloud and say what they allow."""

    queues = (topology.EXPORTER, topology.IMPORTER_CHECKS)

    place = _place("the cloud to try", required=True)
    reply_to = _need("routing key on stackferry.replies that the answer goes to")


class _ResourceCommand(_StepFields):
    destination = _place("the project to write to", required=True)
    kind = _need("kind of the resource")
    document = _Document(required=True)
    hints = fields.Dict(
        load_default=dict,
        metadata={"description": "what the coordinator knows: destination_id, claimed ids, look (look afresh)"},
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
    """Delete a resource that this migration created (undo); ``hints.destination_id`` names it."""

    queues = (topology.IMPORTER,)


class OfferImage(_StepFields, Command):
    """Serve the payload of a source image to one of the given importers."""

    queues = (topology.EXPORTER_IMAGES,)

    source = _place("the project that has the image", required=True)
    image = _need("id of the image at the source")
    certificates = fields.List(
        fields.String(), required=True, metadata={"description": "PEM certificates that may fetch it"}
    )


class FetchImage(_StepFields, Command):
    """Stream an offered payload into a queued image of the destination."""

    queues = (topology.IMPORTER_IMAGES,)

    destination = _place("the project that gets the image", required=True)
    image = _need("id of the image at the destination")
    address = _need("host:port of the offer")
    certificate = _text("PEM certificate of the offering side", required=True)
    size = _number("bytes of the payload; absent: unknown", allow_none=True)
    hash_algo = _text("algorithm of hash_value, such as sha512", allow_none=True)
    hash_value = _text("hex digest of the payload at the source", allow_none=True)


# -- facts of the workers ------------------------------------------------------------------------------------


class DocumentsExported(Fact):
    """Some of the documents of an export."""

    key = "documents.exported"

    migration = _migration()
    attempt = _number("try of the export", required=True)
    part = _number("number of this part, from 1", required=True)
    documents = _Documents()


class ExportEnded(Fact):
    """An export is over: how many parts it had, or why it failed."""

    key = "export.ended"

    migration = _migration()
    attempt = _number("try of the export", required=True)
    parts = _number("how many DocumentsExported there were", required=True)
    outcome = _text("how it ended", required=True, validate=validate.OneOf(("done", "failed", "interrupted")))
    retryable = _flag("whether another try may succeed", load_default=False)
    reason = _text("why it failed", allow_none=True)
    notes = fields.List(fields.String(), metadata={"description": "what was left out, and why"})
    seconds = _seconds()


class StepClaimed(_StepFields, Fact):
    """A delivery of a command wants to work on its try; the answer ({granted}) goes to ``reply_to``."""

    key = "step.claimed"
    queues = (topology.COORDINATOR_CLAIMS,)

    token = _need("what tells this delivery from any other")
    again = _flag("the broker delivered this command before", required=True)
    reply_to = _need("routing key on stackferry.replies that the answer goes to")


class StepEnded(_StepFields, Fact):
    """A try of a step is over."""

    key = "step.ended"

    outcome = _text("how it ended", required=True, validate=validate.OneOf(OUTCOMES))
    kind = _text("kind of the resource", allow_none=True)
    name = _text("name of the resource", allow_none=True)
    destination_id = _text("id at the destination", allow_none=True)
    also_made = fields.List(
        fields.String(), load_default=list, metadata={"description": "ids that lost tries made besides: surplus"}
    )
    changes = fields.List(
        fields.Dict(), metadata={"description": "fields that differ: {field, from, to}"}, load_default=list
    )
    notes = fields.List(fields.String(), metadata={"description": "what was left out, and why"}, load_default=list)
    payload_missing = _flag("the resource is there, and its bytes are still to come", load_default=False)
    reason = _text("why, when it failed", allow_none=True)
    retryable = _flag("whether another try may succeed", load_default=False)
    seconds = _seconds()


class StepProgressed(_StepFields, Fact):
    """A long step is alive: so much of it is done. It renews the try's lease."""

    key = "step.progressed"

    done = _number("units done", required=True)
    total = _number("units in all, when known", allow_none=True)
    unit = _text("what is counted", load_default="bytes")


class ImageOffered(_StepFields, Fact):
    """The payload of an image can be fetched."""

    key = "image.offered"

    address = _need("host:port")
    certificate = _text("PEM certificate of the offering side", required=True)
    size = _number("bytes", allow_none=True)
    hash_algo = _text("algorithm of hash_value", allow_none=True)
    hash_value = _text("hex digest at the source", allow_none=True)


class WorkerSeen(Fact):
    """A service process is there; sent at start and every half minute."""

    key = "worker.seen"

    service = _need("exporter, importer, ...")
    instance = _need("host:pid")
    version = _text("version of the software")
    certificate = _text("public certificate (PEM) of its data connections", allow_none=True)
    stopping = _flag("it's about to end: this is the last that is heard of it", load_default=False)


# -- facts of the coordinator --------------------------------------------------------------------------------


class MigrationChanged(Fact):
    """A migration entered another phase, was paused or resumed."""

    key = "migration.changed"

    migration = _migration()
    phase = _text("the phase that it's in", required=True, validate=validate.OneOf(PHASES))
    was = _text("the phase before", allow_none=True)
    paused = _flag("whether it asks for nothing new until it's resumed", load_default=False)
    reason = _text("why, when a person is needed", allow_none=True)
    totals = fields.Dict(metadata={"description": "how many steps are in which state"}, load_default=dict)


class Answer(Fact):
    """The answer to a question; published to stackferry.replies under the question's ``reply_to``."""

    key = "answer"

    error = _text("why there is no answer", allow_none=True)
    content = fields.Dict(load_default=dict, metadata={"description": "the answer"})
    more = _flag("another part follows", load_default=False)
