"""What the steps of a workload ask for: their commands and hints, from what earlier steps have found. Pure."""

from __future__ import annotations

from typing import Any

from stackferry import messages, topology
from stackferry.messages import Message
from stackferry.resources.boot_disk import boot_volume
from stackferry.resources.hints import Hints, SubPort
from stackferry.resources.server_parts import port_of
from stackferry.step_key import WARM, of_resource, of_task, read

from ..plan.itinerary import SOURCE, Task, place_of, task_of
from ..plan.ledger import Ledger, results_of
from ..plan.step import Step
from ..plan.subjects import AT_ONCE, RUNS, is_awaited, is_warm, reading, segments, size_of, subjects
from ..rules.fetch_modes import epoch_of, fetch_mode

Command = tuple[type[Message], dict[str, Any], str]


class Workload:
    """One workload as far as it has come: its steps by key, and what its subjects are called."""

    def __init__(self, ledger: Ledger, step: Step) -> None:
        self.ledger, self.group = ledger, step.group
        self.document = ledger.documents[step.group]
        self.asked = self.document.get("_migration_params") or {}

    def id_of(self, key: str) -> str | None:
        """The id at the destination of what a step has made."""
        step = self.ledger.step(key)
        return step.destination_id if step else None

    def results(self, key: str) -> dict[str, Any]:
        """What a step has found."""
        return results_of(self.ledger, key)

    def exposed(self, subject: str, warm: bool = False) -> dict[str, Any]:
        """What is known of the volume by which a disk is read: in a pass while its server runs, or in the last one."""
        return self.results(of_task(subject, "warm-expose" if warm else "expose"))

    def number_of_pass(self, subject: str) -> int:
        """Which pass a volume is in."""
        step = self.ledger.step(of_task(subject, "warm-expose"))
        return step.passes.number if step else 1

    def marker(self, key: str) -> str:
        """The text by which what is made for a subject is found again: in its metadata, in either cloud."""
        return f"{self.ledger.head.id}/{read(key).id}"

    def parts(self, each: str) -> list[str]:
        """The keys of the server's parts of one sort, in the order of its document."""
        return [subject.key for subject in subjects(self.group, self.document) if subject.each == each]

    def boot_disk(self) -> str | None:
        """The key of the volume that the server starts from, if it's one of its volumes."""
        place = None if read(self.group).kind == "volume" else boot_volume(self.document)
        return (
            None if place is None else of_resource("volume", self.document["params"]["volumes"][place]["_info"]["id"])
        )

    def of_port(self, mac_address: str, each: str, field: str) -> list[str]:
        """The keys of the server's parts of one sort that say a MAC address in a field of theirs."""
        wanted = mac_address.lower()
        found = [subject for subject in subjects(self.group, self.document) if subject.each == each]
        return [one.key for one in found if (one.document["params"].get(field) or "").lower() == wanted]


def hints(ledger: Ledger, step: Step) -> Hints:
    """What an importer must know to make one part of a workload."""
    if step.action == "check":  # nothing of it is made yet, and everything is to be looked for
        return {}
    work = Workload(ledger, step)
    if step.kind == "server":
        return _server_hints(work)
    if step.kind == "floating_ip":
        leg = port_of(work.document, ledger.documents[step.of])
        behind = work.id_of(work.parts(leg[0])[leg[1]]) if leg else None
        return {"mode": work.asked.get("floating_ip_mode") or "auto", "port_id": behind}
    if step.kind == "port":
        return {"device_id": server} if (server := work.id_of(work.group)) else {}
    if step.kind == "sub_port":
        trunks = work.of_port(ledger.documents[step.of]["params"]["trunk_mac_address"], "trunk", "mac_address")
        return {"device_id": work.id_of(trunks[0])} if trunks and work.id_of(trunks[0]) else {}
    if step.kind == "trunk":
        return _trunk_hints(work, ledger.documents[step.of]["params"]["mac_address"])
    return {"marker": work.marker(step.of)}


