"""A step of a migration, with what its tries met: a frozen record for each concern, which is reset as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, TypeVar

from stackferry.step_key import read

Record = TypeVar("Record", bound=Any)


def but(record: Record, **changes: Any) -> Record:
    """Return the record with these changes; the same one, when it says so already: most do, and a copy is dear."""
    if all(getattr(record, name) == value for name, value in changes.items()):
        return record
    return replace(record, **changes)


@dataclass(frozen=True, slots=True)
class Planned:
    """What the documents say about a step; it never changes."""

    problem: str | None = None  # why it can't be done: its step fails whenever its turn comes
    foreign: tuple[str, ...] = ()  # paths of references to what belongs to nobody here
    twins: int = 1  # documents of this name, itself included
    twin_keys: tuple[str, ...] = ()  # the steps of the others
    automatic_rules: tuple[str, ...] | None = None  # which of Neutron's rules the source's security group has kept
    prune: bool = False  # whether the others are taken away from a group that is there already
    led: tuple[str, ...] = ()  # ids of floating IPs for which there'll be a router
    warm: bool = False
    first: int | None = None  # byte of a segment
    length: int | None = None  # bytes of a segment; 0: to the end
    copies: bool = False  # whether conversion hosts are needed for what a plan compares


@dataclass(frozen=True, slots=True)
class Asked:
    """Since when it's asked for, and what tries have replaced. Times are seconds since the epoch."""

    first_asked: float | None = None  # what is older isn't made by any try
    asked_before: bool = False  # whether there was a try before this one
    since: float | None = None  # of a stop: since when the server may be down
    met: float | None = None  # until when another migration was at the same thing
    meter: dict[str, Any] | None = None  # how fast bytes cross (see ``progress.meter``)
    replaced: dict[str, Any] = field(default_factory=dict)  # id → field → what stood there before


@dataclass(frozen=True, slots=True)
class Trouble:
    """What kept tries from their end, and since when; over once one has succeeded."""

    doubt: bool = False  # a try that was lost may have made something
    held_up: float | None = None  # another migration is at the same thing
    postponed: float | None = None  # nobody is there who could do it
    pending: float | None = None  # a cloud, or somebody, is busy with it
    outage: float | None = None  # its workers are lost, one after another
    reached: int = 0  # bytes that a try got to before it was lost
    late: float | None = None  # it failed while something was done with all of its migration, begun then
    lacks: bool = False  # it was reopened while something was over without which it can't be


@dataclass(frozen=True, slots=True)
class Copying:
    """How a segment crosses, or a volume's place on the hosts."""

    offer: dict[str, Any] | None = None  # of the source's agent, or exporter
    mode: str | None = None  # see ``fetch_modes``
    said: dict[str, Any] | None = None  # by the destination's end, while the other's word is awaited
    served: dict[str, Any] | None = None  # by the source's end
    epoch: int = 0  # how often the volume has gone to another host of the destination
    read_in: int | None = None  # the epoch in which a pass has read all of it
    looked: float | None = None  # when it was last looked whether a place is still wanted


@dataclass(frozen=True, slots=True)
class Passes:
    """Where the passes of a warm workload are."""

    number: int = 1
    asked: bool = False  # whether people have asked for the cut-over
    ended: float | None = None  # when the last pass was over


@dataclass(frozen=True, slots=True)
class Reversal:
    """A workload that is given up, or a step of one."""

    failing: str | None = None  # why
    taken_back: bool = False  # whether nothing of it is left
    only_look: bool = False  # its next try makes nothing, and says what an earlier one has made


CONCERNS = {"planned": Planned, "asked": Asked, "trouble": Trouble, "copying": Copying, "passes": Passes,
            "reversal": Reversal}  # fmt: skip
#: what a field is called where all concerns lie in one object, if not as here
STORED = {("passes", "number"): "pass", ("passes", "asked"): "asked"}


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the graph, with its tries.

    ``due``: until when an answer is expected (asked), or the end of the rest (resting).
    """

    key: str
    action: str
    kind: str = ""
    name: str = ""
    order: int = 0
    state: str = "waiting"
    waits: int = 0
    attempt: int = 0
    tries: int = 0  # since the last ``retry``; ``attempt`` only grows
    due: float | None = None
    claim: str | None = None  # of the delivery that may run this try
    outcome: str | None = None
    destination_id: str | None = None
    made: tuple[str, ...] = ()  # ids that tries of this step reported as created
    source_id: str | None = None
    links: dict[str, str] = field(default_factory=dict)  # path of a reference → key of the step that makes it
    reason: str | None = None
    notes: tuple[str, ...] = ()
    changes: tuple[Any, ...] = ()
    seconds: float = 0.0
    done: int = 0
    total: int | None = None
    group: str = ""  # key of the workload that it's a step of
    results: dict[str, Any] = field(default_factory=dict)  # what later steps of the workload need to know
    planned: Planned = Planned()
    asked: Asked = Asked()
    trouble: Trouble = Trouble()
    copying: Copying = Copying()
    passes: Passes = Passes()
    reversal: Reversal = Reversal()

    @property
    def compensates(self) -> bool:
        """Whether it takes back what another step did."""
        return read(self.key).is_undo

    @property
    def of(self) -> str:
        """The key of the step whose doing it takes back; its own when it takes nothing back."""
        return read(self.key).of


def over_it(step: Step, **trouble: Any) -> dict[str, Any]:
    """The changes by which a step forgets what kept its tries from their end, but for this."""
    return {"trouble": Trouble(**trouble), "copying": but(step.copying, said=None, served=None)}


def verdict(head: Step) -> str:
    """What has become of a workload, by its own step: ``again`` while that isn't known.

    A volume's own step makes it at the destination; it has arrived when all else is over, too (``results.over``).
    """
    is_empty = head.kind == "volume" and head.state == "done" and "over" not in head.results
    if head.state in ("done", "failed", "skipped", "removed") and not is_empty:
        return head.state
    return "failing" if head.reversal.failing is not None else "again"


def stored(step: Step) -> dict[str, Any]:
    """What all concerns of a step say that isn't so by default, as one object: a row has it in a column (``hints``)."""
    found = {}
    for concern, type_ in CONCERNS.items():
        record = getattr(step, concern)
        if record != (default := _default(type_)):
            for name, _ in _fields(concern):
                if (value := getattr(record, name)) != getattr(default, name):
                    found[STORED.get((concern, name), name)] = list(value) if isinstance(value, tuple) else value
    return found


def concerns(told: Mapping[str, Any]) -> dict[str, Any]:
    """The records of what :func:`stored` said. What no concern knows is an older program's, and left out."""
    if not told:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for concern in CONCERNS:
        for name, is_tuple in _fields(concern):
            value = told.get(STORED.get((concern, name), name))
            if value is not None:
                found.setdefault(concern, {})[name] = tuple(value) if is_tuple else value
    return {concern: CONCERNS[concern](**said) for concern, said in found.items()}


@cache
def _fields(concern: str) -> tuple[tuple[str, bool], ...]:
    return tuple((one.name, str(one.type).startswith("tuple")) for one in fields(CONCERNS[concern]))


@cache
def _default(type_: type[Any]) -> Any:
    return type_()
