"""What people see of workloads: lines in a pipe, rows on a terminal, a table afterwards; names as they are."""

from __future__ import annotations

import io
from typing import Any

import pytest
from stackferry.envelope import Envelope
from stackferry.messages import MigrationChanged, StepEnded
from stackferry.moved import earlier, report
from stackferry.progress import Amount, Progress
from stackferry.wording import words
from stackferry_cli import bars, lines, output, workloads

from .coordinator.documents import server, volume
from .coordinator.workload_world import Unkind, WorkloadWorld
from .test_progress import GIB, MIGRATION, Told, rows

MIB = 1 << 20


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = output.plain_console(width=240, soft_wrap=True, file=io.StringIO())
    for module in (lines, bars, output):
        monkeypatch.setattr(module, "console", made)
    return made


def text(console: Any) -> list[str]:
    found = str(console.file.getvalue()).splitlines()
    console.file.seek(0)
    console.file.truncate()
    return found


def copying(told: Told, name: str = "a", second: float = 0.0, done: int = 300 * MIB) -> None:
    told.now = second
    told("step-began", f"volume/{name}-disk0/copy/0")
    told("step-progressed", f"volume/{name}-disk0/copy/0", done=done, total=GIB)


def test_a_pipe_hears_of_each_phase_once_and_of_a_copy_now_and_then(console: Any) -> None:
    told, said = Told([server("a", 1)]), lines.Lines()
    told.done("server/a/check", outcome="created")
    said.show(told.progress, 0)
    text(console)
    for second in range(31):
        copying(told, second=float(second), done=(second + 1) * 30 * MIB)
        said.show(told.progress, float(second))
    found = text(console)
    assert found[0] == "server a: copying"
    assert len(found) == 5, found
    assert all(line.startswith("server a, volume a-disk0: copying ") for line in found[1:])
    assert "0.9 of 1.0 GiB, " in found[-1]
    assert found[-1].endswith(" left")


def test_a_pipe_hears_why_a_server_failed(console: Any) -> None:
    told, said = Told([server("[bold]a", 1)]), lines.Lines()
    key = next(iter(told.progress._groups))
    about = {"migration": MIGRATION, "workload": key, "results": {}}
    told.progress.take("workload-changed", {**about, "state": "failed", "reason": "no [room]"}, 0)
    said.show(told.progress, 0)
    assert text(console) == ["server [bold]a: failed: no [room]"]


@pytest.mark.parametrize(
    ("step", "outcome", "heard"),
    [("attach", "done", False), ("attach", "failed", True), ("check", "created", False), ("check", "missing", True),
     ("", "created", True)],
)  # fmt: skip
def test_a_pipe_hears_of_what_was_made_or_failed_and_not_of_each_little_step(
    console: Any, step: str, outcome: str, heard: bool
) -> None:
    data = {"migration": MIGRATION, "step": f"volume/v/{step}", "attempt": 1, "outcome": outcome, "kind": "volume",
            "name": "data", "reason": "no" if outcome == "failed" else None}  # fmt: skip
    lines.Lines().fact(Envelope(StepEnded.type, data, "t"))
    assert bool(text(console)) == heard


def test_a_terminal_shows_the_disks_that_move_else_the_server() -> None:
    told = Told([server("a", 2), server("b", 1), server("c", 1)])
    assert [key for key, *_ in bars.rows(told.progress.standings(0))] == ["server/a", "server/b", "server/c"]
    for name in "abc":
        told.done(f"server/{name}/check", f"server/{name}/look", outcome="created")
    assert list(bars.rows(told.progress.standings(0))) == [], "those that wait for a host are only counted"
    copying(told)
    told("step-began", "server/b/stop")
    found = [(key, label, of.amount) for key, label, of in bars.rows(told.progress.standings(0))]
    assert found == [
        ("volume/a-disk0", "a/a-disk0: copying", Amount(300 * MIB, GIB)),
        ("server/b", "b: stopping", Amount(0, GIB)),
    ]


