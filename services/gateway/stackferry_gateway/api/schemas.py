"""Bodies, queries and answers of the API that are no messages of the bus."""

from __future__ import annotations

from marshmallow import EXCLUDE, RAISE, Schema, fields, validate
from stackferry.messages import LETTER_ACTIONS, RequestMigration
from stackferry.messages.answers import DeadLetter, HostState, MigrationState, StepState, WorkerState
from stackferry.messages.document import DocumentField
from stackferry.messages.fields import need, number, text
from stackferry.phases import ACTIONS, PHASES

HOST_ACTIONS = ("drain", "resume", "forget")
MOST = 1000  # items of a page


def _moment(description: str) -> fields.String:
    return fields.String(metadata={"description": f"{description}; RFC 3339", "format": "date-time"})


class _Strict(Schema):
    class Meta:
        unknown = RAISE


class _Loose(Schema):
    class Meta:
        unknown = EXCLUDE


class Query(_Strict):
    """What a list can be asked for: how much of it, and where to go on."""

    limit = fields.Integer(
        load_default=100, validate=validate.Range(1, MOST), metadata={"description": "items of a page, at most"}
    )
    cursor = text("`next` of the page before", validate=validate.Length(1, 1024))


def _some(of: fields.Field, description: str) -> fields.List:
    return fields.List(of, metadata={"description": f"{description}; may be repeated"}, load_default=list)


class MigrationsQuery(Query):
    """Which migrations."""

    phase = _some(fields.String(validate=validate.OneOf(PHASES)), "only those in this phase")
    label = _some(
        fields.String(validate=validate.Regexp(r"[^=]+=", error="say key=value")), "only those with this label"
    )
    newest = fields.Boolean(load_default=False, metadata={"description": "the newest first"})


class StepsQuery(Query):
    """Which steps."""

    state = _some(fields.String(validate=validate.Length(1, 64)), "only steps in this state")
    kind = _some(fields.String(validate=validate.Length(1, 64)), "only steps of this kind")


class FormatQuery(_Strict):
    """In which form."""

    format = text("json or csv", load_default="json", validate=validate.OneOf(("json", "csv")))


class ReportQuery(_Strict):
    """In which form."""

    format = text("json, csv or html", load_default="json", validate=validate.OneOf(("json", "csv", "html")))


class CheckQuery(_Strict):
    """As what a cloud is tried."""

    side = text("source or destination", load_default="source", validate=validate.OneOf(("source", "destination")))
    project = text("name of the project; absent: the one that the credentials are for")


class EventsQuery(_Strict):
    """Which events, and from where on."""

    after = fields.Integer(
        validate=validate.Range(-1),
        metadata={"description": "number of the event after which to begin; -1: with the oldest that is kept. "
                  "`Last-Event-ID` counts before it"},
    )  # fmt: skip
    progress = fields.Boolean(load_default=True, metadata={"description": "with the progress of steps"})


Fields = {
    name: field
    for name, field in RequestMigration._declared_fields.items()
    if name not in ("migration", "reply_to", "parts", "digest")
}


Documents = fields.List(DocumentField(), metadata={"description": "resources to import, instead of reading a source"})


class NewMigration(Schema.from_dict({**Fields, "documents": Documents})):  # type: ignore[misc]
    """A migration to request: as RequestMigration, with the documents to import, if there are any, in the same body."""

    class Meta:
        unknown = RAISE


class Action(_Strict):
    """What to tell a migration."""

    action = text("what to do", required=True, validate=validate.OneOf(ACTIONS))
    servers = fields.List(
        fields.String(), validate=validate.Length(1, 10_000),
        metadata={"description": "cutover: only these servers, by name or id; absent: all"},
    )  # fmt: skip


class CleanUp(_Strict):
    """What to delete at the source, said twice: by keys, and by the names that people know."""

    workloads = fields.List(
        need("server/<id> or volume/<id>"), required=True, validate=validate.Length(1, 10_000),
        metadata={"description": "keys of the workloads, with ids at the source"},
    )  # fmt: skip
    names = fields.List(
        fields.String(), required=True,
        metadata={"description": "their names, in the same order: whoever asks knows what is deleted"},
    )  # fmt: skip


class HostAction(_Strict):
    """What to tell a conversion host."""

    action = text("what to do", required=True, validate=validate.OneOf(HOST_ACTIONS))


class DeadLetterAction(_Strict):
    """What to do with messages that nobody could act on."""

    ids = fields.List(
        fields.String(validate=validate.Length(1, 255)), required=True, validate=validate.Length(1, 500),
        metadata={"description": "their ids, as the list has them"},
    )  # fmt: skip
    action = text("what to do", required=True, validate=validate.OneOf(LETTER_ACTIONS))


class Migration(MigrationState):
    """A migration, as it is now."""

    created = _moment("when it was requested")  # type: ignore[assignment]
    changed = _moment("when it last changed")  # type: ignore[assignment]


class Step(StepState):
    """A step of a migration, as it is now."""

    first_asked = _moment("when a cloud was first asked for this")  # type: ignore[assignment]


class _Page(_Loose):
    next = text("cursor of the next page; null: this was the last one", allow_none=True)


class MigrationPage(_Page):
    """A page of migrations, the oldest first."""

    items = fields.List(fields.Nested(Migration))


class StepPage(_Page):
    """A page of steps, in order."""

    items = fields.List(fields.Nested(Step))


class Workloads(_Loose):
    """Where the servers and volumes of a migration are."""

    items = fields.List(fields.Dict(), metadata={"description": "one a server, or volume that is attached nowhere"})
    progress = fields.Dict(metadata={"description": "all of them as one"})


class Plan(_Page):
    """What a plan would do, resource by resource; what is unchanged is left out, unless there's something to note."""

    items = fields.List(fields.Nested(Step))


class Report(_Loose):
    """What became of a migration."""

    migration = fields.Nested(Migration)
    kinds = fields.List(fields.Dict(), metadata={"description": "a row a kind, and one for all"})
    attention = fields.List(fields.Nested(Step), metadata={"description": "what somebody must look at"})
    workloads = fields.List(fields.Dict())
    progress = fields.Dict()


class IdMap(_Loose):
    """What became of which id of the source."""

    items = fields.List(fields.Dict(), metadata={"description": "{kind, name, source_id, destination_id}"})


class HostList(_Loose):
    """Every conversion host."""

    items = fields.List(fields.Nested(HostState))


class WorkerList(_Loose):
    """Every exporter and importer."""

    items = fields.List(fields.Nested(WorkerState))
    coordinator = text("version of the coordinator", allow_none=True)
    parked = number("messages that nobody could act on; null: not known, or not this token's to know", allow_none=True)


class DeadLetterList(_Loose):
    """The oldest messages that nobody could act on."""

    items = fields.List(fields.Nested(DeadLetter))
    number = number("how many there are in all")


class Error(_Loose):
    """A field that is wrong."""

    pointer = text("JSON pointer (RFC 6901) to it")
    detail = text("what is wrong with it")


class ProblemDetails(_Loose):
    """Why a request isn't served. Source: RFC 9457."""

    type = text("urn:stackferry:problem:<name>")
    title = text("the sort of problem")
    status = number("the HTTP status")
    detail = text("why, in a sentence")
    errors = fields.List(fields.Nested(Error))
    help = text("the command that helps")
