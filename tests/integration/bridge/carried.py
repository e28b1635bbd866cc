"""A bridge as a process, events that a coordinator tells, and who listens beyond."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from stackferry import events, topology
from stackferry.bus import Outgoing, Publisher
from stackferry.messages import MigrationChanged
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack


class Bridge:
    """``python -m stackferry_bridge``; it may be killed, and started again."""

    def __init__(self, stack: Stack, folder: Path, to: str, **settings: Any) -> None:
        self.stack, self.folder, self.process = stack, folder, None
        folder.mkdir(exist_ok=True)
        self.log, self.ready = folder / "bridge.log", folder / "ready"
        said = {"to": to, "state_dir": folder / "state", "ready_file": self.ready, "amqp_uri": stack.node.uri("bridge"),
                "drain_timeout": 5, **settings}  # fmt: skip
        self.env = {**os.environ, **{f"STACKFERRY_{name.upper()}": str(value) for name, value in said.items()}}

    def start(self) -> Bridge:
        self.ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stackferry_bridge"], env=self.env, stdout=log, stderr=log
            )
        assert until(lambda: self.ready.exists() or self.process.poll() is not None, 30), self.said()
        assert self.process.poll() is None, self.said()
        return self

    def said(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def stop(self) -> int:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            return self.process.wait(30)
        return 0

    def __enter__(self) -> Bridge:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        assert "Traceback" not in self.said(), self.said()


class Teller:
    """What the coordinator tells; it remembers what it has told."""

    def __init__(self, stack: Stack) -> None:
        self.publisher, self.ids = Publisher(stack.node.uri("coordinator"), "tests"), list[str]()
        self.migrations = [str(uuid.uuid4()) for _ in range(3)]

    def is_heard(self) -> bool:
        """Whether an event, which is told for this, finds a queue that is bound."""
        event = MigrationChanged.make("tests", {"migration": self.migrations[0], "phase": "running"})
        key = f"a.b.{self.migrations[0]}.migration-changed"
        return self.publisher.publish_all([Outgoing.of(topology.EVENTS.name, key, event)]) == [None]

    def tell(self, many: int, labels: dict[str, str] | None = None, source: str = "old") -> list[str]:
        sent, told = [], []
        for number in range(many):
            migration = self.migrations[number % len(self.migrations)]
            data = {"migration": migration, "phase": "running", "reason": f"{len(self.ids) + number} é <x>",
                    "labels": labels or {}, "migration_name": "web"}  # fmt: skip
            event = MigrationChanged.make("tests", data)
            key = events.key({"cloud": source}, {"cloud": "new cloud.*"}, migration, event.type.split(".")[1])
            sent.append(Outgoing.of(topology.EVENTS.name, key, event))
            told.append(event.id)
        assert self.publisher.publish_all(sent) == [None] * many
        self.ids += told
        return told


@contextmanager
def teller(stack: Stack) -> Iterator[Teller]:
    found = Teller(stack)
    yield found
    found.publisher.close()


class Receiver:
    """An HTTP server that takes, or doesn't. ``answer``: the status for a body; None: never."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[bytes], int | None] = lambda _: 204
        self.stalled = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # the sender was killed meanwhile
                status = outer.answer(body)
                if status is None:
                    outer.stalled.wait(60)
                    return
                outer.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                with suppress(OSError):
                    self.send_response(status)
                    self.send_header("Location", "http://127.0.0.1:1/")
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ids(self) -> list[str]:
        return [str(json.loads(body).get("id")) for _, body in self.got]

    def close(self) -> None:
        self.stalled.set()
        self.server.shutdown()
        self.server.server_close()


def once(ids: list[str]) -> list[str]:
    """The same without what came once more."""
    return list(dict.fromkeys(ids))
