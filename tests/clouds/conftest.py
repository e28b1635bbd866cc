"""The real command, against the services of the tests; conversion hosts in their projects."""

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from .hosts import conversion_host


@pytest.fixture
def cli(stack):
    def run(*words, code=0, input_=None):
        env = {**os.environ, "STACKFERRY_HOME": str(stack.folder), "COLUMNS": "200", "NO_COLOR": "1"}
        env.pop("AMQP_URI", None)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "stackferry_cli.app", *map(str, words)],
            env=env, capture_output=True, text=True, input=input_, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def hosts(source, destination, stack):
    """A conversion host in each project."""
    with ExitStack() as both:
        yield [both.enter_context(conversion_host(t, stack.uri("transfer"))) for t in (source, destination)]
