"""The real command, against the services of the tests."""

import os
import subprocess
import sys

import pytest


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
