"""Dead letters: messages that nobody could act on. People ask for them, put them back, or drop them."""

from __future__ import annotations

from marshmallow import fields, validate

from .. import topology
from .answers import DeadLetters, Settled
from .fields import answer_key, text
from .message import Command

#: what can be done with a parked message
LETTER_ACTIONS = ("retry", "drop")


class DescribeDeadLetters(Command):
    """Ask for the oldest messages that nobody could act on; the answer is an Answer to ``reply_to``."""

    queues = (topology.COORDINATOR,)
    answer = DeadLetters

    reply_to = answer_key()


class ControlDeadLetters(Command):
    """Put parked messages back into the queues where they failed (retry), or delete them for good (drop)."""

    queues = (topology.COORDINATOR,)
    answer = Settled

    reply_to = answer_key()
    ids = fields.List(
        fields.String(validate=validate.Length(1, 255)), required=True, validate=validate.Length(1, 500),
        metadata={"description": "ids of those that DescribeDeadLetters has told"},
    )  # fmt: skip
    action = text("what to do", required=True, validate=validate.OneOf(LETTER_ACTIONS))
