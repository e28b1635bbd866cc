"""What people are told of a migration: numbers that add up, and names that survive being printed."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import yaml
from stackferry import summary
from stackferry.resources import order
from stackferry_cli import output, report
from stackferry_cli.output import Format


def step(
    kind: str | None = "network", state: str = "done", outcome: str | None = "created", **more: Any
) -> dict[str, Any]:
    return {
        "key": "k", "action": "ensure", "kind": kind, "name": "net", "state": state, "outcome": outcome, "reason": None,
        "seconds": 1.5, "notes": [], "changes": [], **more,
    }  # fmt: skip


def migration(*steps: dict[str, Any], phase: str = "done") -> dict[str, Any]:
    return {"id": "m1", "phase": phase, "reason": "nobody home", "steps": list(steps)}


STEPS = [
    step("subnet"),
    step(),
    step(outcome="updated"),
    step(outcome="unchanged", seconds=None),
    step(state="failed", outcome="conflict"),
    step(state="skipped", outcome=None, seconds=None),
    step(state="asked", outcome=None, seconds=None),
    step(kind=None, action="export", outcome="done"),
    step("router", state="failed", outcome="failed", action="finish"),
    step("router", action="finish"),
]


def test_a_row_counts_the_steps_of_its_kind() -> None:
    rows = {row["kind"]: row for row in summary.by_kind(STEPS)}
    assert rows["network"] == {
        "kind": "network", "created": 1, "updated": 1, "unchanged": 1, "removed": 0, "restored": 0, "failed": 1, "skipped": 1,
        "seconds": 4.5,
    }  # fmt: skip
    assert (rows["subnet"]["created"], rows["router"]["failed"], rows["router"]["created"]) == (1, 1, 0)


def test_the_last_row_is_the_sum_and_the_others_are_in_the_order_of_the_kinds() -> None:
    *rows, total = summary.by_kind(STEPS)
    assert total["kind"] == "all"
    for column in summary.COLUMNS[1:]:
        assert total[column] == sum(row[column] for row in rows)
    kinds = [row["kind"] for row in rows]
    assert kinds == [kind for kind in order() if kind in kinds]


def test_nothing_is_zero_of_everything() -> None:
    (total,) = summary.by_kind([])
    assert {total[column] for column in summary.COLUMNS[1:]} == {0}


def test_what_did_not_succeed_is_listed() -> None:
    found = summary.failures(STEPS)
    assert [(s["kind"], s["state"]) for s in found] == [
        ("network", "failed"),
        ("network", "skipped"),
        ("router", "failed"),
    ]


@pytest.mark.parametrize(
    ("steps", "phase", "code"),
    [
        ([], "done", output.OK),
        ([step()], "done", output.OK),
        ([step(state="failed", outcome="failed")], "done", output.SOME_FAILED),
        ([step(state="skipped", outcome=None)], "done", output.SOME_FAILED),
        ([step()], "stuck", output.NEEDS_PERSON),
        ([step(state="failed", outcome="failed")], "stuck", output.NEEDS_PERSON),
    ],
)
def test_a_program_learns_by_the_exit_code(steps: list[Any], phase: str, code: int) -> None:
    assert report.exit_code(migration(*steps, phase=phase)) == code


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a print function; return what it printed."""
    console = output.plain_console(width=200, soft_wrap=True, file=io.StringIO())
    monkeypatch.setattr(output, "console", console)

    def run(function: Any, *args: Any) -> str:
        function(*args, Format.table)
        return str(console.file.getvalue())  # type: ignore[attr-defined]

    return run


@pytest.mark.parametrize("function", [report.print_report, report.print_plan])
@pytest.mark.parametrize("format_", [Format.json, Format.yaml])
def test_programs_get_everything(function: Any, format_: Format, capsys: pytest.CaptureFixture[str]) -> None:
    function(migration(*STEPS), format_)
    text = capsys.readouterr().out
    assert (json.loads(text) if format_ is Format.json else yaml.safe_load(text)) == migration(*STEPS)


def test_a_report_names_what_needs_attention_and_why(printed: Any) -> None:
    bad = step(state="failed", outcome="conflict", name="prod", reason="another mtu")
    text = printed(report.print_report, migration(step(), bad, phase="stuck"))
    assert "1 need attention" in text
    assert "conflict: network prod: another mtu" in text
    assert "stuck: nobody home" in text


def test_of_many_that_were_skipped_for_one_reason_a_few_are_named(printed: Any) -> None:
    why = "needs quota 'for 40 servers together', which failed"
    skipped = [step(state="skipped", outcome=None, name=f"s{n}", reason=why) for n in range(40)]
    other = step(state="skipped", outcome=None, name="other", reason="cancelled")
    text = printed(report.print_report, migration(*skipped, other))
    assert "41 need attention" in text
    assert text.count(why) == 6
    assert f"skipped: 35 more: {why}" in text
    assert "skipped: network other: cancelled" in text


def test_a_plan_says_when_all_together_do_not_fit(printed: Any) -> None:
    room = step("quota", state="failed", outcome="failed", action="room", name="for 2 servers together", reason="3 ...")
    text = printed(report.print_plan, migration(step(action="compare"), room))
    assert "quota     for 2 servers together: 3 ..." in text


def test_a_report_shows_notes(printed: Any) -> None:
    assert "note: network net: left out" in printed(report.print_report, migration(step(notes=["left out"])))


def test_a_plan_shows_what_would_be_done_and_counts_the_rest(printed: Any) -> None:
    compare = {"action": "compare"}
    change = {"field": "mtu", "from": 1500, "to": 1400}
    text = printed(
        report.print_plan,
        migration(
            step(**compare, name="new", notes=["left out"]),
            step(**compare, outcome="updated", name="old", changes=[change]),
            step(**compare, outcome="unchanged", name="same"),
            step(**compare, state="failed", outcome="missing", name="lost", reason="no network"),
        ),
    )
    assert "create    network new" in text
    assert "note: left out" in text
    assert "update    network old" in text
    assert "mtu: 1500 → 1400" in text
    assert "same" not in text
    assert "missing prerequisite network lost: no network" in text
    assert "plan m1: 1 to create, 1 to update, 1 unchanged, 1 not possible" in text


NAMES = ["[prod] net", "[/b]", "[red]x[/red]", "a\\[b", "ünï 🚢", ":ship: net", ""]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printed_as_it_is_where_it_failed(printed: Any, name: str) -> None:
    bad = step(state="failed", outcome="failed", name=name, reason=f"because of {name}")
    text = printed(report.print_report, migration(bad))
    assert f"network {name or '(no name)'}: because of {name}" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printed_as_it_is_in_a_plan(printed: Any, name: str) -> None:
    text = printed(report.print_plan, migration(step(action="compare", name=name)))
    assert f"network {name or '(no name)'}" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printed_as_it_is_in_a_note(printed: Any, name: str) -> None:
    text = printed(report.print_report, migration(step(name=name, notes=["left out"])))
    assert f"note: network {name or '(no name)'}: left out" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printed_as_it_is_in_a_table(printed: Any, name: str) -> None:
    text = printed(lambda format_: output.show([{"name": name}], format_, ("name",)))
    assert name in text