def test_a_terminal_has_room_for_so_many_and_counts_the_others(console: Any) -> None:
    told = Told([server(f"s{n}", 1) for n in range(60)])
    for n in range(60):
        copying(told, f"s{n}")
    made = bars.Bars({"phase": "running", "totals": {"done": 3, "ready": 7}})
    made.show(told.progress, 0)
    tasks = made._progress.tasks
    assert len(tasks) == 2 + console.size.height - bars.AROUND
    assert tasks[0].fields["says"] == f"3 of 10 steps, {60 - (console.size.height - bars.AROUND)} more under way"
    assert tasks[1].description == "0 of 60 servers and volumes"
    told.progress = Progress()
    made.show(told.progress, 1)
    assert len(made._progress.tasks) == 2, "what is over leaves"


def test_a_terminal_follows_the_phase_and_prints_what_went_wrong(console: Any) -> None:
    made = bars.Bars({"phase": "new", "totals": {}})
    changed = {"migration": MIGRATION, "phase": "running", "was": "new", "totals": {"ready": 4}}
    made.fact(Envelope(MigrationChanged.type, changed, "t"))
    ended = {"migration": MIGRATION, "step": "s", "attempt": 1, "outcome": "created"}
    made.fact(Envelope(StepEnded.type, ended, "t"))
    made.fact(Envelope(StepEnded.type, {**ended, "outcome": "failed", "reason": "no room"}, "t"))
    assert (made._progress.tasks[0].description, made._progress.tasks[0].completed) == ("running", 1)
    assert text(console) == ["running", "failed      s: no room"]
    made.fact(Envelope(MigrationChanged.type, {**changed, "totals": {"done": 1, "failed": 2, "skipped": 1}}, "t"))
    assert made._progress.tasks[0].fields["says"] == "4 of 4 steps, 2 failed, 1 skipped"


@pytest.mark.parametrize(
    ("many", "told"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10 << 30, "10.0 GiB"), (5 << 50, "5.0 PiB")]
)
def test_bytes_for_people(many: int, told: str) -> None:
    assert words.size(many) == told


def test_amounts_and_times_for_people() -> None:
    assert words.amount(Amount(1 << 29, 10 << 30)) == "0.5 of 10.0 GiB"
    assert words.amount(Amount(3, 7)) == "3 of 7 B"
    assert [words.duration(s) for s in (None, 9, 70, 3730)] == ["", "0:09", "1:10", "1:02:10"]


# -- afterwards --------------------------------------------------------------------------------------------------


def counts(received: int) -> dict[str, Any]:
    return {"zero": 1, "raw": 2, "wire_received": received, "wire_sent": 10, "complete": True}


def moved() -> list[dict[str, Any]]:
    """The steps of a server that has arrived, with what its agents and its server's step said."""
    played = WorkloadWorld([server("db", 1, size=5), volume("loose")], 1, Unkind(0, 0, 0, 0))
    played.run()
    found = rows(played.ledger)
    for row in found:
        name = row["key"].split("/")[2] if row["key"].count("/") > 1 else ""
        if name in ("copy", "verify"):
            digest = None if row["key"].endswith("copy/0") else "ab" * 32
            row |= {"results": {"counts": counts(1000 if name == "copy" else 64), "digest": digest}, "seconds": 2.5}
        if row["key"] == "server/db":
            row["results"] |= {"downtime": 41.26, "passes": 2}
    return found


def test_a_report_says_what_a_server_took() -> None:
    (db, loose), _ = report(moved(), 1e9)
    assert (db["name"], db["kind"], db["phase"], db["downtime"], db["passes"]) == ("db", "server", "done", 41.26, 2)
    assert db["seconds"] > 0
    (disk,) = db["disks"]
    assert (disk["name"], disk["bytes_total"], disk["digest"], disk["is_verified"]) == (
        "db-disk0", 5 * GIB, "ab" * 32, True,
    )  # fmt: skip
    assert disk["bytes_on_wire"] == db["bytes_on_wire"] == 2 * (1000 + 10) + 2 * (64 + 10)
    assert disk["counts"]["copy"] == {"zero": 2, "raw": 4, "wire_received": 2000, "wire_sent": 20}
    assert disk["seconds"] == {"copy": 5.0, "verify": 5.0}
    assert (disk["source_id"], bool(disk["destination_id"])) == ("db-disk0", True)
    assert (loose["kind"], loose["downtime"], [d["digest"] for d in loose["disks"]]) == ("volume", None, ["ab" * 32])