def _trunk_hints(work: Workload, mac_address: str) -> Hints:
    """The port that a trunk is made of, and the ports inside of it."""
    inside = []
    for key in work.of_port(mac_address, "sub_port", "trunk_mac_address"):
        said = work.ledger.documents[key]["params"]
        inside.append(SubPort(port_id=work.id_of(key), segmentation_id=said["segmentation_id"],
                              segmentation_type=said["segmentation_type"]))  # fmt: skip
    ports = work.of_port(mac_address, "port", "mac_address")
    return {"port_id": work.id_of(ports[0]) if ports else None, "sub_ports": inside}


def _server_hints(work: Workload) -> Hints:
    ports, volumes = work.parts("port"), work.document["params"].get("volumes") or []
    found: Hints = {"marker": work.marker(work.group), "port_ids": [work.id_of(key) for key in ports]}
    found |= _device_tags(work)
    if work.asked.get("data_copy") is False:
        given = [(work.asked.get("boot_volume") or {}).get("uuid"),
                 *[v.get("uuid") for v in work.asked.get("additional_volumes") or ()]]  # fmt: skip
        return {**found, "given_volume_ids": given}
    boot = of_resource("volume", f"{read(work.group).id}-boot")
    found["volume_ids"] = [work.id_of(of_resource("volume", volume["_info"]["id"])) for volume in volumes]
    found["boot_volume"] = boot_volume(work.document)
    return {**found, "boot_volume_id": work.id_of(boot)} if work.id_of(boot) else found


def _device_tags(work: Workload) -> Hints:
    """What its guest calls its ports and volumes, by what these have become."""
    said = looked(work).get("device_tags") or {}
    became = {read(key).id: work.id_of(key) for each in ("port", "volume") for key in work.parts(each)}
    tags = {there: tag for id_, tag in said.items() if (there := became.get(id_))}
    return {"device_tags": tags} if tags else {}


def sized(ledger: Ledger, step: Step) -> dict[str, Any]:
    """Return the document of a part; of a boot disk that was no volume, size and metadata are learnt on the way."""
    document = ledger.documents[step.key]
    if step.kind != "volume" or document["_info"].get("size"):
        return document
    work = Workload(ledger, step)
    found = work.exposed(step.key) or work.exposed(step.key, warm=True)
    told = {"volume_image_metadata": found["image_metadata"]} if found.get("image_metadata") else {}
    info = {**document["_info"], "size": found.get("size")}
    return {**document, "params": {**told, **document["params"]}, "_info": info}


def perform(ledger: Ledger, step: Step, base: dict[str, Any]) -> Command:
    """Return the command that does something with a server or a volume."""
    work, task = Workload(ledger, step), task_of(step.of)
    if task is None:
        raise KeyError(step.key)
    subject = read(step.key).subject
    resource, known = DATA[step.action](work, subject, task)
    if step.compensates:
        known.pop("pass", None)  # whatever any pass has left
    at_source = task.side == SOURCE
    place = ledger.head.request["source" if at_source else "destination"]
    queue = messages.PerformAction.queues[0 if at_source else 1].name
    kind = read(subject).kind
    data = {"place": place, "action": step.action, "kind": kind, "resource": resource, "known": known}
    return messages.PerformAction, {**base, "step": step.key, **data}, queue


def _look(work: Workload, subject: str, task: Task) -> tuple[Any, dict[str, Any]]:
    volumes = work.document["params"].get("volumes") or []
    known: dict[str, Any] = {"volumes": [v["_info"]["id"] for v in volumes]}
    if needed := reading(work.document):
        known["needed"] = needed
    return _source_id(subject), known


def _power(work: Workload, subject: str, task: Task) -> tuple[Any, dict[str, Any]]:
    return _source_id(subject), {"was": power(work), **({"awaited": True} if is_awaited(work.document) else {})}


def power(work: Workload) -> str | None:
    """How the server was when it was last looked at, before it was stopped."""
    status: str | None = looked(work).get("status")
    return status


def looked(work: Workload) -> dict[str, Any]:
    """What was found when the server was last looked at, before it was stopped."""
    return work.results(of_task(work.group, "look-again")) or work.results(of_task(work.group, "look"))


