"""What watches: each metric that is documented, or that an alert asks for, is one that a process tells."""

from __future__ import annotations

import json
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


def test_the_board_asks_for_what_is_told(told: set[str]) -> None:
    board = json.loads((ROOT / "deploy/grafana/stackferry.json").read_text())
    known = told | {f"{name}_bucket" for name in told if name.endswith("_seconds")}
    for panel in board["panels"]:
        asked = {name for target in panel["targets"] for name in NAME.findall(target["expr"])}
        assert asked, panel["title"]
        assert asked <= known, panel["title"]
        assert all(target["expr"].count("(") == target["expr"].count(")") for target in panel["targets"])
    places = [panel["gridPos"] for panel in board["panels"]]
    spots = [(place["x"] + x, place["y"] + y) for place in places for x in range(place["w"]) for y in range(place["h"])]
    assert len(spots) == len(set(spots)), "panels lie upon each other"


def test_downtimes_are_counted_when_they_are_told() -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    before = value("stackferry_downtime_seconds_sum"), value("stackferry_workloads_total", kind="server", state="done")
    data = {"workload": "server/1", "state": "done", "results": {"downtime": 12.5}}
    gauges.told("a.b.1.workload-changed", json.dumps({"data": data}).encode())
    gauges.told("a.b.1.workload-changed", json.dumps({"data": {**data, "state": "again"}}).encode())
    gauges.told("a.b.1.step-ended", b"of another sort")
    assert value("stackferry_downtime_seconds_sum") == before[0] + 12.5
    assert value("stackferry_workloads_total", kind="server", state="done") == before[1] + 1


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
