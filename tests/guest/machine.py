"""A real guest as tests see it: what runs in it, which devices it has."""

from __future__ import annotations

import base64
import json
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from stackferry_sandbox.guests import Guests

from .shell import PORT

BOOT = 400.0  # seconds until a guest answers; 30 where nothing else runs
SERVICE = "/etc/systemd/system/shell.service"
START = ["systemctl daemon-reload", "systemctl enable --now --no-block shell.service"]
UNIT = """\
[Unit]
Description=commands for tests
[Service]
ExecStart=/usr/bin/python3 /opt/shell.py
Restart=always
[Install]
WantedBy=multi-user.target
"""


def user_data(*commands: str) -> str:
    """User data that starts the shell, after some commands."""
    shell = (Path(__file__).parent / "shell.py").read_text()
    files = [
        {"path": "/opt/shell.py", "content": shell},
        {"path": SERVICE, "content": UNIT},
    ]
    return "#cloud-config\n" + yaml.safe_dump({"write_files": files, "runcmd": [*commands, *START]}, sort_keys=False)


def setup_script() -> str:
    """The same as a script, for servers whose user data is somebody else's."""
    shell = (Path(__file__).parent / "shell.py").read_text()
    parts = [f"cat > {path} <<'END'\n{text}END" for path, text in (("/opt/shell.py", shell), (SERVICE, UNIT))]
    return "\n".join(["set -e", *parts, *START]) + "\n"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def address_of(server: Any) -> str:
    return next(each["addr"] for ports in server.addresses.values() for each in ports if each["version"] == 4)


def network(connection: Any, name: str, cidr: str) -> Any:
    """A network whose gateway is the guests' way to each other."""
    made = connection.network.create_network(name=name)
    connection.network.create_subnet(network_id=made.id, name=name, ip_version=4, cidr=cidr)
    return made


@dataclass
class Machine:
    """A server that is a guest which runs the shell."""

    guests: Guests
    connection: Any
    server: Any

    @property
    def address(self) -> str:
        return address_of(self.server)

    def run(self, command: str, seconds: float = 60) -> str:
        """What a command prints; it must succeed."""
        answer = self._ask(command, seconds)
        assert answer["code"] == 0, answer
        return str(answer["output"]).strip()

    def wait(self, seconds: float = BOOT) -> Machine:
        """Wait until it answers; the end of its console is the error."""
        end = time.monotonic() + seconds
        while True:
            try:
                self._ask("true", 10)
                return self
            except (OSError, ValueError) as error:
                if time.monotonic() > end:
                    pytest.fail(f"{error!r}; its console:\n{self.console()}")
                time.sleep(0.5)

    def disks(self) -> dict[str, str]:
        """The devices by what their links in by-id say."""
        lines = self.run("for l in /dev/disk/by-id/virtio-*; do echo $(basename $l) $(readlink -f $l); done")
        return {name.removeprefix("virtio-"): device for name, device in map(str.split, lines.splitlines())}

    def console(self) -> str:
        return str(self.connection.compute.get_server_console_output(self.server)["output"])[-3000:]

    def become(self, status: str) -> None:
        compute = self.connection.compute
        self.server = compute.wait_for_server(compute.get_server(self.server), status, interval=0.3, wait=120)

    def _ask(self, command: str, seconds: float) -> Any:
        with closing(self.guests.network.connect((self.address, PORT), 10)) as shell:
            shell.settimeout(seconds)
            shell.sendall(json.dumps(command).encode() + b"\n")
            return json.loads(shell.makefile().readline())
