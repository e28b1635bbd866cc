"""The databases of a cloud with no hosts: schemas, administrator, catalogue. Made once, then copied."""

import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stackferry_sandbox import environment
from stackferry_sandbox.configs.common import SERVICE_USER, CloudSettings
from stackferry_sandbox.creation import write_configs, write_keys
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.files import write_atomically
from stackferry_sandbox.layout import INSIDE, CloudPaths, State, process_environment
from stackferry_sandbox.services import REGION, SERVICES, placeholder_url

Command = list[str]

MAKERS = (
    Path(__file__),
    INSIDE / "stackferry_inside/neutron_schema.py",
    INSIDE / "stackferry_inside/keystone_content.py",
)
"""The code that decides what is in a template."""


def digest() -> str:
    """Stands for what a template is made of: another digest means another template."""
    makers = b"".join(path.read_bytes() for path in MAKERS)
    return hashlib.sha256(environment.digest().encode() + makers).hexdigest()


def is_built(state: State) -> bool:
    """Whether the template is there and up to date."""
    marker = state.template / "digest"
    return marker.exists() and marker.read_text(encoding="utf-8") == digest()


def commands(venv: Path, etc: Path) -> list[list[Command]]:
    """What fills the databases: chains that are independent of each other, the longest first."""

    def tool(name: str, config: str, *arguments: str) -> Command:
        return [str(venv / "bin" / name), "--config-file", str(etc / config), *arguments]

    def module(name: str, config: str, *arguments: str) -> Command:
        return [str(venv / "bin/python"), "-m", f"stackferry_inside.{name}", str(etc / config), *arguments]

    content = {
        "region": REGION,
        # Nobody ever needs it: each cloud puts passwords of its own in its place.
        "password": secrets.token_hex(16),
        "service_user": SERVICE_USER,
        "services": [
            {
                "name": service.catalogue_name,
                "type": service.catalogue_type,
                "url": placeholder_url(service.name),
            }
            for service in SERVICES
        ],
    }
    return [
        [
            tool("keystone-manage", "keystone.conf", "db_sync"),
            module("keystone_content", "keystone.conf", json.dumps(content)),
        ],
        [tool("nova-manage", "nova.conf", "db", "sync", "--local_cell")],
        [tool("nova-manage", "nova.conf", "api_db", "sync")],
        [tool("cinder-manage", "cinder.conf", "db", "sync")],
        [module("neutron_schema", "neutron.conf")],
        [tool("glance-manage", "glance-api.conf", "db_sync")],
        [tool("placement-manage", "placement.conf", "db", "sync")],
    ]


def run_chain(chain: Sequence[Command], folder: Path, lock: int) -> None:
    """Run commands one after the other. They inherit the lock: see environment.install."""
    for command in chain:
        done = subprocess.run(
            command,
            cwd=folder,
            env=process_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            pass_fds=(lock,),
        )
        if done.returncode:
            shown = " ".join([Path(command[0]).name, *command[1:4]])
            raise SandboxError(
                f"the template could not be built: `{shown}` said\n{done.stdout[-environment.OUTPUT_SHOWN :]}"
            )


def settle(database: Path) -> None:
    """Switch a database to write-ahead logging (which stays), and compact it into its one file."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def build(state: State, lock: int) -> None:
    """Build the template; a half-built one is never used."""
    new = CloudPaths(state.root / "template.new")
    shutil.rmtree(new.root, ignore_errors=True)
    new.make()
    settings = CloudSettings(
        name="template", root=new.root, venv=state.venv, first_port=0, service_password=secrets.token_hex(16)
    )
    write_configs(new, settings)
    write_keys(new)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda chain: run_chain(chain, new.root, lock), commands(state.venv, new.etc)):
            pass
    # cell0 holds servers that could not be scheduled; its schema is the same.
    shutil.copy(new.db / "nova_cell1.db", new.db / "nova_cell0.db")
    for database in new.db.glob("*.db"):
        settle(database)
    shutil.rmtree(state.template, ignore_errors=True)
    state.template.mkdir(mode=0o700)
    for database in new.db.glob("*.db"):
        database.rename(state.template / database.name)
    shutil.rmtree(new.root)
    write_atomically(state.template / "digest", digest())
