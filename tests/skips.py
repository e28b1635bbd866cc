"""A test that is skipped where it should run fails the run: a machine that lacks something is found out, not passed over.

A reason that begins with ``optional:`` names a program that nobody needs to have. Without root some tests can't run.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

OPTIONAL, WITHOUT_ROOT = "optional: ", "without root: "


def is_expected(reason: str) -> bool:
    """Whether a test may be skipped for this reason here."""
    return reason.startswith(OPTIONAL) or (reason.startswith(WITHOUT_ROOT) and os.geteuid() != 0)


class Skips:
    """Notes what is skipped, and lets the run fail when it should not have been."""

    def __init__(self) -> None:
        self.unexpected: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if not is_expected(reason):
                self.unexpected[report.nodeid] = reason

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.unexpected and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.unexpected:
            terminalreporter.section("skipped, but should run here: `make install test` installs what is missing")
        for test, reason in self.unexpected.items():
            terminalreporter.write_line(f"{test}: {reason}")