def _expose(work: Workload, subject: str, task: Task) -> tuple[Any, dict[str, Any]]:
    warm = task.when == "warm"
    asked = "snapshot" if is_warm(work.document) else work.asked.get("source_access") or "auto"
    known: dict[str, Any] = {"access": asked, "marker": work.marker(subject)}
    if warm:
        known["pass"] = work.number_of_pass(subject)
    if attached := list(work.ledger.documents[subject]["_info"].get("attachments") or ()):
        known["device"] = attached[0].get("device")
        known |= {"delete_on_termination": True} if attached[0].get("delete_on_termination") else {}
    known["server"] = None if work.group == subject else _source_id(work.group)
    known |= {"boot": True} if subject == work.boot_disk() else {}
    return _source_id(subject), {**known, **work.exposed(subject, warm)}


def _attachment(work: Workload, subject: str, task: Task) -> tuple[Any, dict[str, Any]]:
    side = "source" if task.side == SOURCE else "destination"
    exposed = work.exposed(subject, warm=task.name.startswith(WARM))
    volume = exposed.get("volume") if side == "source" else work.id_of(subject)
    known = {"server": work.results(place_of(of_task(subject, task.name))).get(f"{side}_host")}
    has_arrived = task.id == "detach-destination"
    if has_arrived and work.ledger.documents[subject]["params"].get("is_read_only"):
        known["read_only"] = True
    return volume, known


def _settle(work: Workload, subject: str, task: Task) -> tuple[Any, dict[str, Any]]:
    volumes = [id_ for key in work.parts("volume") if (id_ := work.id_of(key))]
    return work.id_of(subject), {"volumes": volumes, **({"server": True} if read(subject).kind == "server" else {})}


def _power_there(work: Workload, subject: str, task: Task) -> tuple[Any, dict[str, Any]]:
    """Whether a server was stopped, and not for this migration by those who run it."""
    found = [power(work), work.document["_info"].get("status")] if is_awaited(work.document) else [power(work)]
    return work.id_of(subject), {"off": RUNS not in found}


def _source_id(subject: str) -> str:
    return read(subject).id


#: action → what it's about, and what its worker must know
DATA = {
    "look": _look,
    "wait": _power,
    "stop": _power,
    "start": _power,
    "expose": _expose,
    "withdraw": _expose,
    "attach": _attachment,
    "detach": _attachment,
    "power": _power_there,
    "settle": _settle,
}


def _share(ledger: Ledger, volume: str) -> dict[str, int]:
    """The share of the migration's bandwidth that a segment may use: alike for all volumes on the hosts right now."""
    cap, placed = ledger.head.request.get("bandwidth"), ledger.head.counts.get("holding", 0)
    if not cap:
        return {}
    at_once = min(AT_ONCE, len(segments(size_of(ledger.documents[volume]))))
    return {"bandwidth": max(1, cap // (max(1, placed) * at_once))}


def segment(ledger: Ledger, step: Step, fetch: bool, base: dict[str, Any], certificates: list[str]) -> Command:
    """A try takes two commands: offer the segment on the source's host; then, with the offer, fetch it."""
    work, subject = Workload(ledger, step), read(step.key).subject
    hosts, epoch = work.results(place_of(step.key)), epoch_of(ledger, step)
    # A journal says nothing about the volume of another round, and nothing once another host has written to it.
    copy = "/".join([ledger.head.id, str(work.id_of(subject)), *([str(epoch)] if epoch else [])])
    about = {
        **base, "step": step.key, "copy": copy, "first": step.planned.first,
        "length": step.planned.length, "engine": work.asked.get("engine") or "pump",
    }  # fmt: skip
    if not fetch:
        host, volume = hosts["source_host"], work.exposed(subject, warm=read(step.key).is_warm).get("volume")
        data = {**about, "host": host, "volume": volume, "certificates": certificates, **_share(ledger, subject)}
        data["mode"] = fetch_mode(ledger, step)
        return messages.OfferSegment, data, topology.host_queue(host).name
    host = hosts["destination_host"]
    offer = {**(step.copying.offer or {}), "mode": step.copying.mode}
    return messages.FetchSegment, {
        **about, **offer, "host": host, "volume": work.id_of(subject)
    }, topology.host_queue(host).name  # fmt: skip
