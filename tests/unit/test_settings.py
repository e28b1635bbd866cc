"""Settings: from the environment, from files of secrets, and errors that name the variable."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stackferry.errors import Error
from stackferry_coordinator.settings import Settings as CoordinatorSettings
from stackferry_exporter.settings import Settings as ExporterSettings
from stackferry_importer.settings import Settings as ImporterSettings
from stackferry_runtime.settings import Common, describe, load, setting

EVERY = [Common, CoordinatorSettings, ExporterSettings, ImporterSettings]


@dataclass(frozen=True)
class Example(Common):
    """An example."""

    switch: bool = setting(False, "a switch")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("STACKFERRY_"):
            monkeypatch.delenv(name)


def test_without_variables_the_defaults_count() -> None:
    assert load(Common) == Common()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("amqp_uri", "amqps://u:p$ss@h/v", "amqps://u:p$ss@h/v"),
        ("log_format", "json", "json"),
        ("drain_timeout", "1.5", 1.5),
        ("drain_timeout", "2", 2.0),
        ("max_workers", "4", 4),
        ("switch", "true", True),
        ("switch", "0", False),
    ],
)
def test_a_variable_sets_its_field(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: Any) -> None:
    monkeypatch.setenv(f"STACKFERRY_{name.upper()}", text)
    found = load(Example)
    assert getattr(found, name) == value
    assert type(getattr(found, name)) is type(getattr(Example(), name))


def test_variables_without_the_prefix_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_WORKERS", "4")
    assert load(Common).max_workers == Common().max_workers


def test_a_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "amqp").write_text("amqp://u:p@h//\n")
    monkeypatch.setenv("STACKFERRY_AMQP_URI_FILE", str(tmp_path / "amqp"))
    assert load(Common).amqp_uri == "amqp://u:p@h//"


def test_a_file_counts_before_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "amqp").write_text("from the file")
    monkeypatch.setenv("STACKFERRY_AMQP_URI", "from the variable")
    monkeypatch.setenv("STACKFERRY_AMQP_URI_FILE", str(tmp_path / "amqp"))
    assert load(Common).amqp_uri == "from the file"


def test_a_file_that_cannot_be_read_names_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STACKFERRY_AMQP_URI_FILE", str(tmp_path / "nothing"))
    with pytest.raises(Error, match="STACKFERRY_AMQP_URI_FILE can't be read"):
        load(Common)


def test_a_file_that_is_no_text_names_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "amqp").write_bytes(b"\xff\xfe\xfa")
    monkeypatch.setenv("STACKFERRY_AMQP_URI_FILE", str(tmp_path / "amqp"))
    with pytest.raises(Error, match="STACKFERRY_AMQP_URI_FILE"):
        load(Common)


def test_a_number_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "workers").write_text("4\n")
    monkeypatch.setenv("STACKFERRY_MAX_WORKERS_FILE", str(tmp_path / "workers"))
    assert load(Common).max_workers == 4


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAX_WORKERS", "many"),
        ("MAX_WORKERS", "1.5"),
        ("MAX_WORKERS", ""),
        ("DRAIN_TIMEOUT", "soon"),
        ("SWITCH", "maybe"),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"STACKFERRY_{name}", text)
    with pytest.raises(Error, match=f"STACKFERRY_{name} can't be used"):
        load(Example)


@pytest.mark.parametrize(
    ("name", "text"),
    [("LOG_LEVEL", "LOUD"), ("LOG_FORMAT", "xml"), ("MAX_WORKERS", "0"), ("MAX_WORKERS", "-1"),
     ("DRAIN_TIMEOUT", "-1")],
)  # fmt: skip
def test_a_senseless_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"STACKFERRY_{name}", text)
    with pytest.raises(Error, match=f"STACKFERRY_{name}"):
        load(Common)


def test_what_is_wrong_in_a_file_names_the_variable_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "workers").write_text("0")
    with pytest.raises(Error, match=r"STACKFERRY_MAX_WORKERS_FILE can't be used: Must be greater"):
        load(Common, {"STACKFERRY_MAX_WORKERS_FILE": str(tmp_path / "workers")})


@pytest.mark.parametrize("cls", EVERY)
def test_every_default_makes_sense(cls: type[Common]) -> None:
    text = {f"STACKFERRY_{f.name.upper()}": str(f.default) for f in dataclasses.fields(cls)}
    assert load(cls, text) == cls()


def test_another_environment_may_be_given() -> None:
    assert load(Common, {"STACKFERRY_MAX_WORKERS": "4"}).max_workers == 4


@pytest.mark.parametrize("cls", EVERY)
def test_every_setting_is_described_and_listed(cls: type[Common]) -> None:
    text = describe(cls)
    for field in dataclasses.fields(cls):
        assert field.metadata["description"]
        assert f"STACKFERRY_{field.name.upper()} = {field.default!r}" in text
        assert field.metadata["description"] in text


@pytest.mark.parametrize("cls", EVERY)
def test_settings_cannot_be_changed_afterwards(cls: type[Common]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        cls().amqp_uri = "x"  # type: ignore[misc]
