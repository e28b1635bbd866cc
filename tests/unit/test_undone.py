"""What was taken back is said to be: in rows, phases, tables, exit codes and the seconds that a server was down."""

from __future__ import annotations

import io
from typing import Any

import pytest
from stackferry import undone
from stackferry.moved import report as moved
from stackferry.progress import Progress
from stackferry_cli import output, report

from .coordinator.documents import server, volume
from .coordinator.workload_world import MIGRATION, Unkind, WorkloadWorld
from .test_progress import rows


def played(*documents: Any, undo: bool = True, **unkind: Any) -> WorkloadWorld:
    world = WorkloadWorld(list(documents), 1, Unkind(0, 0, 0, 0, **unkind))
    world.run()
    if undo:
        world._tell("control-migration", {"migration": MIGRATION, "action": "undo"})
        while not world._over():
            world._step()
    return world


def now(world: WorkloadWorld) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in undone.now(world.ledger.head.phase, rows(world.ledger))}


def test_what_was_created_and_taken_back_is_removed() -> None:
    found = now(played(server("a", 1), volume("v")))
    ensured = {key: (row["state"], row["outcome"]) for key, row in found.items() if row["action"] == "ensure"}
    assert {"server/a", "volume/v", "port/port-a", "volume/a-disk0"} <= set(ensured)
    assert set(ensured.values()) == {("removed", "removed")}
    assert found["server/a"]["reason"] is None


def step(key: str, state: str = "done", outcome: str = "created", **more: Any) -> dict[str, Any]:
    action = "remove" if "/undo/" in key else "ensure"
    return {"key": key, "action": action, "state": state, "outcome": outcome, "reason": None, **more}


@pytest.mark.parametrize(
    ("removal", "expected"),
    [([], "done"), ([step("network/n/undo/1", "removed", "removed")], "removed"),
     ([step("network/n/undo/1", "removed", "restored")], "restored"),
     ([step("network/n/undo/1", "removed", "restored"), step("network/n/undo/2", "removed", "removed")], "removed"),
     ([step("network/n/undo/1", "failed", "failed")], "done"),
     ([step("network/n/undo/1", "removed"), step("network/n/undo/2", "asked")], "done"),
     ([step("network/n/surplus/1", "removed")], "done")],
)  # fmt: skip
def test_a_resource_is_removed_once_all_that_was_made_is(removal: list[Any], expected: str) -> None:
    found, *_ = undone.now("undoing", [step("network/n"), *removal])
    assert found["state"] == expected


def test_what_was_updated_or_failed_stays_so() -> None:
    steps = [step("network/n", outcome="updated"), step("network/m", "failed", "failed", reason="no")]
    assert undone.now("undone", steps) == steps


def test_a_server_that_failed_in_a_run_has_failed_and_its_parts_are_removed() -> None:
    found = now(played(server("a", 1), undo=False, broken="verify"))
    assert found["server/a"]["state"] == "failed"
    assert found["port/port-a"]["outcome"] in (None, "removed")
    assert found["volume/a-disk0"]["outcome"] == "removed"


def test_the_phase_of_what_was_undone_is_taken_back() -> None:
    world = played(server("a", 1), volume("v"))
    workloads, overall = moved(now(world).values(), 0.0)
    assert overall["phases"] == {"taken back": 2}
    assert all(disk["phase"] == "taken back" for one in workloads for disk in one["disks"])


def test_whoever_looks_on_hears_that_it_was_taken_back() -> None:
    world = played(server("a", 1), undo=False)
    progress = Progress()
    progress.load(rows(world.ledger), 0.0)
    progress.take("migration-changed", {"phase": "undoing"}, 1.0)
    world._tell("control-migration", {"migration": MIGRATION, "action": "undo"})
    while not world._over():
        world._step()
    for row in rows(world.ledger):
        if undone.taken_back_by(row["key"]):
            data = {"step": row["key"], "attempt": 1, "outcome": "removed"}
            progress.take("step-ended", data, 2.0)
    failed = {"workload": "server/a", "state": "failed", "reason": "undone; taken back"}
    progress.take("workload-changed", failed, 3.0)
    (standing,) = progress.standings(4.0)
    assert standing.says == "taken back"


def migration(phase: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    defaults = {"kind": "network", "name": "n", "notes": [], "changes": [], "seconds": 1.0}
    return {"id": "m", "phase": phase, "reason": None, "steps": [defaults | one for one in steps], **more}


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = output.plain_console(width=240, file=io.StringIO())
    monkeypatch.setattr(output, "console", made)
    return made


def test_an_undo_that_worked_is_a_success(console: Any) -> None:
    steps = step("network/n", "removed", "removed"), step("network/m", "failed", "failed", reason="no room")
    state = migration("undone", *steps, created=100.0, changed=165.0)
    assert report.exit_code(state) == output.OK
    report.print_report(state, output.Format.table)
    text = console.file.getvalue()
    assert "need attention" not in text
    head, row, *_ = text.splitlines()
    assert dict(zip(head.split(), row.split(), strict=True))["removed"] == "1"
    assert "undone: what it created is removed, what it changed is as it was, 1:05 after it was asked for" in text


def test_a_table_of_a_run_has_no_column_for_what_was_removed(console: Any) -> None:
    report.print_report(migration("done", step("network/n")), output.Format.table)
    assert "removed" not in console.file.getvalue()


def test_a_server_that_was_taken_back_was_down_for_so_long() -> None:
    world = played(server("a", 1), undo=False, broken="verify")
    steps = list(now(world).values())
    (one,), _ = moved(steps, 0.0)
    start = next(row for row in steps if row["key"].startswith("server/a/stop/undo/"))
    stop = next(row for row in steps if row["key"] == "server/a/stop")
    assert one["downtime"] == pytest.approx(
        start["first_asked"] + (start["seconds"] or 0) - stop["first_asked"], abs=0.1
    )
    assert one["downtime"] > 0


def test_a_server_that_was_off_was_not_down() -> None:
    off = server("a", 1)
    off["_info"]["status"] = "SHUTOFF"
    (one,), _ = moved(now(played(off, undo=False, broken="verify")).values(), 0.0)
    assert one["downtime"] is None


def test_the_address_that_a_server_got_is_shown(console: Any) -> None:
    steps = [
        step("server/a", group="server/a", kind="server", name="a"),
        step(
            "floating_ip/f", group="server/a", kind="floating_ip", name="192.0.2.7", results={"address": "192.0.2.99"}
        ),
        step("floating_ip/g", group="server/a", kind="floating_ip", name="192.0.2.8", results={"address": "192.0.2.8"}),
    ]
    (one,), _ = moved(steps, 0.0)
    assert one["floating_ips"] == [
        {"source": "192.0.2.7", "destination": "192.0.2.99"}, {"source": "192.0.2.8", "destination": "192.0.2.8"},
    ]  # fmt: skip
    report.print_report(migration("done", *steps), output.Format.table)
    assert "192.0.2.99 (was 192.0.2.7), 192.0.2.8" in console.file.getvalue()
