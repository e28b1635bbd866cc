"""Change the code in small ways, one at a time, and see whether the tests notice: `make mutants` (N, SEED, WHERE).

Of all mutants that cosmic-ray makes of the coordinator's pure rooms, the journal and the pump's protocol, N are drawn by
SEED and tried, in a copy of what is committed; with WHERE only of the parts in which it stands (`journal`). Survivors are printed with their diffs: each one is a test that's missing,
or code that makes no difference.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COORDINATOR, TRANSFER = "services/coordinator/stackferry_coordinator", "services/transfer/stackferry_transfer"
#: what is mutated → what must notice
PARTS = {
    (f"{COORDINATOR}/plan", f"{COORDINATOR}/rules", f"{COORDINATOR}/hosts"): (
        "tests/unit/coordinator", "tests/unit/test_graph.py", "tests/unit/test_progress.py",
        "tests/unit/test_step_key.py", "tests/integration/test_fleet.py",
    ),
    (f"{TRANSFER}/disk/journal.py", f"{TRANSFER}/pump/protocol.py"): (
        "tests/transfer/test_journal.py", "tests/transfer/test_protocol.py", "tests/transfer/test_pull.py",
        "tests/transfer/test_kill.py",
    ),
}  # fmt: skip
CONFIG = """\
[cosmic-ray]
module-path = {modules}
timeout = 300.0
excluded-modules = []
test-command = "{python} -m pytest -q -x -p no:cacheprovider -m 'not postgresql' {tests}"

[cosmic-ray.distributor]
name = "local"
"""


def main() -> int:
    """Return how many have survived."""
    many, seed = int(os.environ.get("N") or 100), int(os.environ.get("SEED") or 1)
    with tempfile.TemporaryDirectory(prefix="stackferry-mutants-") as folder:
        copy = Path(folder, "copy")
        subprocess.run(["git", "clone", "-q", str(ROOT), str(copy)], check=True)
        where = os.environ.get("WHERE", "")
        parts = [part for part in PARTS.items() if any(where in module for module in part[0])]
        sessions = [_session(copy, number, *part) for number, part in enumerate(parts)]
        _draw(sessions, many, random.Random(seed))
        for config, session in sessions:
            _cosmic_ray(copy, "exec", config, session)
        return sum(_report(session) for _, session in sessions)


def _session(copy: Path, number: int, modules: tuple[str, ...], tests: tuple[str, ...]) -> tuple[Path, Path]:
    config, session = copy.parent / f"{number}.toml", copy.parent / f"{number}.sqlite"
    config.write_text(CONFIG.format(modules=list(modules), python=sys.executable, tests=" ".join(tests)))
    _cosmic_ray(copy, "init", config, session)
    return config, session


def _cosmic_ray(copy: Path, *words: object) -> None:
    rooms = [str(path.parent) for path in copy.glob("**/pyproject.toml") if path.parent != copy]
    environ = {**os.environ, "PYTHONPATH": ":".join([*rooms, str(copy)])}  # before the rooms that are installed
    program = ROOT / ".tools" / "bin" / "cosmic-ray"
    subprocess.run([str(program), *map(str, words)], cwd=copy, env=environ, check=True)


def _draw(sessions: list[tuple[Path, Path]], many: int, rng: random.Random) -> None:
    """Leave so many mutants in all sessions together; `str | None` in an annotation isn't code."""
    known: dict[tuple[Any, ...], tuple[Path, str]] = {}
    query = "SELECT module_path, operator_name, operator_args, occurrence, job_id FROM mutation_specs"
    for _, session in sessions:
        with sqlite3.connect(session) as connection:
            known |= {tuple(map(str, which)): (session, id_) for *which, id_ in connection.execute(query)}
    real = sorted(which for which in known if "BitOr" not in which[1])
    drawn = set(rng.sample(real, min(many, len(real))))
    print(f"{len(drawn)} of {len(real)} mutants are tried", flush=True)
    for which in known.keys() - drawn:
        session, id_ = known[which]
        with sqlite3.connect(session) as connection:
            connection.execute("DELETE FROM mutation_specs WHERE job_id = ?", (id_,))
            connection.execute("DELETE FROM work_items WHERE job_id = ?", (id_,))


def _report(session: Path) -> int:
    """Print the survivors of a session, and how many were killed."""
    query = "SELECT test_outcome, diff FROM work_results ORDER BY job_id"
    with sqlite3.connect(session) as connection:
        results = [(str(outcome).rpartition(".")[2].lower(), diff) for outcome, diff in connection.execute(query)]
    survivors = [diff for outcome, diff in results if outcome == "survived"]
    print(*survivors, f"{len(results)} tried, {len(results) - len(survivors)} killed", sep="\n\n", flush=True)
    return len(survivors)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
