"""Messages that nobody could act on: for people who may touch everything."""

from __future__ import annotations

from stackferry.messages import ControlDeadLetters, DescribeDeadLetters
from stackferry.roles import EVERYWHERE

from ..calls import Call, Reply


def index(call: Call) -> Reply:
    """List the oldest messages that no service could act on, with the reasons."""
    call.allow(DescribeDeadLetters, {}, EVERYWHERE)
    (answer,) = call.ask(DescribeDeadLetters, {})
    return Reply({"items": answer["letters"], "number": answer["number"]})


def act(call: Call) -> Reply:
    """Put messages back into the queues where they failed, or drop them."""
    call.allow(ControlDeadLetters, call.body, EVERYWHERE)
    (answer,) = call.ask(ControlDeadLetters, call.body)
    return Reply(answer)
