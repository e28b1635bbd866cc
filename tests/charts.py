"""Renders the Helm chart as Helm itself does (its own Go code, in a wheel), in a process of its own.

``python -m tests.charts VALUES`` prints what ``helm template`` would, as JSON; with exit code 1, why not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "stackferry"


class NotRendered(Exception):
    """Helm's own words."""


def rendered(values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The manifests that these values make, in the order of their names; raise NotRendered."""
    command = [sys.executable, "-m", "tests.charts", json.dumps(values or {})]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if run.returncode:
        raise NotRendered(run.stdout)
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return found


def main() -> int:
    import helm_python

    values = json.loads(sys.argv[1])
    findings = helm_python.lint(str(CHART))
    wrong = [one["error"] for one in findings["messages"] if one["severity"] > 1]  # 1: it would like an icon
    try:
        with helm_python.Chart.load(str(CHART)) as chart:
            chart.validate_schema(values)
            texts = chart.render(values, name="ferry", namespace="moves")
    except helm_python.HelmError as error:
        wrong.append(str(error))
    if wrong:
        print("\n".join(wrong))
        return 1
    files = sorted(name for name in texts if name.endswith(".yaml"))
    print(json.dumps([one for name in files for one in yaml.safe_load_all(texts[name]) if one]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
