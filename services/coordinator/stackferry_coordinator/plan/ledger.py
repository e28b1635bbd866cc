"""What the core reads and writes: a migration's head, its steps and its documents; here, in memory.

The core only uses the methods of :class:`Ledger`. The database has one of its own with the same methods
(``store``); tests fold recorded messages into this one and expect the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .graph import Outline
from .states import OPEN
from .step import Step, but, verdict

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """A migration as a whole. ``counts``: how many steps are in which state."""

    id: str
    request: dict[str, Any]
    phase: str = "new"
    mode: str = "run"
    paused: bool = False
    reason: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    parts: int | None = None  # of documents, once known
    got: int = 0
    attempt: int = 0  # of the export whose parts count
    created: float = 0.0  # when it was first heard of
    owner: str = ""  # the broker's user who spoke of it first
    agenda: dict[str, Any] | None = None  # what is being done with all of it, and how far that is (see ``slices``)

    @property
    def named(self) -> dict[str, Any]:
        """What whoever asked for it calls it, for facts."""
        named = {"migration_name": self.request.get("name"), "labels": self.request.get("labels")}
        return {field: value for field, value in named.items() if value}

    @property
    def open(self) -> int:
        """How many steps aren't over."""
        return sum(self.counts.get(state, 0) for state in OPEN)


class Stale(Exception):
    """Whoever writes a step holds it as it was before somebody else changed it: that change would be lost."""


