"""Whose word counts: of each fact, whether the broker's user who told it may tell it. Pure.

RabbitMQ guarantees who published a message. A fact counts only from the users to whom the try was given: the exporter
for what is done at the source, the importer for the destination, agents on a volume's two hosts for its bytes. What a
step has made is told by the importer alone: what counts as made by a migration is what its undo removes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from stackferry import cleanup, topology
from stackferry.messages import GOOD

from ..commands import workloads
from ..plan.itinerary import SOURCE, place_of, task_of
from ..plan.ledger import Ledger
from ..plan.step import Step
from ..rules import quotas
from ..rules.agreement import SEGMENT
from ..rules.reactions import MOVING

EXPORTER, IMPORTER = topology.EXPORTER.service, topology.IMPORTER.service
#: facts about a migration as a whole, or of its export
EXPORTS = ("documents-exported", "export-ended")
#: fields that say what was made, or changed, at the destination
MADE = ("destination_id", "also_made", "replaces", "payload_missing")


def refused(ledger: Ledger, name: str, data: dict[str, Any], sender: str) -> dict[str, str] | None:
    """Why a fact doesn't count, by field; None when it does. What isn't told by workers isn't judged here."""
    sender = speaker(sender)
    if name in EXPORTS:
        return _unless((EXPORTER,), sender)
    step = ledger.step(data.get("step", ""))
    if step is None:
        return None
    if name == "image-offered":
        return _unless((EXPORTER,), sender)
    if name in ("segment-offered", "segment-served"):
        return _unless((_host(ledger, step, "source_host"),), sender)
    if name == "step-ended":
        ends = data["outcome"] in GOOD
        wrong = [field for field in MADE if data.get(field)] if sender != IMPORTER else []
        said = dict.fromkeys(wrong, f"{sender or 'nobody known'} makes nothing at a destination")
        return said or _unless(finishing(ledger, step) if ends else working(ledger, step), sender)
    return _unless(working(ledger, step), sender) if name in ("step-claimed", "step-progressed") else None


def speaker(user: str) -> str:
    """Who a user of the broker is: a service by its name, or the agents on a host."""
    enrolled = topology.Enrolled.read(user)
    return _agents(enrolled.host) if enrolled else user


def _agents(host: str) -> str:
    return f"the agents on {host}"


def is_over(ledger: Ledger, data: dict[str, Any]) -> bool:
    """Whether a fact is about a segment, and a try of it that is over: as from a host that was lost, and is back."""
    step = ledger.step(data.get("step", ""))
    if step is None or step.action not in SEGMENT:
        return False
    return (step.state, step.attempt) != ("asked", data.get("attempt"))


def working(ledger: Ledger, step: Step) -> Collection[str]:
    """The users to whom a try of a step is given."""
    if step.action == "transfer":
        return {EXPORTER, *finishing(ledger, step)}
    if step.action in MOVING:
        return {_host(ledger, step, "source_host"), *finishing(ledger, step)}
    return finishing(ledger, step)


def finishing(ledger: Ledger, step: Step) -> Collection[str]:
    """The users who may say that a step has what it's for: of two between whom bytes move, whoever writes them."""
    if step.action == "transfer":
        return (EXPORTER if ledger.head.mode == "export" else IMPORTER,)
    if step.action in MOVING:
        return (_host(ledger, step, "destination_host"),)
    return (EXPORTER if _at_source(step) else IMPORTER,)


def _host(ledger: Ledger, step: Step, side: str) -> str:
    """The user of the agents on one of the hosts that a volume has its place on."""
    place = ledger.step(place_of(step.key))
    return _agents(str(place.results.get(side) or "")) if place else ""


def _at_source(step: Step) -> bool:
    if step.action in workloads.DATA:
        task = task_of(step.of)
        return task is not None and task.side == SOURCE
    if step.action in cleanup.ACTIONS:
        return step.action != cleanup.ARRIVED
    return step.action == "export" or step.key == quotas.AT_SOURCE


def _unless(allowed: Collection[str], sender: str) -> dict[str, str] | None:
    """A word from anybody else."""
    if sender in allowed:
        return None
    return {"sender": f"{sender or 'nobody known'} has no say in this, but {' or '.join(sorted(allowed))}"}