def test_the_passes_before_the_last_one_count_as_well() -> None:
    first = {"counts": {"raw": 5, "wire_received": 700, "wire_sent": 3, "complete": True}}
    second = {"counts": {"raw": 1, "wire_received": 40, "wire_sent": 3}, **earlier(first, 9.0)}
    third = {"counts": {"raw": 0, "wire_received": 5, "wire_sent": 1}, "digest": "ab", **earlier(second, 2.0)}
    rows = [
        {"key": "server/w", "group": "server/w", "name": "w", "state": "done"},
        {"key": "volume/v/warm-copy/0", "group": "server/w", "state": "done", "results": third, "seconds": 1.5},
        {"key": "volume/v/copy/0", "group": "server/w", "state": "done", "results": {"digest": "cd"}, "seconds": 4.0},
    ]
    (disk,) = report(rows, 1e9)[0][0]["disks"]
    assert disk["counts"] == {"warm-copy": {"raw": 6, "wire_received": 745, "wire_sent": 7}}
    assert (disk["bytes_on_wire"], disk["seconds"]) == (752, {"warm-copy": 12.5, "copy": 4.0})
    assert (disk["digest"], disk["is_verified"]) == ("cd", True)
    assert earlier({}, 3.0) == {}


def test_two_digests_of_one_disk_are_none() -> None:
    steps = moved()
    next(s for s in steps if s["key"] == "volume/db-disk0/verify/1")["results"]["digest"] = "cd" * 32
    assert report(steps, 1e9)[0][0]["disks"][0]["digest"] is None


def test_a_table_of_what_was_moved(console: Any) -> None:
    steps = moved()
    workloads.print_workloads(*report(steps, 1e9))
    _, head, *found = text(console)
    assert head.split() == ["server", "phase", "disk", "size", "sent", "seconds", "downtime", "passes", "blake3"]
    assert [line.split()[:4] for line in found] == [["db", "done", "db-disk0", "5.0"], ["loose", "done", "1.0", "GiB"]]
    assert "41.3" in found[0]
    assert "abababababab" in found[0]


def test_a_table_of_what_is_under_way_counts_those_that_wait(console: Any) -> None:
    told = Told([server("a", 1), server("b", 1)])
    ledger = WorkloadWorld([server(n, 1) for n in "abc"], 1, Unkind(0, 0, 0, 0))
    ledger._tell("request-migration", ledger.request)
    ledger._tell("submit-documents", {"migration": MIGRATION, "part": 1, "documents": ledger.documents})
    steps = rows(ledger.ledger)
    for row in steps:
        if row["key"].endswith(("/check", "/look")):
            row["state"] = "done"
        if row["key"] == "volume/b-disk0/copy/0":
            row |= {"state": "asked", "attempt": 1, "done": GIB // 4, "rate": 64.0 * MIB}
    workloads.print_workloads(*report(steps, 5.0))
    _, head, row, total = text(console)
    assert head.split() == ["server", "phase", "disk", "size", "done", "rate", "left"]
    assert row.split() == [
        "b",
        "copying",
        "b-disk0",
        "1.0",
        "GiB",
        "copying",
        "0.2",
        "of",
        "1.0",
        "GiB",
        "64.0",
        "MiB/s",
        "0:28",
    ]
    assert total.startswith("servers and volumes: 1 copying, 2 waiting, 0.2 of 3.0 GiB copied, 64.0 MiB/s, 1:")
    assert told.one is not None
