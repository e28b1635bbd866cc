"""The clouds' own Python environment: made once from pinned requirements."""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.files import write_atomically
from stackferry_sandbox.layout import REQUIREMENTS, State

OUTPUT_SHOWN = 3000
"""Characters of a failed tool's output that are worth showing."""


def digest() -> str:
    """Stands for the requirements and the interpreter: another digest means another environment."""
    return hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()


def installed_marker(state: State) -> Path:
    """The file that says, by digest, what is installed."""
    return state.venv / "stackferry-sandbox.digest"


def is_installed(state: State) -> bool:
    """Whether the environment is there and made from the requirements of today."""
    marker = installed_marker(state)
    # The interpreter is a link, and may have lost its end.
    return state.python.exists() and marker.exists() and marker.read_text(encoding="utf-8") == digest()


def commands(state: State, uv: list[str] | None) -> list[list[str]]:
    """The commands that make the environment.

    Every package is pinned and hashed, so no resolver is needed (--no-deps); the pins were resolved
    together once, and the six services do share one environment without a conflict.

    Args:
        state: the folder in which to make it.
        uv: the command that runs uv, or None to use venv and pip.
    """
    venv, python = str(state.venv), str(state.python)
    flags = ["--quiet", "--no-deps", "--require-hashes", "--requirement", str(REQUIREMENTS)]
    if uv:
        return [
            [*uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, venv],
            [*uv, "pip", "install", "--python", python, *flags],
        ]
    return [
        [sys.executable, "-m", "venv", "--clear", venv],
        [python, "-m", "pip", "install", "--disable-pip-version-check", *flags],
    ]


def find_uv() -> list[str] | None:
    """The command that runs uv, if there is one."""
    if path := shutil.which("uv"):
        return [path]
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    return None


def install(state: State, lock: int) -> None:
    """Make the environment, or make it anew.

    Args:
        state: the folder in which to make it.
        lock: the descriptor of the lock that is held. The installer inherits it: should this process be
            killed now, nobody can interfere before the installer has ended.
    """
    for command in commands(state, find_uv()):
        done = subprocess.run(command, cwd=state.root, capture_output=True, text=True, check=False, pass_fds=(lock,))
        if done.returncode:
            raise SandboxError(
                f"could not make the clouds' environment in {state.venv}: `{' '.join(command)}` said\n"
                + (done.stdout + done.stderr)[-OUTPUT_SHOWN:]
            )
    write_atomically(installed_marker(state), digest())
