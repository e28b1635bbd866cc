"""What watches: each metric that is documented, or that an alert asks for, is one that a process tells."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from stackferry_coordinator import gauges
from stackferry_coordinator.storage import database
from stackferry_gateway.metrics import Metrics
from stackferry_runtime.metrics import REGISTRY

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"stackferry_[a-z_]+")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names that Prometheus sees."""
    engine = database.connect(f"sqlite:///{tmp_path_factory.mktemp('gauges')}/c.db")
    database.upgrade(engine)
    found = {family.name for family in gauges.Gauges(engine, lambda: 0.0).collect()}
    engine.dispose()
    gateway = CollectorRegistry()
    Metrics(lambda: 0, lambda: 0, gateway)
    for family in (*REGISTRY.collect(), *gateway.collect()):
        found.add(f"{family.name}_total" if family.type == "counter" else family.name)
    return found | {"stackferry_ready"}


def test_alerts_ask_for_what_is_told(told: set[str]) -> None:
    (group,) = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        asked = set(NAME.findall(rule["expr"]))
        assert asked
        assert asked <= told, rule["alert"]
        assert rule["annotations"]["summary"]


def test_what_is_documented_is_told_and_the_other_way(told: set[str]) -> None:
    table = [
        line.split("|")[1]
        for line in (ROOT / "docs/watching.md").read_text().splitlines()
        if line.startswith("| `stack")
    ]
    assert {name for cell in table for name in NAME.findall(cell)} == told


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("optional: systemd-analyze is not installed")
    text = (ROOT / "deploy/systemd/stackferry@.service").read_text()
    unit = tmp_path / "stackferry@coordinator.service"
    unit.write_text(text.replace("/opt/stackferry/bin/python", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, []), done.stderr
