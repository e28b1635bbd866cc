"""Conversion hosts: their agents say that they're there; people ask about them, empty them, and take them back."""

from __future__ import annotations

from marshmallow import validate

from .. import topology
from .answers import Hosts, Taken
from .fields import answer_key, flag, need, number, text
from .message import Command, Fact

#: what can be done with a host
HOST_ACTIONS = ("drain", "resume", "forget")


class AgentSeen(Fact):
    """An agent on a conversion host is there; sent at start and every few seconds."""

    key = "agent.seen"

    host = need("id of the server that it runs on")
    name = text("what people call the host", allow_none=True)
    instance = need("which process: no two that run have the same text")
    cloud = need("name of the host's cloud in clouds.yaml")
    project = text("its project, as migrations name it; absent: the one that the credentials are for", allow_none=True)
    slots = number("copies that it takes part in at once", required=True, validate=validate.Range(1, 1000))
    version = text("version of the software", required=True)
    certificate = text("public certificate (PEM) of its data connections", required=True)
    stopping = flag("it's about to end: this is the last that is heard of it", load_default=False)


class DescribeHosts(Command):
    """Ask for every conversion host and how full it is; the answer is an Answer to ``reply_to``."""

    queues = (topology.COORDINATOR,)
    answer = Hosts

    reply_to = answer_key()


class ControlHost(Command):
    """Give a host nothing new (drain), give it work again (resume), or forget one that is gone (forget)."""

    queues = (topology.COORDINATOR,)
    answer = Taken

    reply_to = answer_key(required=False)
    host = need("id of the host's server")
    action = text("what to do", required=True, validate=validate.OneOf(HOST_ACTIONS))
