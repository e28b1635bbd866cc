"""What machines read about the bus: a JSON Schema of each message, and AsyncAPI documents of the exchanges."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema
from stackferry import __version__, topology
from stackferry.messages import REGISTRY, Answer, Command, Event, Fact, Message

#: an example of each message, with every field
EXAMPLES = Path(__file__).parents[1] / "tests" / "contract" / "golden"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
CONTENT_TYPE = "application/cloudevents+json"
VERSION = {"bindingVersion": "0.3.0"}
ANSWERS = "answers"


def is_request(message: type[Message]) -> bool:
    """Whether clients send it."""
    return issubclass(message, Command) and message.queues[0].asked


def is_told(message: type[Message]) -> bool:
    """Whether it's heard on ``stackferry.events``."""
    return issubclass(message, Event) or (issubclass(message, Fact) and message.told)


SECTIONS: tuple[tuple[str, str, Callable[[type[Message]], bool]], ...] = (
    ("Requests", "Clients send them to the exchange `stackferry.requests`.", is_request),
    ("Answers", "They come from the exchange `stackferry.replies`.", lambda message: message is Answer),
    ("Events", "The coordinator tells them on the exchange `stackferry.events`, besides some of the reports: "
     "`step-ended`,\n`step-progressed` and `export-ended`.", lambda message: issubclass(message, Event)),
    ("Reports", "Workers tell them to the coordinator, on the exchange `stackferry.facts`. They are internal: no client "
     "hears them.", lambda message: issubclass(message, Fact) and message is not Answer),
    ("Commands", "The coordinator alone sends them, to the exchange `stackferry.commands`. They are internal.",
     lambda message: issubclass(message, Command) and not is_request(message)),
)  # fmt: skip


def written(content: Any) -> str:
    """A document, as its file has it."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


class _Schemas:
    """JSON Schemas of marshmallow's: those of nested ones are gathered on the way."""

    def __init__(self) -> None:
        self.spec = APISpec("Stackferry", __version__, "3.1.0", plugins=[MarshmallowPlugin()])
        self.converter: Any = self.spec.plugins[0].converter  # type: ignore[attr-defined]

    def of(self, schema: type[Schema]) -> dict[str, Any]:
        found: dict[str, Any] = self.converter.schema2jsonschema(schema())
        return found

    @property
    def nested(self) -> dict[str, Any]:
        found: dict[str, Any] = self.spec.to_dict().get("components", {}).get("schemas", {})
        return found


def schemas() -> dict[str, Any]:
    """Type of a message → JSON Schema of its CloudEvent. Those of a command's answers are beside it, as ``$defs``."""
    found = {}
    for type_, message in sorted(REGISTRY.items()):
        gathered = _Schemas()
        event = _event(type_, gathered.of(message))
        answer = getattr(message, "answer", None)
        own = {"Answer": gathered.of(answer)} if answer else {}
        document = {
            "$schema": DIALECT,
            "$id": f"urn:stackferry:{type_}",
            "title": type_,
            "description": (message.__doc__ or "").splitlines()[0],
            **event,
            "$defs": {**gathered.nested, **own},
        }
        found[type_] = _pointing(document, "#/$defs/")
    return found


def _pointing(document: Any, where: str) -> Any:
    return json.loads(json.dumps(document).replace("#/components/schemas/", where))


def asyncapi(public: bool) -> dict[str, Any]:
    """An AsyncAPI 3.0 document with AMQP bindings 0.3.0.

    The public one is what an integrator sends and hears; the other one is what services say to each other.
    """
    gathered = _Schemas()
    document: dict[str, Any] = {"channels": {}, "operations": {}, "messages": {}}
    for type_, message in sorted(REGISTRY.items()):
        if (is_request(message) or is_told(message)) is not public or message is Answer:
            continue
        name = message.called
        document["messages"][name] = _message(message, type_, gathered.of(message))
        for channel, about in _channels(message, public):
            document["channels"].setdefault(channel, {**about, "messages": {}})["messages"][name] = {
                "$ref": f"#/components/messages/{name}"
            }
            document["operations"][f"{name}-{channel}"] = _operation(message, name, channel)
    for name, content in _answers(public):
        data = gathered.of(Answer)
        data["properties"]["content"] = gathered.of(content)
        document["messages"][name] = _message(Answer, Answer.type, data)
        document["channels"].setdefault(ANSWERS, _answers_channel())["messages"][name] = {
            "$ref": f"#/components/messages/{name}"
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Stackferry" if public else "Stackferry, inside",
            "version": __version__,
            "description": "What clients ask Stackferry on AMQP 0-9-1, and what they hear."
            if public
            else "What Stackferry's services say to each other. It may change with each version.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "rabbitmq": {
                "host": "127.0.0.1:5672",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "RabbitMQ 3.10 to 4.x; amqps with TLS",
                "security": [{"$ref": "#/components/securitySchemes/user"}],
            }
        },
        "channels": document["channels"],
        "operations": document["operations"],
        "components": {
            "messages": document["messages"],
            "schemas": gathered.nested,
            "securitySchemes": {"user": {"type": "userPassword", "description": "a user of the broker"}},
            "correlationIds": {
                "request": {
                    "description": "the id of the request that all this follows from, or its own correlation id",
                    "location": "$message.payload#/correlationid",
                }
            },
        },
    }


