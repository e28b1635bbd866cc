"""The itinerary of a workload, as data: what is done with a server and its disks, in which order, and how it's undone.

Each line is a step of the plan for every subject it's about: the server, each of its volumes, each segment of a
volume, each port, each trunk, each floating IP. A volume that is attached nowhere is a workload of its own. Adding a
line adds a step; ``docs/workflow.svg`` is drawn from this table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from stackferry.cleanup import BY_HAND
from stackferry.resources.server_parts import own_ports

SOURCE, DESTINATION, HOSTS, COORDINATOR = "source", "destination", "hosts", "coordinator"


@dataclass(frozen=True, slots=True)
class Task:
    """One line: ``id`` names it; its steps are ``<subject>/<name>``, the subject's own step when it has no name.

    *after*: ids of the lines before it, of the same subject, its owner or its parts. *undo*: the action that takes
    it back, whether its tries worked or not. *when*: the subjects it's for (see :data:`WHEN`). *tolerated*: its
    failure is reported, and undoes nothing.
    """

    id: str
    each: str
    name: str
    action: str
    side: str
    after: tuple[str, ...] = ()
    undo: str | None = None
    when: str = "always"
    tolerated: bool = False


WORKLOAD = (
    # Nothing is touched before the destination is known to have room and everything that is referred to.
    Task("check", "server", "check", "check", DESTINATION),
    Task("check-volume", "volume", "check", "check", DESTINATION, when="detached"),
    Task("look", "server", "look", "look", SOURCE, after=("check",)),
    # Warm: while the server runs, its disks are copied from snapshots, again and again (see ``rounds``).
    Task("warm-assign", "volume", "warm-assign", "assign", COORDINATOR, after=("look",), undo="release", when="warm"),
    Task("warm-expose", "volume", "warm-expose", "expose", SOURCE, after=("warm-assign",), undo="withdraw",
         when="warm"),
    Task("warm-volume", "volume", "", "ensure", DESTINATION, after=("warm-expose",), when="warm"),
    Task("warm-attach-source", "volume", "warm-attach-source", "attach", SOURCE, after=("warm-assign", "warm-expose"),
         undo="detach", when="warm"),
    Task("warm-attach-destination", "volume", "warm-attach-destination", "attach", DESTINATION,
         after=("warm-assign", "warm-volume"), undo="detach", when="warm"),
    Task("warm-copy", "segment", "warm-copy", "copy", HOSTS, after=("warm-attach-source", "warm-attach-destination"),
         when="warm"),
    Task("warm-detach-source", "volume", "warm-detach-source", "detach", SOURCE, after=("warm-copy",), when="warm"),
    Task("warm-detach-destination", "volume", "warm-detach-destination", "detach", DESTINATION, after=("warm-copy",),
         when="warm"),
    Task("warm-release", "volume", "warm-release", "release", COORDINATOR,
         after=("warm-detach-source", "warm-detach-destination"), when="warm"),
    Task("warm-withdraw", "volume", "warm-withdraw", "withdraw", SOURCE, after=("warm-detach-source",), when="warm",
         tolerated=True),
    Task("cutover", "server", "cutover", "cutover", COORDINATOR, after=("warm-release", "warm-withdraw"), when="warm"),
    Task("look-again", "server", "look-again", "look", SOURCE, after=("cutover",), when="warm"),
    # One that people stop themselves holds no place while it's waited for.
    Task("wait", "server", "wait", "wait", SOURCE, after=("look", "look-again"), when="awaited"),
    # A server is stopped when the first of its disks has a place on the conversion hosts, not earlier.
    Task("lead", "volume", "assign", "assign", COORDINATOR, after=("look", "look-again", "wait", "check-volume"),
         undo="release", when="lead"),
    Task("stop", "server", "stop", "stop", SOURCE, after=("look", "lead", "look-again", "wait"), undo="start"),
    Task("assign", "volume", "assign", "assign", COORDINATOR, after=("stop",), undo="release", when="rest"),
    Task("expose", "volume", "expose", "expose", SOURCE, after=("stop", "lead", "assign"), undo="withdraw"),
    Task("volume", "volume", "", "ensure", DESTINATION, after=("expose",), when="cold"),
    Task("attach-source", "volume", "attach-source", "attach", SOURCE, after=("lead", "assign", "expose"),
         undo="detach"),
    Task("attach-destination", "volume", "attach-destination", "attach", DESTINATION,
         after=("lead", "assign", "volume", "warm-volume"), undo="detach"),
    Task("copy", "segment", "copy", "copy", HOSTS,
         after=("attach-source", "attach-destination")),
    # The last pass of a warm workload reads back what it writes, and an earlier one has verified the rest. A volume
    # that goes to other hosts when all of it was copied must be attached there before it's verified.
    Task("verify", "segment", "verify", "verify", HOSTS, after=("attach-source", "attach-destination", "copy"),
         when="cold"),
    Task("detach-source", "volume", "detach-source", "detach", SOURCE, after=("copy", "verify")),
    Task("detach-destination", "volume", "detach-destination", "detach", DESTINATION, after=("copy", "verify")),
    Task("release", "volume", "release", "release", COORDINATOR, after=("detach-source", "detach-destination")),
    Task("withdraw", "volume", "withdraw", "withdraw", SOURCE, after=("detach-source",), tolerated=True),
    Task("port", "port", "", "ensure", DESTINATION, after=("stop",)),
    Task("sub-port", "sub_port", "", "ensure", DESTINATION, after=("port",)),
    Task("trunk", "trunk", "", "ensure", DESTINATION, after=("port", "sub-port")),
    Task("server", "server", "", "ensure", DESTINATION, after=("stop", "port", "trunk", "detach-destination")),
    Task("floating-ip", "floating_ip", "", "ensure", DESTINATION, after=("server",)),
    Task("settle", "server", "settle", "settle", DESTINATION, after=("server", "floating-ip"), tolerated=True),
    Task("settle-volume", "volume", "settle", "settle", DESTINATION, after=("release",), when="detached",
         tolerated=True),
)  # fmt: skip
SEGMENT = 4 << 30  # bytes that one try of a copy is about, at most
AT_ONCE = 2  # segments of one volume that are under way at the same time

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Subject:
    """What steps are about: ``each`` as in :class:`Task`; ``owner`` is the key of what it's a part of."""

    each: str
    key: str
    document: dict[str, Any]
    owner: str = ""
    lead: bool = False
    detached: bool = False
    warm: bool = False
    awaited: bool = False  # nobody stops it but who runs it
    number: int = 0  # of a segment
    first: int = 0  # byte of a segment
    length: int = 0  # bytes of a segment; 0: to the end


