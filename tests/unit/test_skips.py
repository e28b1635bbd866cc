"""A skip is a failure, unless it names a program that nobody needs, or wants root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFTEST = "from tests.skips import Skips\ndef pytest_configure(config): config.pluginmanager.register(Skips())\n"
TEST = "import pytest\ndef test_it(): pytest.skip({!r})\ndef test_other(): pass\n"
WORKERS = pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "workers"])


def run(folder: Path, reason: str, *options: str) -> tuple[int, str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TEST.format(reason))
    words = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*words, folder], cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout


@WORKERS
def test_a_run_fails_that_skips_what_should_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    code, said = run(tmp_path, "nbdkit is not installed", *options)
    assert code == 1, said
    assert "test_it.py::test_it: nbdkit is not installed" in said


@WORKERS
def test_what_is_optional_may_be_skipped(tmp_path: Path, options: tuple[str, ...]) -> None:
    code, said = run(tmp_path, "optional: docker compose is not installed", *options)
    assert (code, "1 passed, 1 skipped" in said, "should run" in said) == (0, True, False), said


def test_what_needs_root_may_be_skipped_without_it(tmp_path: Path) -> None:
    code, said = run(tmp_path, "without root: there are no block devices")
    assert code == (0 if os.geteuid() else 1), said
