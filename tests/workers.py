"""How several workers share the tests: each has two clouds of its own, and takes a file with clouds as a whole.

Some of these tests stop, slow or fill what the others of their worker use; and the fixtures of such a file take longest.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from stackferry_sandbox.layout import first_port, state_folder
from xdist.scheduler import LoadScopeScheduling

CLOUDS = ("tests/clouds/", "tests/sandbox/", "tests/tenants/")
#: where each worker looks for the ports of its clouds; a worker takes a dozen
PORTS_APART = 100
LONG = 900  # seconds


class FilesWithClouds(LoadScopeScheduling):  # type: ignore[misc]
    """Files with clouds go to one worker each, those with most tests first; all other tests go one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith(CLOUDS) else nodeid


def own_clouds(worker: str) -> None:
    """Let this worker (``gw0``, ``gw1`` ...) have a state folder and ports of its own; the first one has the usual."""
    number = int(worker.removeprefix("gw"))
    if not number:
        return
    common = state_folder(os.environ)
    state = common / worker
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    venv = state / "venv"
    if not venv.is_symlink():
        venv.symlink_to(common / "venv")
    os.environ["STACKFERRY_SANDBOX"] = str(state)
    os.environ["STACKFERRY_SANDBOX_PORT"] = str(first_port(os.environ) + number * PORTS_APART)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two clouds and all services on a machine that others use, too, may take their time."""
    for item in items:
        if item.nodeid.startswith(CLOUDS) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesWithClouds:
    return FilesWithClouds(config, log)


def pytest_configure(config: pytest.Config) -> None:
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        own_clouds(worker)
