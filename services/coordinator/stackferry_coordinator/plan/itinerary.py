"""The itinerary of a workload, as data: what is done with a server and its disks, in which order, and how it's undone.

Each line is a step of the plan for every subject it's about: the server, each of its volumes, each segment of a
volume, each port, each trunk, each floating IP. A volume that is attached nowhere is a workload of its own. Adding a
line adds a step; ``docs/workflow.svg`` is drawn from this table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from stackferry.step_key import of_task, read

from .subjects import AT_ONCE, Subject, subjects

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
    # Warm: while the server runs, its disks are copied from snapshots, again and again (see ``warm_passes``).
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
    # A new server runs; one that did not at the source is stopped again.
    Task("power", "server", "power", "power", DESTINATION, after=("server", "floating-ip"), when="as found",
         tolerated=True),
    Task("settle", "server", "settle", "settle", DESTINATION, after=("server", "floating-ip"), tolerated=True),
    Task("settle-volume", "volume", "settle", "settle", DESTINATION, after=("release",), when="detached",
         tolerated=True),
)  # fmt: skip

#: which subjects a line is for
WHEN = {
    "always": lambda subject: True,
    "detached": lambda subject: subject.detached,
    "lead": lambda subject: subject.lead,
    "rest": lambda subject: not subject.lead,
    "cold": lambda subject: not subject.warm,
    "warm": lambda subject: subject.warm,
    "awaited": lambda subject: subject.awaited,
    "as found": lambda subject: subject.as_found,
}


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
            key = _key(task, subject)
            if subject.number >= AT_ONCE:  # of one volume, so many segments at a time
                after.append(_key(task, replace(subject, number=subject.number - AT_ONCE)))
            having.setdefault(task.id, []).append((key, subject))
            found.append(Stop(key, task, subject, tuple(dict.fromkeys(after))))
    return found


def _key(task: Task, subject: Subject) -> str:
    return of_task(subject.key, task.name, subject.number if subject.each == "segment" else "")


def place_of(key: str) -> str:
    """The key of the step that holds a volume's place on the hosts, from that of one that is done there."""
    about = read(key)
    return of_task(about.subject, "warm-assign" if about.is_warm else "assign")


def _related(one: Subject, other: Subject) -> bool:
    """Whether a step about one subject waits for a step about another: the same, its owner, or what it's a part of.

    Parts of one server are related, too, unless they are of the same sort.
    """
    if one.each == other.each:
        return one == other
    return other.key in (one.key, one.owner) or other.owner in (one.key, one.owner or one.key)


def task_of(key: str) -> Task | None:
    """Return the line that a step of a workload belongs to; None for a step of no workload."""
    about = read(key)
    each = {"copy": "segment", "verify": "segment", "warm-copy": "segment"}.get(about.task, about.kind)
    return next((task for task in WORKLOAD if task.name == about.task and task.each == each), None)
