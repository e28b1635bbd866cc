"""A request that changes nothing: its sender is told why, at once, and it's parked all the same."""

from __future__ import annotations

import uuid

import pytest
from stackferry import deadletters
from stackferry.client import Client
from stackferry.errors import Refused
from stackferry.messages import ControlMigration, RequestMigration

pytestmark = pytest.mark.clouds


def test_a_control_that_comes_too_late_and_one_of_nothing_are_refused(source, destination, ferry, stack):
    source.connect().network.create_network(name="net")
    migration = ferry.migrate(source.entry, destination.entry)
    assert ferry.wait(migration, timeout=60)["phase"] == "done"
    ferry.control(migration, "pause")
    with pytest.raises(Refused, match="invalid: .*action"):
        ferry.wait_for(migration, "running")
    with Client(stack.uri()) as other:
        other.control(nothing := str(uuid.uuid4()), "start")
        with pytest.raises(Refused, match="there's no such migration"):
            other.hear(nothing, 20) or pytest.fail("nothing was said")
    reasons = {letter["type"]: letter["reason"] for letter in deadletters.browse(stack.node.uri("operator"))}
    assert reasons[ControlMigration.type] == "invalid"


def test_one_id_for_two_requests_is_said_and_the_first_goes_on(source, destination, ferry, stack):
    source.connect().network.create_network(name="net")
    migration = ferry.migrate(source.entry, destination.entry, mode="plan")
    assert ferry.wait(migration, timeout=60)["phase"] == "planned"
    with Client(stack.uri()) as other:
        other.show(migration)
        data = {"migration": migration, "source": {"cloud": source.entry}, "destination": {"cloud": source.entry}}
        other.send(RequestMigration, data)
        with pytest.raises(Refused, match="used for another request"):
            other.hear(migration, 20) or pytest.fail("nothing was said")
    assert ferry.show(migration)["destination"]["cloud"] == destination.entry
