"""A real sshd on loopback, for what goes through its port alone."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from stackferry_cli.local.processes import until

SSHD = Path("/usr/sbin/sshd")
needs_sshd = pytest.mark.skipif(
    not (SSHD.exists() and shutil.which("ssh-keygen")), reason="openssh-server and openssh-client are not installed"
)


@dataclass
class Ssh:
    """A private sshd, and what an agent is told of it."""

    folder: Path
    port: int
    log: Path

    @property
    def settings(self) -> dict[str, str]:
        return {
            "tunnel": f"{getpass.getuser()}@{{host}} {self.port}", "tunnel_key": str(self.folder / "user"),
            "tunnel_known_hosts": str(self.folder / "known"),
        }  # fmt: skip


@contextmanager
def sshd(folder: Path) -> Iterator[Ssh]:
    """An sshd that lets in one key, for forwarding alone; ended afterwards."""
    folder.mkdir(mode=0o700)
    for name in ("host", "user", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "authorized").write_text(f"restrict,port-forwarding {(folder / 'user.pub').read_text()}")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "LogLevel VERBOSE\n"
    )
    with ExitStack() as stack:
        if not os.geteuid():  # sshd serves nobody as root without it; it stays, since another worker's may be running
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = stack.enter_context((folder / "log").open("wb"))
        server = stack.enter_context(subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stderr=log))
        stack.callback(server.terminate)
        assert until(lambda: b"Server listening" in (folder / "log").read_bytes(), 20)
        yield Ssh(folder, port, folder / "log")
