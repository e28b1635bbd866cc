"""How the clouds' environment and template are made."""

import re
from pathlib import Path

import pytest
from stackferry_sandbox import environment, template
from stackferry_sandbox.layout import INSIDE, REQUIREMENTS, State

STATE = State(Path("/state"))


def test_every_requirement_is_pinned_and_hashed() -> None:
    blocks = re.split(r"\n(?=\S)", REQUIREMENTS.read_text().strip())
    assert len(blocks) > 150
    for block in blocks:
        assert re.match(r"[a-z0-9-]+==[0-9][^ ]* \\\n    --hash=sha256:[0-9a-f]{64}", block), block[:80]


def test_no_registry_is_named() -> None:
    assert "://" not in REQUIREMENTS.read_text()
    assert "index" not in REQUIREMENTS.read_text()


@pytest.mark.parametrize("uv", [None, ["/usr/bin/uv"], ["python", "-m", "uv"]])
def test_only_what_is_pinned_is_installed(uv: list[str] | None) -> None:
    make, fill = environment.commands(STATE, uv)
    assert make[-1] == "/state/venv"
    assert {"--no-deps", "--require-hashes", str(REQUIREMENTS)} <= set(fill)
    assert "/state/venv/bin/python" in fill
    assert uv is None or make[: len(uv)] == fill[: len(uv)] == uv


def test_an_environment_is_installed_only_if_it_was_finished(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert not environment.is_installed(state)
    state.python.parent.mkdir(parents=True)
    state.python.touch()
    assert not environment.is_installed(state)
    environment.installed_marker(state).write_text(environment.digest())
    assert environment.is_installed(state)
    environment.installed_marker(state).write_text("of other requirements")
    assert not environment.is_installed(state)


def test_the_template_has_every_database() -> None:
    programs = [Path(command[0]).name for chain in template.commands(STATE.venv, Path("/etc")) for command in chain]
    for project in ("keystone", "nova", "cinder", "glance", "placement"):
        assert f"{project}-manage" in programs
    modules = [command[2] for chain in template.commands(STATE.venv, Path("/etc")) for command in chain]
    assert "stackferry_inside.neutron_schema" in modules


def test_neutron_can_find_its_driver() -> None:
    (entry_points,) = INSIDE.glob("*.dist-info/entry_points.txt")
    module, _, name = entry_points.read_text().split("stackferry = ")[1].strip().partition(":")
    source = INSIDE / (module.replace(".", "/") + ".py")
    assert f"class {name}(" in source.read_text()
