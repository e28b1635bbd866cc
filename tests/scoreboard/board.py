"""The board: a row for each sort of fault, in Jepsen's words, kept in a file so that rows can be run one by one."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = Path(os.environ.get("SCOREBOARD") or ".scoreboard.json")
SEED = int(os.environ.get("SEED") or 1)
SCALE = float(os.environ.get("SCALE") or 1)
HEAD = ("", "fault", "attempted", "acknowledged", "completed", "recovered", "lost", "duplicated", "unexpected", "stuck",
        "p50 s", "p99 s", "seed")  # fmt: skip


@dataclass
class Row:
    """What was tried, and what came of it.

    ``attempted``: faults; ``acknowledged``: migrations, or requests, that were taken; ``completed``: those that ended as
    they should; ``recovered``: faults after which it went on; ``lost``, ``duplicated``: things at the destination that are
    missing, or there too often; ``unexpected``: what else should not be; ``stuck``: what never ended. ``times``: seconds
    from a fault until it went on.
    """

    row: str
    what: str
    attempted: int = 0
    acknowledged: int = 0
    completed: int = 0
    recovered: int = 0
    lost: int = 0
    duplicated: int = 0
    unexpected: int = 0
    stuck: int = 0
    times: list[float] = field(default_factory=list)
    seed: int = SEED
    notes: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, doubled, stuck or otherwise not as it should be."""
        return self.attempted > 0 and not (self.lost or self.duplicated or self.unexpected or self.stuck)

    def cells(self) -> list[str]:
        """The row as text."""
        counts = [getattr(self, name) for name in HEAD[2:10]]
        quantiles = (
            statistics.quantiles(self.times, n=100) if len(self.times) > 1 else [*self.times * 99] or [None] * 99
        )
        times = ["" if q is None else f"{q:.1f}" for q in (quantiles[49], quantiles[98])]
        return [self.row, self.what, *map(str, counts), *times, str(self.seed)]


def scaled(full: int) -> int:
    """How many faults at this scale; ``full`` is SCALE=1."""
    return max(1, round(full * SCALE))


def read() -> list[Row]:
    """The rows so far, in order."""
    try:
        rows = [Row(**row) for row in json.loads(FILE.read_text("utf-8"))]
    except FileNotFoundError:
        rows = []
    return sorted(rows, key=lambda row: (int("".join(filter(str.isdigit, row.row.partition(" ")[0]))), row.row))


def keep(row: Row) -> None:
    """Put a row on the board, in place of an earlier one of its name."""
    rows = [old for old in read() if old.row != row.row] + [row]
    FILE.write_text(json.dumps([asdict(one) for one in rows], indent=1), "utf-8")


@contextmanager
def scored(name: str, what: str) -> Iterator[Row]:
    """A row that is kept whatever happens; what ends with an error is unexpected."""
    row = Row(name, what)
    try:
        yield row
    except BaseException as error:
        row.unexpected += 1
        row.notes.append(f"{type(error).__name__}: {error}"[:2000])
        raise
    finally:
        keep(row)
    assert row.is_good, row


def table(rows: list[Row]) -> str:
    """The board in Markdown."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join(lines)


#: what rows are about that are told as one
TOGETHER = {
    "R2": "a crash at each of the named points between two side effects",
    "R6": "the destination's API fails once for each verb of each kind, in sixteen ways",
}


def folded(rows: list[Row]) -> list[Row]:
    """The rows of one name as one: those of each crash point, and of each way in which a cloud fails."""
    found: dict[str, Row] = {}
    for row in rows:
        name = row.row.partition(" ")[0]
        whole = found.setdefault(name, Row(name, TOGETHER.get(name, row.what), seed=row.seed))
        for count in HEAD[2:10]:
            setattr(whole, count, getattr(whole, count) + getattr(row, count))
        whole.times += row.times
    return list(found.values())


if __name__ == "__main__":
    print(table(folded(read())))
    for one in read():
        for note in one.notes:
            print(f"{one.row}: {note}")
