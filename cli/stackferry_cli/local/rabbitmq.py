"""A private RabbitMQ node on loopback: its own folder, ports, cookie and users; nothing of the system's is touched."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from pathlib import Path
from typing import Any

from stackferry import topology
from stackferry.definitions import definitions
from stackferry.errors import BrokerUnavailable

from .processes import Process, start_time, until

PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server")
CONTROL = ("/usr/lib/rabbitmq/bin/rabbitmqctl", "/opt/rabbitmq/sbin/rabbitmqctl")  # as this user: no `su rabbitmq`
PORTS = ("port", "dist_port", "epmd_port")
CHOICE = range(20000, 32000)  # below what systems use for outgoing connections
EPMD = ("/usr/bin/epmd", "/usr/lib/erlang/bin/epmd")


class Node:
    """One node. *home* holds everything; ``uri(user)`` is how that user connects."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process = Process("rabbitmq", home)
        self.folder = home / "rabbitmq"

    def uri(self, user: str) -> str:
        """The AMQP URI of a user: a service's name, ``client``, or ``admin``."""
        known = self._known()
        return f"amqp://{user}:{known['passwords'][user]}@127.0.0.1:{known['port']}//"

    def address(self) -> str:
        """Where it listens, as a URI without a user."""
        return f"amqp://127.0.0.1:{self._known()['port']}//"

    def control(self) -> tuple[list[str], dict[str, str]]:
        """The words that begin a ``rabbitmqctl`` command for this node, and its environment."""
        program = next((p for p in (*CONTROL, shutil.which("rabbitmqctl") or "") if p and Path(p).exists()), None)
        if program is None:
            raise BrokerUnavailable("rabbitmqctl is not installed; it comes with rabbitmq-server")
        return [program], self._environment()

    def users(self) -> list[str]:
        """Who may connect."""
        return sorted(self._known()["passwords"])

    def start(self, timeout: float = 90) -> None:
        """Start the node unless it runs; raise BrokerUnavailable with the reason when it can't."""
        if self.process.pid() is not None:
            return
        program = next((p for p in (*PROGRAMS, shutil.which("rabbitmq-server") or "") if p and Path(p).exists()), None)
        if program is None:
            raise BrokerUnavailable(
                "rabbitmq-server is not installed: apt-get install rabbitmq-server, or set AMQP_URI to a broker"
            )
        self._prepare()
        child = self.process.start([program], self._environment())
        if not until(lambda: self._answers() or child.poll() is not None, timeout) or child.poll() is not None:
            self.stop()
            raise BrokerUnavailable(
                f"RabbitMQ did not start; the end of {self.process.log}:\n{self.process.last_lines()}"
            )
        pid = int((self.folder / "pid").read_text())  # of the node itself: the program is a shell around it
        self.process.pid_file.write_text(f"{pid} {start_time(pid)}")

    def stop(self) -> bool:
        """Stop the node and its port mapper; return whether it ran."""
        ran = self.process.stop()
        if ran or self._file.exists():
            self._stop_epmd()
        return ran

    def kill(self) -> None:
        """Kill -9, as a power cut would."""
        if (pid := self.process.pid()) is not None:
            os.kill(pid, 9)
            until(lambda: self.process.pid() is None, 10)

    @property
    def _file(self) -> Path:
        return self.folder / "node.json"

    def _known(self) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads(self._file.read_text())
        except (OSError, ValueError):
            raise BrokerUnavailable("the private RabbitMQ node was never started: run `stackferry up`") from None
        return known

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        known: dict[str, Any] = self._known() if self._file.exists() else {name: free_port() for name in PORTS}
        names = [user.name for user in topology.USERS] + ["admin"]  # a newer version may have more
        known["passwords"] = {name: secrets.token_urlsafe(18) for name in names} | known.get("passwords", {})
        self._write("node.json", json.dumps(known))
        if not until(lambda: is_free(known["port"]), 5):
            text = f"its port {known['port']} is taken by another program; end that (`ss -ltnp` names it)"
            raise BrokerUnavailable(f"the private RabbitMQ node can't start: {text}")
        self._write("definitions.json", json.dumps(definitions(known["passwords"], admin="admin")))  # type: ignore[arg-type]
        self._write(
            "rabbitmq.conf",
            f"listeners.tcp.1 = 127.0.0.1:{known['port']}\nload_definitions = {self.folder}/definitions.json\n"
            f"max_message_size = {topology.MAX_MESSAGE_BYTES}\n"
            "log.console.level = warning\nlog.file = false\nlog.console = true\n"
            "vm_memory_high_watermark.relative = 0.4\ndisk_free_limit.absolute = 500MB\n",
        )
        self._write("enabled_plugins", "[].")

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)

    def _environment(self) -> dict[str, str]:
        known, folder = self._known(), str(self.folder)
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")},
            "HOME": folder,  # the Erlang cookie
            "RABBITMQ_NODENAME": f"stackferry{known['port']}@localhost",
            "RABBITMQ_DIST_PORT": str(known["dist_port"]),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} +sbwt none",
            "ERL_EPMD_PORT": str(known["epmd_port"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._known()["port"]), 1) as s:
                s.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(s.recv(7))
        except OSError:
            return False

    def _stop_epmd(self) -> None:
        """Its port mapper is a process of its own that nobody else uses."""
        port = str(self._known()["epmd_port"])
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"epmd" in command and f"ERL_EPMD_PORT={port}".encode() in environment:
                os.kill(int(entry.name), 15)


def is_free(port: int) -> bool:
    """Whether a server could listen there now; connections that have just ended don't matter."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that is free now, and that the system doesn't give to outgoing connections by itself."""
    for _ in range(1000):
        if is_free(port := CHOICE.start + secrets.randbelow(len(CHOICE))):
            return port
    raise BrokerUnavailable(f"no port from {CHOICE.start} to {CHOICE.stop} is free on 127.0.0.1")
