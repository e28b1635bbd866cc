"""Questions that somebody waits for an answer to, and the answer."""

from __future__ import annotations

from marshmallow import fields, validate

from .. import topology
from ..phases import PHASES
from .answers import CheckedCloud, Described
from .fields import TextUUID, answer_key, flag, labels, number, text, words
from .message import Command, Fact
from .scope import nested_place


class DescribeMigrations(Command):
    """Ask for the state of one migration, or of all; the answer is an Answer to ``reply_to``."""

    queues = (topology.COORDINATOR,)
    answer = Described

    reply_to = answer_key()
    migration = TextUUID(allow_none=True, metadata={"description": "one migration; absent: all, without steps"})
    steps = flag("with its steps", load_default=True)
    limit = number(
        "so many steps, or migrations, at most; `next` of the answer leads on", validate=validate.Range(1, 10_000)
    )
    after = text("what follows this: `next` of an answer before", allow_none=True, validate=validate.Length(1, 512))
    newest = flag("of migrations the newest first")
    phases = words("only migrations in these phases", PHASES)
    labels = labels()
    states = words("only steps in these states")
    kinds = words("only steps of these kinds")
    documents = flag("with each step's document")


class CheckCloud(Command):
    """Try the credentials of a cloud and say what they allow."""

    queues = (topology.COORDINATOR,)
    answer = CheckedCloud

    place = nested_place("the cloud to try", required=True)
    side = text(
        "as what: the exporter reads a source, the importer writes to a destination", load_default="source",
        validate=validate.OneOf(("source", "destination")),
    )  # fmt: skip
    reply_to = answer_key()


class TryCloud(Command):
    """Try the credentials of a cloud for whoever has asked the coordinator (CheckCloud)."""

    queues = (topology.EXPORTER_CHECKS, topology.IMPORTER_CHECKS)
    answer = CheckedCloud

    place = nested_place("the cloud to try", required=True)
    reply_to = answer_key()


class Answer(Fact):
    """The answer to a question; published to stackferry.replies under the question's ``reply_to``."""

    key = "answer"

    error = text("why there is no answer", allow_none=True)
    content = fields.Dict(load_default=dict, metadata={"description": "the answer"})
    more = flag("another part follows", load_default=False)
    series = text("which parts belong together: a question that was delivered twice is answered twice", allow_none=True)
