"""The real command, against the services of the tests; conversion hosts in their projects."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from .hosts import conversion_hosts


def command(stack, words):
    """The command's words, and its environment."""
    env = {**os.environ, "STACKFERRY_HOME": str(stack.folder), "COLUMNS": "200", "NO_COLOR": "1"}
    env.pop("AMQP_URI", None)
    return {"args": [sys.executable, "-W", "ignore", "-m", "stackferry_cli.app", *map(str, words)], "env": env}


@pytest.fixture
def cli(stack):
    def run(*words, code=0, input_=None):
        done = subprocess.run(
            **command(stack, words), capture_output=True, text=True, input=input_, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def watching(stack, tmp_path):
    """Start the command; the call of what it yields returns the lines that it has printed so far."""

    @contextmanager
    def start(*words):
        said = tmp_path / "said"
        with said.open("wb") as out, subprocess.Popen(**command(stack, words), stdout=out, stderr=out) as running:
            try:
                yield lambda: said.read_text().splitlines()
                assert running.wait(120) == 0, said.read_text()
            finally:
                running.kill()

    return start


@pytest.fixture
def hosts(source, destination, stack):
    """A conversion host in each project."""
    with conversion_hosts(stack, (source, destination)) as both:
        yield both
