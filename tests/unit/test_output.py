"""What reaches a terminal, a pipe and a program: names give no orders, nothing is cut, times are RFC 3339."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from stackferry import __version__
from stackferry.errors import Error
from stackferry.messages import MigrationChanged
from stackferry.printable import printable
from stackferry_cli import app, bars, lines, output, report
from stackferry_cli.commands import cleanup, clouds, data, dead_letters, hosts, migrations
from stackferry_cli.hosts import asking
from stackferry_cli.output import Format
from typer.testing import CliRunner

from .coordinator.documents import server
from .test_documents import EXAMPLES
from .test_progress import Told

#: clear the screen, colour, a C1 introducer, a fake line, a bell, writing from right to left, half a pair
NASTY = [
    "a\x1b[2Jb",
    "a\x1b]0;title\x07b",
    "a\x9b31mb",
    "a\nerror: all is lost",
    "a\rb",
    "a\u202eb",
    "a\ud800b",
    "a\x7fb",
]


def acting(text: str) -> set[str]:
    return {character for character in text if printable(character) != character} - {"\n"}


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = output.plain_console(width=400, soft_wrap=True, file=io.StringIO(), force_terminal=True, color_system=None)
    for module in (output, lines, bars):
        monkeypatch.setattr(module, "console", made)
    monkeypatch.setattr(output, "errors", made)
    return made


def step(name: str, **more: Any) -> dict[str, Any]:
    return {"key": "k", "action": "ensure", "kind": "network", "name": name, "state": "failed", "outcome": "failed",
            "reason": f"because of {name}", "seconds": 1.0, "notes": [f"note of {name}"],
            "changes": [{"field": name, "from": name, "to": name}], **more}  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_a_name_gives_the_terminal_no_orders(console: Any, name: str) -> None:
    state = {"id": name, "phase": "stuck", "reason": name, "mode": "run"}
    report.print_report({**state, "steps": [step(name), step(name, kind="server", group="k")]}, Format.table)
    report.print_plan({**state, "steps": [step(name, action="compare")]}, Format.table)
    output.show([{"name": name}], Format.table, ("name",), name)
    output.tell(Format.table, {}, name)
    text = console.file.getvalue()
    assert not acting(text)
    assert printable(name) in text
    assert "\nerror: all is lost" not in text


@pytest.mark.parametrize("name", NASTY)
def test_a_name_gives_no_orders_while_it_is_under_way(console: Any, name: str) -> None:
    document = server("s", 1)
    document["params"]["name"] = name.replace("\ud800", "")
    told = Told([document])
    said = lines.Lines()
    told.done("server/s/check", outcome="created")
    said.show(told.progress, 0)
    text = console.file.getvalue()
    assert not acting(text)
    assert text.count("\n") <= 1


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("format_", [Format.json, Format.yaml])
def test_a_program_gets_the_name_and_the_terminal_no_orders(
    capsys: pytest.CaptureFixture[str], name: str, format_: Format
) -> None:
    output.show({"name": name, "plain": "образ"}, format_)
    text = capsys.readouterr().out
    assert not acting(text)
    if format_ is Format.yaml and "\ud800" in name:
        return  # YAML has no word for half a pair
    assert (json.loads(text) if format_ is Format.json else yaml.safe_load(text)) == {"name": name, "plain": "образ"}


def test_an_error_is_one_line_and_gives_no_orders(console: Any) -> None:
    with pytest.raises(SystemExit):
        app._end(typer.BadParameter("cloud 'a\x1b[2J\nb' is not there"), 2)
    assert console.file.getvalue() == "error: cloud 'a\\x1b[2J\\nb' is not there\n"


def test_a_table_in_a_pipe_is_not_cut() -> None:
    code = "from stackferry_cli import output; output.show([{'a': 'x' * 3000, 'b': 'y' * 300}], output.Format.table, ('a', 'b'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    _, row = done.stdout.splitlines()
    assert row.split() == ["x" * 3000, "y" * 300]


def test_times_are_rfc_3339_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    state = {"created": 1_764_435_600.25, "totals": {"created": 3}, "results": {"over": 1_764_435_601, "down": None},
             "steps": [{"first_asked": 1_764_435_600.5, "seconds": 2.5}]}  # fmt: skip
    output.show(state, Format.json)
    assert json.loads(capsys.readouterr().out) == {
        "created": "2025-11-29T17:00:00.250Z", "totals": {"created": 3},
        "results": {"over": "2025-11-29T17:00:01.000Z", "down": None},
        "steps": [{"first_asked": "2025-11-29T17:00:00.500Z", "seconds": 2.5}],
    }  # fmt: skip


def commands(group: Any, path: tuple[str, ...] = ()) -> Any:
    for name, command in group.commands.items():
        if isinstance(command, click.Group) or hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


EVERY = dict(commands(typer.main.get_command(app.app)))
SERVES = (("bridge",), ("hosts", "scale"))  # they say what happens, and end when they're stopped


@pytest.mark.parametrize("path", [path for path in EVERY if path not in SERVES], ids=" ".join)
def test_every_command_prints_json(path: tuple[str, ...]) -> None:
    assert {"-o", "--output"} <= {opt for param in EVERY[path].params for opt in param.opts}


def test_a_plan_takes_what_a_migration_takes() -> None:
    taken = {
        path: {opt for param in EVERY[path].params for opt in param.opts if opt.startswith("--")} for path in EVERY
    }
    assert taken[("migrate",)] - {"--detach", "--yes"} <= taken[("plan",)]
    assert taken[("migrate",)] - {"--detach", "--yes"} <= taken[("import",)]


ID = "11111111-2222-3333-4444-555555555555"
HOST = {"name": "conv", "id": "h1", "cloud": "src", "state": "up", "used": 0, "draining": False}


class Ferry:
    """The services, with one migration and one host; whatever is asked for is done at once."""

    timeout = 1.0

    def __init__(self, phase: str = "done", mode: str = "run") -> None:
        self.phase, self.mode, self.draining = phase, mode, False

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def migrate(self, *_: Any, mode: str = "run", **__: Any) -> str:
        self.mode = mode
        return ID

    def show(self, *_: Any, **__: Any) -> dict[str, Any]:
        keep = {**step("n"), "state": "done", "outcome": "created", "action": "keep", "document": EXAMPLES["networks"]}
        return {"id": ID, "phase": self.phase, "mode": self.mode, "paused": False, "reason": "nobody home",
                "created": 1_764_435_600.0, "changed": 1_764_435_660.0, "steps": [keep], "totals": {"done": 1},
                "source": {"cloud": "src"}, "destination": {"cloud": "dst"}}  # fmt: skip

    def migrations(self, phases: Any = None, labels: Any = None) -> list[dict[str, Any]]:
        return [self.show()]

    def check(self, *_: Any) -> dict[str, Any]:
        return {"user": "me", "project": "p", "roles": []}

    def hosts(self) -> list[dict[str, Any]]:
        return [HOST | {"draining": self.draining}]

    def control_host(self, _: str, action: str) -> None:
        self.draining = action == "drain"

    def hear(self, *_: Any) -> Any:
        return MigrationChanged.make("tests", {"migration": ID, "phase": "done"})

    def control(self, *_: Any) -> None:
        pass


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*words: str, phase: str = "done", mode: str = "run") -> Any:
        ferry = Ferry(phase, mode)
        for module in (data, migrations, clouds, hosts, cleanup, asking):
            monkeypatch.setattr(module, "client", lambda: nullcontext(ferry), raising=False)
        monkeypatch.setattr(dead_letters.deadletters, "browse", lambda uri: [])
        for name, done in (("retry", [{"id": "a", "stays": None}]), ("drop", [{"id": "a"}])):
            monkeypatch.setattr(dead_letters.deadletters, name, lambda uri, wanted, done=done: done)
        monkeypatch.setenv("AMQP_URI", "amqp://u:p@127.0.0.1:1//")
        monkeypatch.setenv("STACKFERRY_HOME", str(tmp_path / "home"))
        return CliRunner().invoke(app.app, words)

    return run


@pytest.mark.parametrize(
    ("words", "phase"),
    [
        ("export {tmp}/new", "done"), ("validate {tmp}", "done"), ("plan {tmp}", "done"), ("import {tmp}", "done"),
        ("migrate --yes", "done"), ("migrate --detach --yes", "done"), ("watch", "done"), ("list", "done"), ("show", "done"),
        ("show --steps", "done"), ("start", "planned"), ("pause", "running"), ("cancel last", "running"),
        ("retry", "done"), ("undo last --yes", "done"), ("clouds check src", "done"), ("hosts list", "done"),
        ("hosts drain conv", "done"), ("hosts resume conv", "done"), ("dead-letters list", "done"),
        ("dead-letters retry --all", "done"), ("dead-letters drop a", "done"), ("down", "done"),
    ],
)  # fmt: skip
def test_nothing_but_json_is_on_stdout(ran: Any, tmp_path: Path, words: str, phase: str) -> None:
    (tmp_path / "networks.yml").write_text(data.documents.dump([EXAMPLES["networks"]]))
    done = ran(*words.replace("{tmp}", str(tmp_path)).split(), "-o", "json", phase=phase)
    assert done.exit_code == 0, (done.output, done.exception)
    assert json.loads(done.stdout) is not None


@pytest.mark.parametrize("command", ["migrate --yes", "plan -s src", "export {tmp}/new", "import {tmp}", "plan {tmp}"])
def test_what_matches_nothing_is_said(ran: Any, tmp_path: Path, command: str) -> None:
    (tmp_path / "networks.yml").write_text(data.documents.dump([EXAMPLES["networks"]]))
    words = command.replace("{tmp}", str(tmp_path)).split()
    shown = ran(*words, "-f", "network=n", "-f", "network=blu", "-f", "subnet~^x").stderr
    assert [line for line in shown.splitlines() if "matches nothing" in line] == [
        "warning: network=blu matches nothing", "warning: subnet~^x matches nothing",
    ]  # fmt: skip


@pytest.mark.parametrize(("words", "when"), [
    ("", "while their disks are copied"),
    ("-k network -k server", "while their disks are copied"),
    ("--warm", "for the last pass of their disks"),
    ("--warm --cutover 2031-01-31T02:00:00+01:00", "at their cut-over"),
    ("--warm --cutover auto", "for the last pass of their disks"),
    ("--warm --cutover manual", None),
    ("--wait-for-shutdown", None),
    ("-k network", None),
    ("--yes", None),
])  # fmt: skip
def test_migrate_asks_before_it_stops_servers(ran: Any, words: str, when: str | None) -> None:
    done = ran("migrate", *words.split())
    if when is None:
        assert done.exit_code == output.OK, done.output
    else:
        assert isinstance(done.exception, Error)
        assert f"Running servers of src are stopped {when}. Go on? Nobody answers here: look, and say --yes" in str(
            done.exception
        )


def test_a_migration_that_needs_a_person_ends_show_with_four(ran: Any) -> None:
    for words in (("show",), ("show", "-o", "json"), ("watch",)):
        assert ran(*words, phase="stuck").exit_code == output.NEEDS_PERSON
        assert ran(*words, phase="done").exit_code == output.OK


@pytest.mark.parametrize("words", [("plan", "-s", "src"), ("show",)])
def test_a_plan_that_needs_a_person_ends_with_four(ran: Any, words: tuple[str, ...]) -> None:
    done = ran(*words, phase="stuck", mode="plan")
    assert done.exit_code == output.NEEDS_PERSON


def test_the_reason_of_a_plan_that_is_stuck_is_printed(console: Any) -> None:
    why = "cloud 'src' refuses the credentials: 401; check clouds.yaml"
    report.print_plan({"id": "m", "phase": "stuck", "reason": why, "steps": []}, Format.table)
    assert f"stuck: {why}" in console.file.getvalue()


def test_the_version_is_printed(ran: Any) -> None:
    done = ran("--version")
    assert (done.exit_code, done.stdout) == (0, f"stackferry {__version__}\n")


def test_the_uri_of_a_user_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMQP_URI", raising=False)
    monkeypatch.setenv("STACKFERRY_HOME", str(tmp_path))
    (tmp_path / "rabbitmq").mkdir()
    known = {"port": 20001, "passwords": {"client": "secret", "operator": "other"}}
    (tmp_path / "rabbitmq" / "node.json").write_text(json.dumps(known))
    run = CliRunner().invoke
    assert run(app.app, ["uri"]).stdout == "amqp://client:secret@127.0.0.1:20001//\n"
    assert json.loads(run(app.app, ["uri", "operator", "-o", "json"]).stdout) == {
        "user": "operator", "uri": "amqp://operator:other@127.0.0.1:20001//",
    }  # fmt: skip
    assert "'nobody' is no user of the broker; known are client, operator" in str(
        run(app.app, ["uri", "nobody"]).exception
    )
    monkeypatch.setenv("AMQP_URI", "amqp://elsewhere//")
    assert "whoever runs it" in str(run(app.app, ["uri"]).exception)
