"""What is answered to questions and requests: the ``content`` of an Answer, one schema for each.

A newer coordinator may answer more: who reads an answer ignores what it doesn't know.
"""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields

from .fields import flag, labels, need, number, seconds_taken, text
from .scope import nested_place


class Content(Schema):
    """Base of all."""

    class Meta:
        unknown = EXCLUDE


def _list(of: type[Schema] | fields.Field, description: str) -> fields.List:
    inner = of if isinstance(of, fields.Field) else fields.Nested(of)
    return fields.List(inner, metadata={"description": description})


def _seconds(description: str) -> fields.Float:
    return fields.Float(metadata={"description": description})


class MigrationState(Content):
    """A migration, as it is now."""

    id = need("its id")
    name = text("what people call it", allow_none=True)
    labels = labels()
    phase = need("new, planning, planned, running, done, stuck ...")
    mode = need("run, plan or export")
    paused = flag("whether it asks for nothing new until it's resumed")
    reason = text("why a person is needed", allow_none=True)
    totals = fields.Dict(metadata={"description": "how many steps are in which state"})
    source = nested_place("the project that moves", allow_none=True)
    destination = nested_place("where it goes", allow_none=True)
    created = _seconds("when it was requested, Unix time in seconds")
    changed = _seconds("when it last changed, Unix time in seconds")
    kinds = _list(fields.Dict(), "of each kind: {kind, action, state, outcome, count, seconds}")
    stays_behind = _list(fields.Dict(), "what of the source no document describes: {type, number, names, reason}")
    missing_hosts = text("where a plan would need conversion hosts, and none answers", allow_none=True)


class StepState(Content):
    """A step of a migration, as it is now."""

    key = need("its key")
    action = need("what it does: export, compare, ensure, copy, verify ...")
    kind = text("kind of the resource")
    name = text("name of the resource")
    state = need("waiting, ready, asked, resting, wanting, holding, done, failed, skipped or removed")
    attempt = number("number of its latest try")
    outcome = text("how it ended", allow_none=True)
    source_id = text("id at the source", allow_none=True)
    destination_id = text("id at the destination", allow_none=True)
    reason = text("why it failed, or waits", allow_none=True)
    notes = _list(fields.String(), "what was left out, and why")
    changes = _list(fields.Dict(), "fields that differ: {field, from, to}")
    seconds = seconds_taken()
    done = number("units done: bytes, unless it says otherwise")
    total = number("units in all", allow_none=True)
    rate = fields.Float(allow_none=True, metadata={"description": "bytes a second, while it moves some"})
    group = text("key of the workload that it's a step of, or empty")
    results = fields.Dict(metadata={"description": "what later steps of the same workload need to know"})
    length = number("bytes of the segment that it's about")
    pass_ = number("number of the warm pass that it's about", data_key="pass")
    failing = text("of a workload's own step: why it's given up, while it's being taken back")
    first_asked = _seconds("when a cloud was first asked for this, Unix time in seconds")
    document = fields.Dict(allow_none=True, metadata={"description": "the resource's document, when asked for"})


class Described(Content):
    """The answer to DescribeMigrations: all migrations, or one of them with a page of its steps."""

    migrations = _list(MigrationState, "all, without steps; with `more`, another part follows")
    migration = fields.Nested(MigrationState, metadata={"description": "the one that was asked for"})
    steps = _list(StepState, "its steps, in order; with `more`, another part follows")
    next = text("where a `limit` has ended this: `after` of the question that goes on; absent: that was all")


class HostState(Content):
    """A conversion host, as it is now."""

    id = need("id of its server")
    name = text("what people call it", allow_none=True)
    cloud = need("its cloud")
    project = text("its project; null: the one that the credentials are for", allow_none=True)
    state = need("ready, silent, draining, drained or unfit")
    why = text("why it gets no work", allow_none=True)
    agents = number("agents that answer")
    slots = number("copies that they take part in at once")
    used = number("how many they do now")
    draining = flag("whether it was told to take nothing new")
    version = text("version of its software")
    seen = _seconds("seconds since anything was heard of it")


class Hosts(Content):
    """The answer to DescribeHosts."""

    hosts = _list(HostState, "every host that was heard of within a day")


class WorkerState(Content):
    """A service process, as it is now."""

    service = need("exporter or importer")
    instance = need("which process")
    version = text("version of its software", allow_none=True)
    clouds = fields.List(
        fields.String(), allow_none=True,
        metadata={"description": "clouds that it has credentials for, and this client may touch; null: not known"},
    )  # fmt: skip
    seen = _seconds("seconds since anything was heard of it")


class Workers(Content):
    """The answer to DescribeWorkers."""

    workers = _list(WorkerState, "every process that was heard of in the last two minutes")
    coordinator = text("version of the coordinator that answers")
    parked = number(
        "messages that nobody could act on, as of the last minute; null: not known, or not this client's to know",
        allow_none=True,
    )  # fmt: skip


class DeadLetter(Content):
    """A message that nobody could act on."""

    id = need("what it's told apart by: a hash of queue, id and body")
    message_id = text("its own id, as its sender has said it")
    queue = text("the queue that it was found on")
    type = text("type of the message, as far as it can be read", allow_none=True)
    migration = text("id of the migration that it's about, if any", allow_none=True)
    reason = text("why it's parked, in a word", allow_none=True)
    error = text("what went wrong", allow_none=True)
    attempts = number("how often it was tried")


class DeadLetters(Content):
    """The answer to DescribeDeadLetters."""

    letters = _list(DeadLetter, "the oldest, at most 500, and a fitting number of bytes")
    number = number("how many there are in all")


class Settled(Content):
    """The answer to ControlDeadLetters."""

    done = _list(fields.String(), "ids of those that were put back, or dropped")
    stay = fields.Dict(metadata={"description": "of each that stays parked, why: {id: why}"})
    missing = _list(fields.String(), "ids that none of the oldest 500 has: somebody else may have settled them")


class CheckedCloud(Content):
    """The answer to CheckCloud: what the credentials are, and allow."""

    cloud = need("the name in clouds.yaml")
    auth_url = text("where Keystone is", allow_none=True)
    region = text("the region", allow_none=True)
    user = text("name of the user", allow_none=True)
    user_id = text("id of the user", allow_none=True)
    user_domain = text("name of the user's domain", allow_none=True)
    user_domain_id = text("id of the user's domain", allow_none=True)
    project = text("name of the project", allow_none=True)
    project_id = text("id of the project", allow_none=True)
    project_domain = text("name of the project's domain", allow_none=True)
    project_domain_id = text("id of the project's domain", allow_none=True)
    application_credential_id = text("id of the application credential, where it's one", allow_none=True)
    roles = _list(fields.String(), "the user's roles in the project")
    services = _list(fields.String(), "types of the services in the catalogue")


class Forgotten(Content):
    """The answer to ForgetMigrations."""

    forgotten = _list(fields.String(), "ids of those that are forgotten")
    kept = fields.Dict(metadata={"description": "of each other one, why it stays: {id: why}"})


class Taken(Content):
    """The answer to a request with a ``reply_to``: it was taken."""

    migration = text("id of the migration that it's about")
    host = text("id of the host that it's about")
