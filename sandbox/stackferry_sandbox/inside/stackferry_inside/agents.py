"""The transfer agents of a server: processes that outlive nova and are found again."""

import contextlib
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from stackferry_inside import identity, user_data
from stackferry_inside.identity import Identity
from stackferry_inside.locks import locked
from stackferry_inside.server_folder import ServerFolder

LOG = logging.getLogger(__name__)

BECOME = Path(__file__).parent / "become_agent.py"
BASE = {"PATH": os.defpath, "HOME": "/", "LANG": "C.UTF-8"}
"""What an agent's environment has anyway, and what it is where this process has none of it."""
PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


def command(folder: ServerFolder) -> list[str]:
    """What to run; the sandbox writes it at each start of the cloud."""
    return list(json.loads((folder.cloud / "etc/agents.json").read_text(encoding="utf-8")))


def environment(folder: ServerFolder, instance: int) -> dict[str, str]:
    """The variables of one agent: very few, those of the server's user data, and where it finds things."""
    asked = user_data.variables(folder.transfer_env.read_text(encoding="utf-8"))
    here = {
        "STACKFERRY_SERVER_ID": folder.path.name,
        "STACKFERRY_DEVICES_DIR": str(folder.by_id),
        "STACKFERRY_STATE_DIR": str(folder.agent_state),
        "STACKFERRY_LISTEN_ADDRESS": address(folder),
        "STACKFERRY_ADVERTISE_ADDRESS": "",
        "STACKFERRY_INSTANCE": str(instance),
        "STACKFERRY_READY_FILE": str(folder.ready_file(instance)),
    }
    return {key: os.environ.get(key, value) for key, value in BASE.items()} | asked | here


def address(folder: ServerFolder) -> str:
    """The loopback address of one server: each has one of its own, so that all can listen at the same port."""
    number = hashlib.sha256(folder.path.name.encode()).digest()
    return f"127.{number[0]}.{number[1]}.{number[2] % 253 + 2}"


def wanted(folder: ServerFolder) -> int:
    """How many agents a server asks for."""
    asked = user_data.variables(folder.transfer_env.read_text(encoding="utf-8")).get("STACKFERRY_AGENTS", "")
    return int(asked) if asked.isdecimal() else 1


def start(folder: ServerFolder) -> None:
    """Start those agents of a server that don't run."""
    for path in (folder.run, folder.log, folder.agent_state):
        path.mkdir(parents=True, exist_ok=True)
    with locked(folder.run / "lock") as lock:
        for instance in range(1, wanted(folder) + 1):
            running = identity.read(folder.agent_record(instance))
            if not (running and running.alive):
                start_one(folder, instance, lock)


def start_one(folder: ServerFolder, instance: int, lock: int) -> None:
    """Start one agent; returns when it is recorded."""
    folder.ready_file(instance).unlink(missing_ok=True)
    record, log = folder.agent_record(instance), folder.agent_log(instance)
    run_apart(folder.path, lock, record, log, command(folder), environment(folder, instance))
    LOG.warning("agent %s of %s started", instance, folder.path.name)


def run_apart(path: Path, lock: int, record: Path, log: Path, words: list[str], environ: dict[str, str]) -> None:
    """Run a command in a folder as a process that belongs to nobody; returns when it runs, and is recorded."""
    subprocess.run(
        [sys.executable, "-I", "-S", str(BECOME), str(lock), str(record), str(log), *words],
        cwd=path,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(lock,),
        check=False,
    )


def stop(folders: Iterable[ServerFolder]) -> None:
    """End all agents of some servers, together; those that don't end by themselves are killed."""
    with contextlib.ExitStack() as stack:
        folders = [folder for folder in folders if folder.run.is_dir()]
        for folder in folders:
            stack.enter_context(locked(folder.run / "lock"))
        records = [record for folder in folders for record in folder.agent_records()]
        end([agent for record in records if (agent := identity.read(record))])
        for record in records:
            record.with_suffix(".ready").unlink(missing_ok=True)
            record.unlink()


def end(processes: list[Identity]) -> None:
    """End processes and wait until they are gone."""
    for number, seconds in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, 60.0)):
        for process in processes:
            process.signal(number)
        deadline = time.monotonic() + seconds
        while any(process.alive for process in processes) and time.monotonic() < deadline:
            time.sleep(0.02)