#: which subjects a line is for
WHEN = {
    "always": lambda subject: True,
    "detached": lambda subject: subject.detached,
    "lead": lambda subject: subject.lead,
    "rest": lambda subject: not subject.lead,
    "cold": lambda subject: not subject.warm,
    "warm": lambda subject: subject.warm,
    "awaited": lambda subject: subject.awaited,
}


def subjects(group: str, document: dict[str, Any]) -> list[Subject]:
    """Return a workload's subjects; *group* is the key of the server, or of the detached volume."""
    if not group.startswith("server/"):
        volume = Subject("volume", group, document, lead=True, detached=True)
        return [volume, *_segments(volume)]
    volumes = _volumes(group, document)
    warm = is_warm(document) and bool(volumes)
    awaited = document["_migration_params"].get("shutdown") == "wait"
    found = [Subject("server", group, document, warm=warm, awaited=awaited)]
    for number, disk in enumerate(volumes):
        subject = Subject("volume", _key("volume", disk), disk, group, lead=number == 0, warm=warm)
        found += [subject, *_segments(subject)]
    parts = {
        "port": own_ports(document),
        "sub_port": own_ports(document, "sub_ports"),
        "trunk": document["params"].get("trunks") or [],
        "floating_ip": document["params"].get("floating_ips") or [],
    }
    if document["_migration_params"].get("floating_ip_mode") == "skip":
        del parts["floating_ip"]
    return found + [Subject(each, _key(each, part), part, group) for each, some in parts.items() for part in some]


def is_warm(document: dict[str, Any]) -> bool:
    """Whether a server's disks are copied while it runs; one that doesn't run is simply moved."""
    return document["_migration_params"].get("mode") == "warm" and document["_info"].get("status") == RUNS


def problem(document: dict[str, Any]) -> str | None:
    """What is wrong with how a server or a volume is to be moved; None when nothing is."""
    if not document["_info"].get("id"):
        return "_info.id is missing: it says which one of the source is to be moved"
    volumes = document["params"].get("volumes") or ()
    ids = [volume["_info"].get("id") or "" for volume in volumes]
    if "" in ids:
        return f"volumes.{ids.index('')}._info.id is missing: it says which volume of the source is to be copied"
    if twice := next((id_ for id_ in ids if ids.count(id_) > 1), None):
        return f"volumes: {twice} stands twice"
    for number, volume in enumerate(volumes):
        if not re.fullmatch(r"\d{0,9}", str(volume["_info"].get("size") or "")):
            return f"volumes.{number}._info.size is {volume['_info']['size']!r}, and not a number of GiB"
    if document["_migration_params"].get("source_access") == "detach" and is_warm(document):
        return "source_access: a disk can't be detached and copied while its server runs"
    return None


#: lists of a server's document whose parts need no id of the source: a port may have been added, or copied, by hand
ADDED = ("ports", "sub_ports", "trunks", "floating_ips")


