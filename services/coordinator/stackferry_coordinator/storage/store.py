"""The ledger in the database: loads only the rows that a message touches, writes back only what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, String, bindparam, cast, insert, select, update
from stackferry.step_key import UNDO

from ..plan.ledger import Document, Head, Ledger
from ..plan.step import CONCERNS, Step, concerns, stored
from . import tables as t
from .retention import FORGOTTEN

_HEAD = Head.__slots__
_STEP = (*(name for name in Step.__slots__ if name not in CONCERNS), "hints")
_KEY, *_TUPLES = (_STEP.index(name) for name in ("key", "made", "notes", "changes"))
_NAMES = _STEP[:-1]
_BOUND = tuple(tuple(f"b_{name}" for name in names) for names in (_HEAD, _STEP))
_HEAD_VALUES, _STEP_VALUES = attrgetter(*_HEAD), attrgetter(*_NAMES)
# Statements that each message needs are made once: SQLAlchemy takes longer to make one than SQLite to answer it.
_STEPS = select(*(t.step.c[name] for name in _STEP)).where(t.step.c.migration == bindparam("m"))
_BY_KEY = _STEPS.where(t.step.c.key == bindparam("k"))
_GROUP_OF = select(t.step.c.group).where(t.step.c.migration == bindparam("m"), t.step.c.key == bindparam("k"))
_WITH_HEAD = _STEPS.where(t.step.c.key.in_([bindparam("k"), bindparam("p"), _GROUP_OF.scalar_subquery()]))
_BY_GROUP = _STEPS.where(t.step.c.group == bindparam("g"))
_FIRST = _STEPS.where(t.step.c.state == bindparam("s")).order_by(t.step.c.order).limit(bindparam("n"))
_HEAD_OF = (
    select(*(t.migration.c[name] for name in _HEAD))
    .where(t.migration.c.id == bindparam("m"), t.migration.c.phase != FORGOTTEN)
    .with_for_update()
)
_BEFORE = select(t.edge.c.before, t.edge.c.hard).where(
    t.edge.c.migration == bindparam("m"), t.edge.c.after == bindparam("k")
)
_EDGES = select(t.edge.c.before, t.edge.c.after, t.edge.c.hard).where(t.edge.c.migration == bindparam("m"))
_PLAIN = _STEPS.where(t.step.c.group == "")
#: steps of workloads that take something back or look for it, and have ended without
_UNSETTLED = _STEPS.where(
    t.step.c.group != "",
    t.step.c.state.in_(("failed", "skipped")),
    t.step.c.key.contains(UNDO) | cast(t.step.c.hints, String).contains('"only_look": true'),
)
_UNFREED = _STEPS.where(
    t.step.c.state == "waiting", (t.step.c.waits == 0) | cast(t.step.c.hints, String).contains('"lacks": true')
).order_by(t.step.c.order)
FEW = 500  # keys in one statement
_STEPS_AFTER = (
    select(t.edge.c.hard, *(t.step.c[name] for name in _STEP))
    .join(t.step, (t.step.c.migration == t.edge.c.migration) & (t.step.c.key == t.edge.c.after))
    .where(t.edge.c.migration == bindparam("m"), t.edge.c.before == bindparam("k"))
)
_DOCUMENT = select(t.document.c.content).where(
    t.document.c.migration == bindparam("m"), t.document.c.key == bindparam("k")
)
_CHANGE = (
    update(t.step)
    .where(t.step.c.migration == bindparam("b_migration"), t.step.c.key == bindparam("b_key"))
    .values({name: bindparam(f"b_{name}") for name in _STEP if name != "key"})
)
_CHANGE_HEAD = (
    update(t.migration)
    .where(t.migration.c.id == bindparam("b_id"))
    .values({name: bindparam(f"b_{name}") for name in (*_HEAD, "changed") if name != "id"})  # all steps depend on that
)


@dataclass(slots=True)
class Links:
    """What a step comes after, and what comes after it: (key, hard) each."""

    before: list[tuple[str, bool]] = field(default_factory=list)
    after: list[tuple[str, bool]] = field(default_factory=list)


class Store(Ledger):
    """One migration's ledger inside of one transaction.

    Call :meth:`flush` before the commit, or whenever a query
    must see what has changed.
    """

    def __init__(self, connection: Connection, head: Head) -> None:
        super().__init__(head)
        self.connection = connection
        self.documents = _Documents(self)
        self._head_before: Head | None = head
        self._clean: dict[str, Step] = {}
        self._absent: set[str] = set()
        self._complete = False
        self._whole: set[str] = set()  # workloads whose steps are all here
        self._linked_to: dict[str, Links] = {}  # of steps whose links are all here: before and after each
        self._new_links: list[dict[str, Any]] = []
        self._new_documents: list[dict[str, Any]] = []

    @classmethod
    def open(cls, connection: Connection, migration: str) -> Store | None:
        """Lock and return the ledger of a migration; None when there's no such migration."""
        row = connection.execute(_HEAD_OF, {"m": migration}).mappings().one_or_none()
        return cls(connection, Head(**row)) if row else None

    @classmethod
    def create(cls, connection: Connection, head: Head, now: float, owner: str = "") -> Store:
        """Return the ledger of a new migration, of which a user of the broker speaks first."""
        head = replace(head, created=now, owner=owner[:255])
        connection.execute(insert(t.migration).values(**_row(head), changed=now))
        return cls(connection, head)

    # -- reading -----------------------------------------------------------------------------------------

    def step(self, key: str) -> Step | None:
        if key not in self.steps and key not in self._absent and not self._complete:
            self._take(self._ask(_BY_KEY, k=key))
            if key not in self.steps:
                self._absent.add(key)
        return self.steps.get(key)

    def near(self, key: str, place: str) -> None:
        """Load a step with that of its workload and that of its place: who changes one looks at the others."""
        if key not in self.steps and not self._complete:
            self._take(self._ask(_WITH_HEAD, k=key, p=place))

    def all(self) -> list[Step]:
        if not self._complete:
            self._load()
            self._complete = True
            self._take_links(self._ask(_EDGES), self.steps)
        return super().all()

    def bring(self, keys: Iterable[str]) -> None:
        for some in _batches([key for key in keys if key not in self.steps]):
            self._load(t.step.c.key.in_(some))
        self._surround(list(keys))

    def plain(self, after: str = "", limit: int | None = None) -> list[Step]:
        if not self._complete:
            key = self._as_here(t.step.c.key)
            query = _PLAIN.where(key > after).order_by(key).limit(limit)
            keys = self._take(self._ask(query))
            self._surround(keys)
        return super().plain(after, limit)

    def groups_after(self, after: str, limit: int) -> list[str]:
        if self._complete:
            return super().groups_after(after, limit)
        c = t.step.c
        group = self._as_here(c.group)
        query = select(group).distinct().where(*self._mine(t.step), group > after).order_by(group).limit(limit)
        groups = list(self.connection.execute(query).scalars())
        self._surround(self._take(self._ask(_STEPS.where(c.group.in_(groups)))))
        self._whole.update(groups)
        return groups

    def has_plain_undo(self) -> bool:
        c = t.step.c
        query = select(c.key).where(*self._mine(t.step), c.group == "", c.key.contains(UNDO)).limit(1)
        return self.connection.execute(query).first() is not None or super().has_plain_undo()

    def unsettled(self) -> list[Step]:
        if not self._complete:
            self._take(self._ask(_UNSETTLED))
        return super().unsettled()

    def unfreed(self, limit: int) -> list[Step]:
        if not self._complete:
            here = sum(1 for step in self._clean.values() if step.state == "waiting")  # these may have changed
            self._surround(self._take(self._ask(_UNFREED.limit(limit + here))))
        return super().unfreed(limit)

    def failed(self) -> list[Step]:
        if not self._complete:
            self._load(t.step.c.state == "failed")
        return super().failed()

    def _surround(self, keys: list[str]) -> None:
        """Load the links of these steps, and the steps that they lead to: each by itself would be a question."""
        keys = [key for key in keys if key not in self._linked_to]
        c = t.edge.c
        for few in _batches(keys):
            links = {tuple(row) for side in (c.before, c.after) for row in self._ask(_EDGES.where(side.in_(few)))}
            self._take_links(links, few)
            others = {key for before, after, _ in links for key in (before, after)} - self.steps.keys()
            for some in _batches(sorted(others)):
                self._load(t.step.c.key.in_(some))

    def _take_links(self, links: Any, keys: Iterable[str]) -> None:
        """Take in all links of these steps, as the database has them."""
        found = {key: Links() for key in keys}
        for before, after, hard in links:
            if before in found:
                found[before].after.append((after, hard))
            if after in found:
                found[after].before.append((before, hard))
        self._linked_to |= found

    def ready(self, limit: int) -> list[Step]:
        self._load_first("ready", limit)
        return super().ready(limit)

    def of_group(self, group: str) -> list[Step]:
        if not self._complete and group not in self._whole:
            self._take(self._ask(_BY_GROUP, g=group))
            self._whole.add(group)
        return super().of_group(group)

    def groups(self) -> list[str]:
        query = select(t.step.c.group).distinct().where(*self._mine(t.step), t.step.c.group != "")
        return sorted({*self.connection.execute(query).scalars(), *super().groups()})

    def wanting(self, limit: int) -> list[Step]:
        self._load_first("wanting", limit)
        return super().wanting(limit)

    def overdue(self, now: float) -> list[Step]:
        if not self._complete:
            self._load(t.step.c.state.in_(("asked", "resting")), t.step.c.due <= now)
        return super().overdue(now)

    def after(self, key: str) -> list[tuple[str, bool]]:
        if key in self._linked_to:
            return self._linked_to[key].after + super().after(key)
        rows = self._ask(_STEPS_AFTER, k=key)
        self._take(row[1:] for row in rows)  # whoever asks looks at them next
        return [(row[1], row[0]) for row in rows] + super().after(key)

    def before(self, key: str) -> list[tuple[str, bool]]:
        if key in self._linked_to:
            return self._linked_to[key].before + super().before(key)
        return self._linked(_BEFORE, key) + super().before(key)

    def all_documents(self, attempt: int) -> list[Document]:
        query = (
            select(t.part.c.documents).where(*self._mine(t.part), t.part.c.attempt == attempt).order_by(t.part.c.number)
        )
        return [document for documents in self.connection.execute(query).scalars() for document in documents]

    def described(self) -> list[tuple[str, Document]]:
        c = t.step.c
        query = (
            select(c.key, t.document.c.content)
            .join(t.document, (t.document.c.migration == c.migration) & (t.document.c.key == c.key))
            .where(*self._mine(t.step), c.group.in_(("", c.key)), c.action.in_(("compare", "ensure")))
            .order_by(c.order)
        )
        return [(row[0], row[1]) for row in self.connection.execute(query)]

    def _load_first(self, state: str, limit: int) -> None:
        """Load so many steps that are in a state, in order; those that are here already may have left it."""
        if self._complete or limit <= 0 or not self.head.counts.get(state):
            return
        here = sum(1 for step in self._clean.values() if step.state == state)  # these come back from the database, too
        self._take(self._ask(_FIRST, s=state, n=limit + here))

    def _as_here(self, column: Any) -> Any:
        """A text that the database orders as Python does, whatever its locale."""
        return column.collate("C") if self.connection.dialect.name == "postgresql" else column

    def _mine(self, table: Any) -> list[Any]:
        return [table.c.migration == self.head.id]

    def _ask(self, query: Any, **bound: Any) -> Sequence[Any]:
        """All rows of this migration that answer a query, at once: one by one they'd cost twice as much."""
        return self.connection.execute(query, {"m": self.head.id, **bound}).all()

    def _linked(self, query: Any, key: str) -> list[tuple[str, bool]]:
        return [(row[0], row[1]) for row in self._ask(query, k=key)]

    def _load(self, *conditions: Any) -> None:
        self._take(self._ask(_STEPS.where(*conditions)))

    def _take(self, rows: Any) -> list[str]:
        """Take in rows of _STEPS that aren't here yet; those that are may have changed. Return the keys of all."""
        keys = []
        for row in rows:
            keys.append(row[_KEY])
            if row[_KEY] not in self.steps:
                values = list(row)
                for place in _TUPLES:
                    values[place] = tuple(values[place])
                said = dict(zip(_NAMES, values, strict=False))
                self._clean[row[_KEY]] = step = Step(**said, **concerns(values[-1]))
                self._hold(step)
        return keys

    # -- writing -----------------------------------------------------------------------------------------

    def add(self, step: Step) -> Step:
        if self.head.agenda is None:  # else an earlier slice may have linked it to what comes after it
            self._linked_to.setdefault(step.key, Links())
        return super().add(step)

    def link(self, before: str, after: str, hard: bool) -> None:
        super().link(before, after, hard)
        self._new_links.append({"migration": self.head.id, "before": before, "after": after, "hard": hard})

    def add_part(self, attempt: int, part: int, documents: list[Document]) -> bool:
        known = select(t.part.c.number).where(*self._mine(t.part), t.part.c.attempt == attempt, t.part.c.number == part)
        if self.connection.execute(known).first():
            return False
        row = {"migration": self.head.id, "attempt": attempt, "number": part, "documents": documents}
        self.connection.execute(insert(t.part).values(row))
        return True

    def keep_document(self, key: str, document: Document) -> None:
        self.documents[key] = document
        self._new_documents.append({"migration": self.head.id, "key": key, "content": document})

    def flush(self, now: float) -> None:
        """Write what changed."""
        changed = [step for key, step in self.steps.items() if self._clean.get(key) is not step]
        new = [_row(step) | {"migration": self.head.id} for step in changed if step.key not in self._clean]
        old = [_bound(step) | {"b_migration": self.head.id} for step in changed if step.key in self._clean]
        for table, rows in ((t.step, new), (t.edge, self._new_links), (t.document, self._new_documents)):
            if rows:
                self.connection.execute(insert(table), rows)
        if old:
            self.connection.execute(_CHANGE, old)
        if self.head != self._head_before:
            self.connection.execute(_CHANGE_HEAD, _bound(self.head) | {"b_changed": now})
        self._clean.update((step.key, step) for step in changed)
        for link in self._new_links:  # they are in the database now
            before, after, hard = link["before"], link["after"], link["hard"]
            if before in self._linked_to:
                self._linked_to[before].after.append((after, hard))
            if after in self._linked_to:
                self._linked_to[after].before.append((before, hard))
        self._new_links, self._new_documents, self._head_before = [], [], self.head
        self._after, self._before = {}, {}


def _batches(keys: list[str]) -> Iterator[list[str]]:
    return (keys[first : first + FEW] for first in range(0, len(keys), FEW))


class _Documents(dict[str, Document]):
    """Documents by step key, loaded when asked for."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    def __missing__(self, key: str) -> Document:
        self[key] = self._store.connection.execute(_DOCUMENT, {"m": self._store.head.id, "k": key}).scalar_one()
        return self[key]


def _row(record: Head | Step, names: tuple[tuple[str, ...], ...] = (_HEAD, _STEP)) -> dict[str, Any]:
    """A record as a row; *names*: what the values of heads, and of steps, are called."""
    if isinstance(record, Head):
        return dict(zip(names[0], _HEAD_VALUES(record), strict=True))
    values = [list(value) if type(value) is tuple else value for value in _STEP_VALUES(record)]
    return dict(zip(names[1], [*values, stored(record)], strict=True))


def _bound(record: Head | Step) -> dict[str, Any]:
    """A row for a statement whose values must not be called like the columns."""
    return _row(record, _BOUND)
