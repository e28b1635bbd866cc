"""The transfer agents that run in a cloud's conversion hosts: processes of this machine."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stackferry_sandbox.clouds import Cloud
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.files import read_json, write_json
from stackferry_sandbox.layout import process_environment
from stackferry_sandbox.processes import Process, wait_until

VARIABLE = "STACKFERRY_SANDBOX_AGENT"


class Agent(NamedTuple):
    """One agent that runs."""

    server_id: str
    instance: int
    """Counts from 1 in each server."""
    pid: int
    log: Path


def default_command(environ: Mapping[str, str]) -> list[str]:
    """What plays an agent: STACKFERRY_SANDBOX_AGENT, or the package beside this one."""
    return shlex.split(environ.get(VARIABLE, "")) or [sys.executable, "-m", "stackferry_transfer"]


def write_command(cloud: Cloud, command: Sequence[str]) -> None:
    """Tell a cloud what to run as an agent; those that run already go on."""
    write_json(cloud.paths.agents, list(command))


def record_of(cloud: Cloud, server_id: str, instance: int) -> Path:
    """The file that says which process is an agent."""
    return cloud.paths.host(server_id) / "run" / f"agent-{instance}.json"


def running(cloud: Cloud) -> list[Agent]:
    """The agents of a cloud that are alive."""
    found = []
    for record in sorted(cloud.paths.hosts.glob("*/run/agent-*.json")):
        process, instance = process_of(record), int(record.stem.removeprefix("agent-"))
        host = record.parent.parent
        if process and process.alive:
            found.append(Agent(host.name, instance, process.pid, host / "var/log" / f"agent-{instance}.log"))
    return found


def process_of(record: Path) -> Process | None:
    """The process that a record names."""
    named = read_json(record)
    return Process(*named) if named else None


def kill(cloud: Cloud, server_id: str, instance: int) -> None:
    """Kill an agent and what it has started (SIGKILL), and wait until it is gone."""
    process = process_of(record_of(cloud, server_id, instance))
    if not (process and process.alive):
        raise SandboxError(f"no agent {instance} runs in server {server_id} of cloud {cloud.name!r}")
    os.killpg(process.pid, signal.SIGKILL)
    wait_until(lambda: not process.alive, 60.0)


def act(cloud: Cloud, action: str, *arguments: str, lock: int | None = None) -> None:
    """Have the code inside do something with a cloud's hosts and guests; nothing is done while there are none.

    It runs in this Python: it needs nothing of the clouds' own, which may be gone.
    """
    if not any(cloud.paths.hosts.iterdir()) and not cloud.paths.guests.exists():
        return
    done = subprocess.run(
        [sys.executable, "-m", "stackferry_inside.hosts", action, str(cloud.paths.root), *arguments],
        cwd=cloud.paths.root,
        env=process_environment(),
        capture_output=True,
        text=True,
        check=False,
        pass_fds=() if lock is None else (lock,),
    )
    if done.returncode:
        raise SandboxError(f"cloud {cloud.name!r}: {done.stderr.strip()}")
