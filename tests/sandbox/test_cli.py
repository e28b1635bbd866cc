"""The command line: exit codes, and messages instead of tracebacks."""

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from stackferry_sandbox import clouds, launching
from stackferry_sandbox.cli import main
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.layout import State


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Done]:
    """Run the command line on an empty folder."""

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["stackferry-sandbox", "--state", str(tmp_path), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return call


Run = Callable[..., Done]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("down", "nowhere"), "there is no cloud 'nowhere'"),
        (("up", "Not-A-Name"), "'Not-A-Name' is no name for a cloud"),
        (("seed", "nowhere"), "there is no cloud 'nowhere'"),
    ],
)
def test_an_error_is_a_message_and_an_exit_code(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert said in done.err


def test_a_wrong_port_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKFERRY_SANDBOX_PORT", "many")
    assert run("status") == Done(1, "", "error: STACKFERRY_SANDBOX_PORT must be a port above 1023, not 'many'\n")


def test_an_empty_sandbox_has_a_status_and_a_clouds_yaml(run: Run) -> None:
    assert json.loads(run("status", "-o", "json").out) == []
    assert run("clouds-yaml") == Done(0, "clouds: {}\n", "")


def test_destroying_nothing_is_no_error(run: Run) -> None:
    assert run("destroy", "src", "dst").code == 0


def test_a_port_that_is_taken_is_named_with_what_to_do(tmp_path: Path) -> None:
    cloud = clouds.draft(State(tmp_path), "src", 20000, "digest")
    with socket.socket() as other:
        other.bind(("127.0.0.1", cloud.port("neutron")))
        other.listen()
        with pytest.raises(SandboxError) as error:
            launching.check_ports(launching.missing([cloud]))
    assert f"port {cloud.port('neutron')}, where neutron of cloud 'src' listens" in str(error.value)
    assert "ss -ltnp" in str(error.value)
    assert "destroy src" in str(error.value)


def test_services_that_are_missing_are_started_the_slowest_first(tmp_path: Path) -> None:
    drafts = [clouds.draft(State(tmp_path), name, 20000, "digest") for name in ("src", "dst")]
    order = [(start.service, start.cloud.name) for start in launching.missing(drafts)]
    assert order[:3] == [("nova", "src"), ("nova", "dst"), ("neutron", "src")]
    assert len(order) == 12
