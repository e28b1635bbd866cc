"""Keys of steps, as messages, tables and people show them: made and read here alone. Pure.

    network/<id>               the resource of a document; of a workload, its head
    router/<id>/finish         a second task about it
    volume/<id>/copy/3         a task about a disk in segments, with the number of the segment
    room                       about no resource
    <key>/undo/<which>         takes back what that step did, or one of the things that it made
    <key>/surplus/<id>         takes away what a late try has made once more
    <key>/move/<attempt>       lets a disk go from its hosts, for others

An id has no slash: a document whose id has one is refused when it comes in (``resources/source_id``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

FINISH, TRANSFER = "finish", "transfer"
WARM = "warm-"  # begins the tasks of passes while a server runs
UNDO, SURPLUS, MOVE = "/undo/", "/surplus/", "/move/"


class StepKey(NamedTuple):
    """A key, read. ``subject``: the key of what it's about; ``of``: that of the step that it takes back, or its own."""

    subject: str
    task: str
    number: str
    of: str
    back: str  # how it takes back: UNDO, SURPLUS, MOVE, or "" when it doesn't

    @property
    def kind(self) -> str:
        """The kind of what it's about."""
        return self.subject.partition("/")[0]

    @property
    def id(self) -> str:
        """The id of what it's about, at the source; "" when it's about no resource."""
        return self.subject.partition("/")[2]

    @property
    def is_undo(self) -> bool:
        """Whether it takes back what a step did, because people or a failure want that."""
        return self.back == UNDO

    @property
    def takes_away(self) -> bool:
        """Whether it takes back what a step did, or has made once too often."""
        return self.back in (UNDO, SURPLUS)

    @property
    def is_move(self) -> bool:
        """Whether it lets a disk go from its hosts, for others."""
        return self.back == MOVE

    @property
    def is_warm(self) -> bool:
        """Whether it belongs to a pass while its server runs."""
        return self.task.startswith(WARM)


@lru_cache(maxsize=1 << 14)
def read(key: str) -> StepKey:
    """Read a key."""
    back = next((word for word in (UNDO, SURPLUS, MOVE) if word in key), "")
    of = key
    for word in (UNDO, SURPLUS, MOVE):
        of = of.partition(word)[0]
    kind, *rest = of.split("/", 3)
    id_, task, number = [*rest, "", "", ""][:3]
    return StepKey(f"{kind}/{id_}" if rest else kind, task, number, of, back)


def of_resource(kind: str, id_: str) -> str:
    """The key of the step about a resource of the source."""
    return f"{kind}/{id_}"


def of_task(subject: str, task: str, number: int | str = "") -> str:
    """The key of a task about a subject; *task* "": the making of the subject itself."""
    return "/".join(part for part in (subject, task, str(number)) if part)


def undo(key: str, which: int | str) -> str:
    """The key of the step that takes back what another did; *which*: its attempt, or what it has made."""
    return f"{key}{UNDO}{which}"


def surplus(key: str, id_: str) -> str:
    """The key of the step that takes away what a late try of another has made once more."""
    return f"{key}{SURPLUS}{id_}"


def move(key: str, attempt: int) -> str:
    """The key of the step that takes back an attachment, so that the disk can go to other hosts."""
    return f"{key}{MOVE}{attempt}"
