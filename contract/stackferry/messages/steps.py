"""The tries of a step, whatever it does: claimed, under way, over."""

from __future__ import annotations

from marshmallow import fields, validate

from .. import topology
from .fields import answer_key, called, flag, labels, migration_id, need, number, seconds_taken, text
from .message import Event, Fact

OUTCOMES = (
    "created",
    "updated",
    "unchanged",
    "removed",
    "restored",
    "differs",
    "conflict",
    "missing",
    "failed",
    "interrupted",
    "pending",
    "done",
)
#: those after which a step has what it's for
GOOD = ("created", "updated", "unchanged", "removed", "restored", "done")


class StepFields:
    """What names a try of a step."""

    migration = migration_id()
    step = need("key of the step")
    attempt = number("number of the try, from 1", required=True, validate=validate.Range(1))


class StepClaimed(StepFields, Fact):
    """A delivery of a command wants to work on its try; the answer ({granted}) goes to ``reply_to``."""

    key = "step.claimed"
    queues = (topology.COORDINATOR_CLAIMS,)

    token = need("what tells this delivery from any other")
    again = flag("the broker delivered this command before", required=True)
    reply_to = answer_key()


class StepBegan(StepFields, Event):
    """A worker works on a try of a step."""

    migration_name = called()
    labels = labels()


class StepProgressed(StepFields, Fact):
    """A long step is alive: so much of it is done. It renews the try's lease."""

    key = "step.progressed"
    told = True

    migration_name = called()
    labels = labels()
    done = number("units done", required=True)
    total = number("units in all, when known", allow_none=True)
    unit = text("what is counted", load_default="bytes")


class StepEnded(StepFields, Fact):
    """A try of a step is over."""

    key = "step.ended"
    told = True

    migration_name = called()
    labels = labels()
    outcome = text("how it ended", required=True, validate=validate.OneOf(OUTCOMES))
    kind = text("kind of the resource", allow_none=True)
    name = text("name of the resource", allow_none=True)
    destination_id = text("id at the destination", allow_none=True)
    also_made = fields.List(
        fields.String(), load_default=list, metadata={"description": "ids that lost tries made besides: surplus"}
    )
    changes = fields.List(
        fields.Dict(), metadata={"description": "fields that differ: {field, from, to}"}, load_default=list
    )
    replaces = fields.Dict(
        load_default=dict,
        metadata={
            "description": "with outcome differs: what the update would replace, {attribute: [before, afterwards]}"
        },
    )
    notes = fields.List(fields.String(), metadata={"description": "what was left out, and why"}, load_default=list)
    results = fields.Dict(
        load_default=dict, metadata={"description": "what later steps of the same workload need to know"}
    )
    payload_missing = flag("the resource is there, and its bytes are still to come", load_default=False)
    reason = text("why, when it failed", allow_none=True)
    retryable = flag("whether another try may succeed", load_default=False)
    answered = flag(
        "the cloud is there, and fails at this: a few tries tell as much as an hour of them", load_default=False
    )
    seconds = seconds_taken()
