"""From a try that is due to the message that asks for it. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackferry import cleanup, messages
from stackferry.messages import Message
from stackferry.resources import KINDS
from stackferry.resources.hints import Hints
from stackferry.resources.view import FOREIGN, PENDING
from stackferry.step_key import FINISH, read

from ..plan.ledger import Ledger
from ..plan.step import Planned, Step
from ..rules import quotas, source_cleanup
from ..rules.reactions import Do
from . import workloads

MESSAGES: dict[str, type[Message]] = {
    "ensure": messages.EnsureResource,
    "compare": messages.CompareResource,
    "check": messages.CompareResource,
    "finish": messages.FinishResource,
    "remove": messages.RemoveResource,
}
Command = tuple[type[Message], dict[str, Any], str]
#: (kind, source id) → id at this destination, from earlier migrations
Known = Callable[[str, str], str | None]


def command(ledger: Ledger, do: Do, known: Known, peers: list[str]) -> Command:
    """Return the message class, data and queue of one try; *peers*: the certificates that may fetch a payload."""
    step = ledger.step(do.key)
    if step is None:
        raise KeyError(do.key)
    base = {"migration": ledger.head.id, "attempt": do.attempt}
    if step.action in workloads.DATA:
        return workloads.perform(ledger, step, base)
    if step.action in cleanup.ACTIONS:
        return source_cleanup.command(ledger, step, base)
    if step.action == quotas.ACTION:
        return quotas.command(ledger, step, base, known)
    if step.action in ("copy", "verify"):
        return workloads.segment(ledger, step, do.verb == "fetch", base, peers)
    message, data = _plain(ledger, step, do, base, known, peers)
    return message, data, message.queues[0].name  # type: ignore[attr-defined]


def _plain(
    ledger: Ledger, step: Step, do: Do, base: dict[str, Any], known: Known, peers: list[str]
) -> tuple[type[Message], dict[str, Any]]:
    request = ledger.head.request
    if step.action == "export":
        selection = request.get("selection") or {}
        return messages.ExportProject, {**base, "source": request["source"], "selection": selection}
    if step.action == "transfer":
        return _transfer(ledger, step, do, {**base, "step": step.key}, peers)
    data = {
        **base,
        "step": step.key,
        "destination": request["destination"],
        "kind": step.kind,
        "document": _document(ledger, step),
        "hints": _hints(ledger, step, do, known),
    }
    return MESSAGES[step.action], data


def _transfer(
    ledger: Ledger, step: Step, do: Do, base: dict[str, Any], importers: list[str]
) -> tuple[type[Message], dict[str, Any]]:
    """Between clouds, one try takes two commands: offer the payload at the source; then, with the offer, fetch it."""
    request, owner = ledger.head.request, ledger.step(read(step.key).subject)
    there = {"destination": request.get("destination"), "image": owner.destination_id if owner else None}
    here = {"source": request.get("source"), "image": step.source_id}
    if request.get("mode") == "export":
        return messages.SaveImage, {**base, **here, "folder": request["image_blobs"]}
    if not request.get("source"):
        params, info = ledger.documents[step.key]["params"], ledger.documents[step.key]["_info"]
        expected = {"size": info["size"], **{name: params.get(name) for name in ("hash_algo", "hash_value")}}
        return messages.LoadImage, {
            **base, **there, **expected, "folder": request["image_blobs"], "source_id": step.source_id
        }  # fmt: skip
    if do.verb == "fetch":
        return messages.FetchImage, {**base, **there, **(step.copying.offer or {})}
    return messages.OfferImage, {**base, **here, "certificates": importers}


def _document(ledger: Ledger, step: Step) -> dict[str, Any]:
    """The document, its references to other documents with the ids that these became."""
    if step.action == "remove":
        return {"type": KINDS[step.kind].type, "params": {"name": step.name}}
    document = workloads.sized(ledger, step) if step.group else ledger.documents[step.key]
    ids, foreign = {path: _id_of(ledger, key) for path, key in step.links.items()}, step.planned.foreign
    if not (ids or foreign):
        return document

    def resolved(path: str, ref: dict[str, Any]) -> dict[str, Any]:
        if path in foreign:
            return {**ref, FOREIGN: True}
        return {**ref, "id": ids[path]} if ids.get(path) else ref

    return {**document, "params": KINDS[step.kind].map_links(document["params"], resolved)}


def _id_of(ledger: Ledger, key: str) -> str | None:
    target = ledger.step(key)
    if target is None:  # a port of a server: it has a step of its own when it's moved
        return PENDING if ledger.head.mode == "plan" else None
    return target.destination_id or (PENDING if target.action == "compare" else None)


def _outlives_migrations(step: Step) -> bool:
    """Whether what it became earlier is what it is now; a server's parts, and disks to write to, are made anew."""
    return not step.group or step.action == "check" or (step.kind == "server" and step.key == step.group)


def planned_hints(planned: Planned) -> Hints:
    """What an importer must know of the other documents."""
    hints: Hints = {"twins": planned.twins} if planned.twins > 1 else {}
    if planned.automatic_rules is not None:
        hints |= {"automatic_rules": list(planned.automatic_rules), "prune": planned.prune}
    return hints | ({"led": list(planned.led)} if planned.led else {})


def _hints(ledger: Ledger, step: Step, do: Do, known: Known) -> Hints:
    """What an importer must know of this step beside its document (see ``stackferry.resources.hints``)."""
    planned, asked, hints = step.planned, step.asked, planned_hints(step.planned)
    destination_id = step.destination_id or (step.made[-1] if step.made else None)
    owner = (ledger.step(read(step.key).subject) if step.action == FINISH else None) or step
    if step.action == FINISH:
        destination_id = owner.destination_id
    if destination_id is None and step.source_id and _outlives_migrations(step):
        destination_id = known(step.kind, step.source_id)
    if destination_id:
        hints["destination_id"] = destination_id
    if step.action == "remove":
        hints |= {"since": ledger.head.created, **({"replaced": asked.replaced} if asked.replaced else {})}
    if step.action in ("ensure", FINISH):
        hints |= {"replaced": asked.replaced, "made": list(owner.made)}
    if step.action == "ensure" and KINDS[step.kind].takes_id:
        # The same in each try, and another one when the image of an earlier try is gone for good.
        hints["new_id"] = str(uuid.uuid5(uuid.UUID(ledger.head.id), f"{step.key} {len(step.made)}"))
    others = [other for key in planned.twin_keys if (other := ledger.step(key))]
    there = [o.destination_id or (known(o.kind, o.source_id) if o.source_id else None) for o in others]
    if claimed := [id_ for id_ in there if id_]:
        hints["claimed"] = claimed
    if step.reversal.only_look or (ledger.head.phase == "undoing" and step.action == "ensure"):
        hints["only_look"] = True
    if step.group and step.action in ("ensure", "check", "remove"):
        hints |= workloads.hints(ledger, step)
    if do.attempt > 1 or asked.met:
        hints["look"] = True
    if asked.asked_before and asked.first_asked is not None:  # else no try made anything: what is young isn't ours
        # What was made until then is the other migration's; clouds cut times to seconds.
        hints["first_asked"] = max(asked.first_asked, asked.met + 1) if asked.met else asked.first_asked
    return hints
