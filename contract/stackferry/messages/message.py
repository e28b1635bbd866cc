"""What every message is: a schema with a type and a place to go. Commands ask, facts report, events tell.

A command goes to one queue and refuses unknown fields, since a typing error in a migration request must not
pass in silence. A fact is a worker's word to the coordinator (``key`` is its routing key); an event is the
coordinator's word to whoever listens. Both ignore unknown fields, so that a newer sender doesn't break an older
listener. A fact that is ``told`` is told as an event, too, once it has counted.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, ClassVar

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError

from .. import topology
from ..envelope import Envelope
from ..errors import InvalidMessage

REGISTRY: dict[str, type[Message]] = {}


class Message(Schema):
    """Base of all messages; ``type`` is ``stackferry.<name>.v<version>``."""

    type: ClassVar[str]
    called: ClassVar[str]  # its name: `migration-changed`
    schema_version: ClassVar[int] = 1
    queues: ClassVar[tuple[topology.WorkQueue, ...]] = ()  # of the service that acts on it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__ in ("Command", "Fact", "Event"):
            return
        cls.called = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        cls.type = f"stackferry.{cls.called}.v{cls.schema_version}"
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
    """Something to do, for the one service that reads ``queues``; ``answer`` says what is answered, if anything."""

    answer: ClassVar[type[Schema] | None] = None

    class Meta:
        unknown = RAISE


class Fact(Message):
    """Something that happened; ``key`` is the routing key on ``stackferry.facts``."""

    key: ClassVar[str]
    queues: ClassVar[tuple[topology.WorkQueue, ...]] = (topology.COORDINATOR_FACTS,)
    told: ClassVar[bool] = False  # as an event, too

    class Meta:
        unknown = EXCLUDE


class Event(Message):
    """What the coordinator tells everybody, on ``stackferry.events``."""

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
