"""The services on this machine: which processes there are, starting, stopping, and how they are."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackferry.errors import Error

from .gateway import Gateway
from .processes import Process, until
from .rabbitmq import Node

#: service → how many processes, if nobody says
SERVICES = {"coordinator": 1, "exporter": 1, "importer": 1, "gateway": 0}
KEEPER = "keeper"


class ServiceUnavailable(Error):
    """A service on this machine doesn't start."""


def home() -> Path:
    """Where everything of the local system lives: ``STACKFERRY_HOME``, else the user's state folder."""
    if given := os.environ.get("STACKFERRY_HOME"):
        return Path(given).resolve()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "stackferry" / "local"


@dataclass(frozen=True)
class Stack:
    """The local system in *folder*: a broker unless ``AMQP_URI`` names one, and so many processes a service."""

    folder: Path

    @property
    def node(self) -> Node:
        """The private broker."""
        return Node(self.folder)

    @property
    def gateway(self) -> Gateway:
        """Its HTTP API."""
        return Gateway(self.folder)

    @property
    def database_url(self) -> str:
        """Where its coordinator remembers, unless STACKFERRY_DATABASE_URL says otherwise."""
        return f"sqlite:///{self.folder}/stackferry.db"

    def uri(self, user: str = "client") -> str:
        """How *user* connects."""
        return os.environ.get("AMQP_URI") or self.node.uri(user)

    def names(self, counts: dict[str, int] | None = None) -> list[str]:
        """Process names; those of an earlier start when no counts are given."""
        if counts is None:
            known = sorted(p.stem for p in (self.folder / "run").glob("*.pid") if p.stem not in ("rabbitmq", KEEPER))
            return known or [service for service, many in SERVICES.items() if many]
        return [
            f"{service}-{n}" if n > 1 else service
            for service, many in SERVICES.items()
            for n in range(1, counts.get(service, many) + 1)
        ]

    def process(self, name: str) -> Process:
        """One of the processes."""
        return Process(name, self.folder)

    def up(self, counts: dict[str, int] | None = None, environ: dict[str, str] | None = None) -> None:
        """Start what doesn't run, and wait until it takes messages; raise ServiceUnavailable or BrokerUnavailable when
        something can't."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.environ.get("AMQP_URI"):
            self.node.start()
        missing = [name for name in self.names(counts or {}) if not self.process(name).pid()]
        for name in missing:
            self._count_of(name).unlink(missing_ok=True)
        started = {name: self._start(name, environ or {}) for name in missing}
        for name, ready in started.items():
            process = self.process(name)
            if not until(lambda f=ready, p=process: f.exists() or p.pid() is None, 60) or not ready.exists():  # type: ignore[misc]
                raise ServiceUnavailable(f"{name} did not start; the end of {process.log}:\n{process.last_lines()}")

    def _start(self, name: str, environ: dict[str, str]) -> Path:
        service = name.partition("-")[0]
        process, ready = self.process(name), self.folder / "run" / f"{name}.ready"
        ready.parent.mkdir(parents=True, exist_ok=True)
        ready.unlink(missing_ok=True)
        settings = {
            "STACKFERRY_BLOBS_DIR": "/",  # who can publish here is the user, and any folder is the user's own
            "STACKFERRY_DATABASE_URL": self.database_url,
            "STACKFERRY_DEAD_LETTERS_DIR": str(self.folder / "dead-letters"),
            **os.environ,
            "STACKFERRY_AMQP_URI": self.uri(service),
            "STACKFERRY_READY_FILE": str(ready),
            "STACKFERRY_STATE_DIR": str(self.folder / "state" / name),  # its key must not be left in /tmp by a kill
            **(self.gateway.settings() if service == "gateway" else {}),
            **environ,
        }
        process.start([sys.executable, "-W", "ignore", "-m", f"stackferry_{service}"], settings)
        return ready

    def keep(self, environ: dict[str, str]) -> None:
        """Have whatever dies from now on started again, with this environment."""
        self.process(KEEPER).stop()
        words = [sys.executable, "-W", "ignore", "-m", "stackferry_cli.local.keeper", str(self.folder)]
        self.process(KEEPER).start(words, {**os.environ, **environ})

    def again(self, name: str) -> int:
        """Start a process that has died; return how often that was done since `up`."""
        many = self.restarts(name) + 1
        self._count_of(name).write_text(str(many))
        self._start(name, {})
        return many

    def restarts(self, name: str) -> int:
        """How often a process was started again since `up`."""
        try:
            return int(self._count_of(name).read_text())
        except (OSError, ValueError):
            return 0

    def _count_of(self, name: str) -> Path:
        return self.folder / "run" / f"{name}.restarts"

    def down(self) -> list[str]:
        """Stop everything; return what ran."""
        self.process(KEEPER).stop()
        stopped = [name for name in self.names() if self.process(name).stop()]
        if self.node.stop():
            stopped.append("rabbitmq")
        return stopped

    def status(self) -> list[dict[str, Any]]:
        """Name, pid, memory, number of restarts and log of each process."""
        rows: list[dict[str, Any]] = []
        kept = [KEEPER] if self.process(KEEPER).pid_file.exists() else []
        for name in [*self.names(), *kept, *([] if os.environ.get("AMQP_URI") else ["rabbitmq"])]:
            process = self.process(name)
            pid, many = process.pid(), self.restarts(name)
            rows.append(
                {"process": name, "pid": pid, "memory_mb": _memory(pid), "restarts": many, "log": str(process.log)}
            )
        return rows


def _memory(pid: int | None) -> int | None:
    """Resident memory in MB."""
    if pid is None:
        return None
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    return None