class Ledger:
    """A migration in memory."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.steps: dict[str, Step] = {}
        self.documents: dict[str, Document] = {}
        self.parts: dict[tuple[int, int], list[Document]] = {}
        self.troubled: dict[str, str] = {}  # workload → why it can't go on; until that's dealt with
        self.moved: set[str] = set()  # workloads with a step that has changed its state; until they're looked at
        self.deciding: set[str] = set()  # cut-overs that are to be decided now: another pass, or not
        self.begun: list[dict[str, Any]] = []  # tries that somebody has begun to work on
        self.counted: list[dict[str, Any]] = []  # what was said of tries that are over, as far as it has counted
        self.heads: set[str] = set()  # workloads of which there is something to tell (see ``arrivals``)
        self.outlines: dict[
            tuple[Any, ...], Outline
        ] = {}  # what is being planned, kept between two slices; may get lost
        self.places_changed = False  # whether places on the hosts are wanted, or given back
        self._after: dict[str, list[tuple[str, bool]]] = {}
        self._before: dict[str, list[tuple[str, bool]]] = {}
        self._keys: dict[
            tuple[str, str], dict[str, None]
        ] = {}  # ("group" or "state", which) → keys, in order of coming

    def step(self, key: str) -> Step | None:
        """Return one step."""
        return self.steps.get(key)

    def bring(self, keys: Iterable[str]) -> None:
        """Have these steps at hand, with what they come after; without, each would be a question to the database."""

    def fresh(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Each of these steps as it is when its turn comes: what was done to one before may have changed it."""
        for step in steps:
            yield self.steps[step.key]

    def add(self, step: Step) -> Step:
        """Store a new step."""
        if step.key in self.steps:
            raise ValueError(f"step {step.key} is there already")
        return self._put(step)

    def change(self, step: Step, **changes: Any) -> Step:
        """Change a step as it was read; return it as it is now. A copy that is out of date is refused."""
        if self.step(step.key) is not step:
            raise Stale(step.key)
        changed = but(step, **changes)
        return step if changed is step else self._put(changed)

    def _put(self, step: Step) -> Step:
        """Store a step; the head's counts follow."""
        old = self.steps.get(step.key)
        self._hold(step)
        if step.group and (old is None or old.state != step.state):
            self.moved.add(step.group)
            self.places_changed |= step.state == "wanting" or (old is not None and old.state == "holding")
        if step.key == step.group and old is not None and verdict(old) != verdict(step):
            self.heads.add(step.key)
        if old is None or old.state != step.state:
            counts = dict(self.head.counts)
            counts[step.state] = counts.get(step.state, 0) + 1
            if old is not None:
                counts[old.state] -= 1
            self.head = replace(self.head, counts={k: v for k, v in counts.items() if v})
        return step

    def _hold(self, step: Step) -> None:
        """Keep a step as it is, where it's looked for."""
        old = self.steps.get(step.key)
        self.steps[step.key] = step
        for sort in ("group", "state"):
            here, there = getattr(step, sort), getattr(old, sort, None)
            if there != here:
                if old is not None:
                    self._keys[sort, str(there)].pop(step.key, None)
                self._keys.setdefault((sort, here), {})[step.key] = None

    def _in(self, sort: str, *which: str) -> list[Step]:
        """The steps of a group, or in some states, in order."""
        found = [self.steps[key] for one in which for key in self._keys.get((sort, one), ())]
        return sorted(found, key=lambda step: step.order)

    def link(self, before: str, after: str, hard: bool) -> None:
        """Note that *after* comes after *before*; *hard*: and can't be without it."""
        self._after.setdefault(before, []).append((after, hard))
        self._before.setdefault(after, []).append((before, hard))

    def after(self, key: str) -> list[tuple[str, bool]]:
        """Return (key, hard) of the steps that come after *key*."""
        return self._after.get(key, [])

    def before(self, key: str) -> list[tuple[str, bool]]:
        """Return (key, hard) of the steps that *key* comes after."""
        return self._before.get(key, [])

    def all(self) -> list[Step]:
        """Every step, in order."""
        return sorted(self.steps.values(), key=lambda step: step.order)

    def ready(self, limit: int) -> list[Step]:
        """Return up to *limit* ready steps, in order."""
        return self._in("state", "ready")[:limit]

    def plain(self, after: str = "", limit: int | None = None) -> list[Step]:
        """Return the steps of no workload, by key; so many after one."""
        return sorted((s for s in self._in("group", "") if s.key > after), key=lambda step: step.key)[:limit]

    def groups_after(self, after: str, limit: int) -> list[str]:
        """Return the keys of so many workloads after one, with all that is to be known of them."""
        return [group for group in self.groups() if group > after][:limit]

    def has_plain_undo(self) -> bool:
        """Whether something that was made on behalf of no workload is, or was, to be removed."""
        return any(step.compensates for step in self._in("group", ""))

    def unsettled(self) -> list[Step]:
        """Return the steps of workloads that are over, take something back or look for it, and didn't do so."""
        over = [step for step in self._in("state", "failed", "skipped") if step.group]
        return [step for step in over if step.compensates or step.reversal.only_look]

    def unfreed(self, limit: int) -> list[Step]:
        """Return so many steps that wait though nothing stands before them, or for what may never be, in order."""
        return [step for step in self._in("state", "waiting") if not step.waits or step.trouble.lacks][:limit]

    def failed(self) -> list[Step]:
        """Return the steps that failed, in order."""
        return self._in("state", "failed")

    def of_group(self, group: str) -> list[Step]:
        """Return the steps of one workload, in order."""
        return self._in("group", group)

    def groups(self) -> list[str]:
        """Return the keys of the workloads."""
        return sorted(which for (sort, which), keys in self._keys.items() if sort == "group" and which and keys)

    def wanting(self, limit: int) -> list[Step]:
        """Return up to *limit* steps that want a place on the conversion hosts, in order."""
        return self._in("state", "wanting")[:limit]

    def overdue(self, now: float) -> list[Step]:
        """Steps whose lease or rest is over."""
        return [s for s in self._in("state", "asked", "resting") if s.due is not None and s.due <= now]

    def add_part(self, attempt: int, part: int, documents: list[Document]) -> bool:
        """Keep one part of the documents; False when it's here already."""
        if (attempt, part) in self.parts:
            return False
        self.parts[(attempt, part)] = documents
        return True

    def all_documents(self, attempt: int) -> list[Document]:
        """Return the documents of all parts of one attempt, in order."""
        return [d for (a, _), part in sorted(self.parts.items()) if a == attempt for d in part]

    def described(self) -> list[tuple[str, Document]]:
        """Return the key and the document of each step that a document was planned as, in order."""
        steps = [s for s in self.all() if s.group in ("", s.key) and s.action in ("compare", "ensure")]
        return [(step.key, self.documents[step.key]) for step in steps]

    def keep_document(self, key: str, document: Document) -> None:
        """Keep the document of a step."""
        self.documents[key] = document


def results_of(ledger: Ledger, key: str) -> dict[str, Any]:
    """What a step has found; nothing when there's no such step."""
    step = ledger.step(key)
    return step.results if step else {}
