"""Whoever gets a command of a try must be listened to: what the simulators check with each command that they send."""

from __future__ import annotations

from stackferry import topology
from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.rules.reactions import MOVING, Do
from stackferry_coordinator.trust import senders


def user_reading(queue: str) -> str:
    """The broker's user who reads a queue."""
    known = next(known for known in (*topology.WORK_QUEUES, topology.HOST) if topology.on(known, queue))
    host = queue.removeprefix(topology.host_queue("").name)
    return topology.Enrolled(host, "any").user if known is topology.HOST else known.service


def check_listens(ledger: Ledger, due: Do, queue: str) -> None:
    """Check that the coordinator listens to whoever gets the command of a try, and not to anybody else."""
    step, user = ledger.step(due.key), user_reading(queue)
    assert step is not None
    about = {"migration": ledger.head.id, "step": due.key, "attempt": due.attempt}
    ends = (
        step.action not in MOVING
        or due.verb == "fetch"
        or not ledger.head.request.get("source")
        or ledger.head.mode == "export"
    )
    for sender in ("exporter", "importer", user, topology.Enrolled("another", "src").user, ""):
        failed = senders.refused(ledger, "step-ended", {**about, "outcome": "failed"}, sender)
        assert (failed is None) or sender != user, (failed, queue, step.key)
        good = senders.refused(ledger, "step-ended", {**about, "outcome": "done"}, sender)
        if ends:
            assert (good is None) == (sender == user), (good, queue, step.key, sender)
        if sender != "importer":
            made = {**about, "outcome": "failed", "destination_id": "x"}
            assert senders.refused(ledger, "step-ended", made, sender), step.key
