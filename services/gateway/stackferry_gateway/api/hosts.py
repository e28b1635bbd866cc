"""Conversion hosts, the services' processes, and the credentials of clouds."""

from __future__ import annotations

from stackferry.messages import CheckCloud, ControlHost, DescribeHosts, DescribeWorkers
from stackferry.roles import Places

from ..calls import Call, Reply, Row
from ..problems import Problem


def index(call: Call) -> Reply:
    """List the conversion hosts: how full each is, whether it gets work, and why not."""
    return Reply({"items": _seen(call)})


def act(call: Call) -> Reply:
    """Tell a conversion host to take nothing new, to go on, or to be forgotten."""
    host, action = call.path["host"], call.body["action"]
    known = next((one for one in _seen(call) if one["id"] == host), None)
    if known is None:
        raise Problem(404, f"no conversion host {host} was heard of", help="stackferry hosts list")
    call.allow(ControlHost, {"action": action}, Places((known,)))
    call.ask(ControlHost, {"host": host, "action": action})
    found = next((one for one in _seen(call) if one["id"] == host), None)
    return Reply(found, 202) if found else Reply(None, 204)


def _seen(call: Call) -> list[Row]:
    (answer,) = call.ask(DescribeHosts, {})
    return [host for host in answer["hosts"] if call.person.client.may_touch([host])]


def workers(call: Call) -> Reply:
    """List the exporters and importers that are there: version, and which clouds each has credentials for."""
    (answer,) = call.ask(DescribeWorkers, {})
    parked = None if call.person.client.is_limited else answer.get("parked")
    items = [_of_theirs(worker, call) for worker in answer["workers"]]
    return Reply({"items": items, "coordinator": answer.get("coordinator"), "parked": parked})


def _of_theirs(worker: Row, call: Call) -> Row:
    """A worker, with those of its clouds that this person may know of."""
    if worker["clouds"] is None:
        return worker
    return {**worker, "clouds": [one for one in worker["clouds"] if call.person.client.may_touch([{"cloud": one}])]}


def check(call: Call) -> Reply:
    """Try the credentials that the exporters, or the importers, have for a cloud."""
    place = {"cloud": call.path["cloud"]}
    if project := call.query.get("project"):
        place["project"] = project
    call.allow(CheckCloud, {}, Places((place,)))
    (answer,) = call.ask(CheckCloud, {"place": place, "side": call.query["side"]})
    return Reply(answer)