def whole(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with facts and choices, and its parts likewise, where whoever wrote it left them out."""
    full = {"_info": {}, "_migration_params": {}, **{n: v for n, v in document.items() if v is not None}}
    params = dict(full["params"])
    for name in ("volumes", *ADDED):
        if params.get(name):
            params[name] = [whole(part) for part in params[name]]
    for name in ADDED:
        known: set[str] = set()
        for number, part in enumerate(params.get(name) or ()):
            id_ = part["_info"].get("id")
            if not id_ or id_ in known:
                id_ = f"{BY_HAND}{full['_info'].get('id')}-{name}-{number}"
            part["_info"] = {**part["_info"], "id": id_}
            known.add(id_)
    return {**full, "params": params}


def _key(kind: str, document: dict[str, Any]) -> str:
    return f"{kind}/{document['_info']['id']}"


def _volumes(group: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The disks to copy, the boot disk first; that of an image-booted server only when it's asked for."""
    asked = document["_migration_params"]
    if asked.get("data_copy") is False:
        return []
    volumes = list(document["params"].get("volumes") or [])
    if document["params"].get("image_ref") and asked.get("boot_disk_copy"):
        given = {n: v for n, v in (asked.get("boot_volume_params") or {}).items() if v is not None}
        info = {"id": f"{group.partition('/')[2]}-boot", "is_bootable": True, "size": None}
        volumes.insert(0, {"type": VOLUME, "params": given, "_info": info, "_migration_params": {}})
    return volumes


RUNS = "ACTIVE"  # the status of a server that runs
VOLUME = "openstack.network.ServerVolume"


def size_of(volume: dict[str, Any]) -> int:
    """Bytes of a volume, by its document; 0 when that doesn't say. Older files have the number as text."""
    return int(volume["_info"].get("size") or 0) * GIB


def segments(size: int) -> list[tuple[int, int]]:
    """Where the segments of a volume begin, and their bytes; (0, 0) of one whose size nobody knows yet.

    A volume of a few GiB is divided as well, so that it's moved by as many agents at once as a large one.
    """
    each = min(SEGMENT, max(GIB, -(-size // (AT_ONCE * GIB)) * GIB))
    return [(first, min(each, size - first)) for first in range(0, size, each)] or [(0, 0)]


def _segments(volume: Subject) -> list[Subject]:
    return [
        Subject("segment", volume.key, volume.document, volume.key, number=n, first=first, length=length,
                warm=volume.warm)
        for n, (first, length) in enumerate(segments(size_of(volume.document)))
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stop:
    """A step of one workload, as the itinerary has it: its key, its line, its subject, the keys it comes after."""

    key: str
    task: Task
    subject: Subject
    after: tuple[str, ...]


def stops(group: str, document: dict[str, Any]) -> list[Stop]:
    """Return the steps of one workload, in the order of the itinerary."""
    about = subjects(group, document)
    having: dict[str, list[tuple[str, Subject]]] = {}
    found = []
    for task in WORKLOAD:
        for subject in about:
            if subject.each != task.each or not WHEN[task.when](subject):
                continue
            after = [key for id_ in task.after for key, other in having.get(id_, ()) if _related(subject, other)]
            key = step_key(task, subject)
            if subject.number >= AT_ONCE:  # of one volume, so many segments at a time
                after.append(step_key(task, replace(subject, number=subject.number - AT_ONCE)))
            having.setdefault(task.id, []).append((key, subject))
            found.append(Stop(key, task, subject, tuple(dict.fromkeys(after))))
    return found


def step_key(task: Task, subject: Subject) -> str:
    """The key of a step."""
    parts = [subject.key, task.name, str(subject.number) if subject.each == "segment" else ""]
    return "/".join(part for part in parts if part)


def place_of(key: str) -> str:
    """The key of the step that holds a volume's place on the hosts, from that of one that is done there."""
    return "/".join([*key.split("/")[:2], "warm-assign" if "/warm-" in key else "assign"])


def _related(one: Subject, other: Subject) -> bool:
    """Whether a step about one subject waits for a step about another: the same, its owner, or what it's a part of.

    Parts of one server are related, too, unless they are of the same sort.
    """
    if one.each == other.each:
        return one == other
    return other.key in (one.key, one.owner) or other.owner in (one.key, one.owner or one.key)


def task_of(key: str) -> Task | None:
    """Return the line that a step of a workload belongs to; None for a step of no workload."""
    kind, _, rest = key.partition("/")
    _, _, name = rest.partition("/")
    name = name.partition("/")[0]
    each = {"copy": "segment", "verify": "segment", "warm-copy": "segment"}.get(name, kind)
    return next((task for task in WORKLOAD if task.name == name and task.each == each), None)