def _answers(public: bool) -> list[tuple[str, type[Schema]]]:
    """(name of the message, schema of its content) of each answer to what is public."""
    if not public:
        return []
    found = [message for message in REGISTRY.values() if is_request(message)]
    return sorted((f"answer-to-{message.called}", message.answer) for message in found if message.answer)  # type: ignore[attr-defined]


def _answers_channel() -> dict[str, Any]:
    named = {"name": topology.REPLIES.name, "type": "direct", "durable": True}
    return {
        "address": None,
        "description": "The routing key is the `reply_to` of the question; bind a queue of your own to it.",
        "messages": {},
        "bindings": {"amqp": {"is": "routingKey", "exchange": named, **VERSION}},
    }


def _message(message: type[Message], type_: str, data: dict[str, Any]) -> dict[str, Any]:
    example = json.loads((EXAMPLES / f"{type_}.json").read_text("utf-8"))
    return {
        "name": type_,
        "summary": (message.__doc__ or "").splitlines()[0],
        "contentType": CONTENT_TYPE,
        "correlationId": {"$ref": "#/components/correlationIds/request"},
        "payload": _event(type_, data),
        **({"examples": [{"name": message.called, "payload": example}]} if message is not Answer else {}),
    }


def _channels(message: type[Message], public: bool) -> list[tuple[str, dict[str, Any]]]:
    if issubclass(message, Command):
        return [
            (
                queue.name.replace(".", "-").replace("{", "").replace("}", ""),
                {"address": queue.name, **_parameters(queue.name), "bindings": {"amqp": _queue(queue.name)}},
            )
            for queue in message.queues
        ]
    assert issubclass(message, Fact | Event)
    if public:
        address = f"{{source}}.{{destination}}.{{migration}}.{message.called}"
        exchange, name = topology.EVENTS, message.called
    else:
        assert issubclass(message, Fact)
        address, exchange, name = message.key, topology.FACTS, message.key.replace(".", "-")
    named = {"name": exchange.name, "type": exchange.type, "durable": True}
    binding = {"is": "routingKey", "exchange": named, **VERSION}
    return [(name, {"address": address, **_parameters(address), "bindings": {"amqp": binding}})]


PARAMETERS = {
    "source": "where it comes from: a cloud, with /project where the migration names one; - for none",
    "destination": "where it goes, likewise",
    "migration": "id of the migration, or -",
    "host": "id of the conversion host's server",
}


def _parameters(address: str) -> dict[str, Any]:
    found = {name: {"description": said} for name, said in PARAMETERS.items() if f"{{{name}}}" in address}
    return {"parameters": found} if found else {}


def _queue(name: str) -> dict[str, Any]:
    return {"is": "queue", "queue": {"name": name, "durable": True}, **VERSION}


def _operation(message: type[Message], name: str, channel: str) -> dict[str, Any]:
    """As a client does it: it sends requests, and receives events. Of the internal ones, as the coordinator does."""
    operation: dict[str, Any] = {
        "action": "send" if issubclass(message, Command) else "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"}],
    }
    if is_request(message) and getattr(message, "answer", None):
        operation["reply"] = {
            "address": {"location": "$message.payload#/data/reply_to"},
            "channel": {"$ref": f"#/channels/{ANSWERS}"},
            "messages": [{"$ref": f"#/channels/{ANSWERS}/messages/answer-to-{name}"}],
        }
    return operation


def _event(type_: str, payload: dict[str, Any]) -> dict[str, Any]:
    """A CloudEvent whose data is the message."""
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "minLength": 1},
            "source": {"type": "string", "minLength": 1},
            "type": {"const": type_},
            "subject": {"type": "string"},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "correlationid": {"type": "string"},
            "causationid": {"type": "string"},
            "attempt": {"type": "integer"},
            "traceparent": {"type": "string"},
            "data": payload,
        },
    }
