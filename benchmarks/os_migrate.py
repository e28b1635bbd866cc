"""OS Migrate's way of copying a volume: nbdkit on the source's host, an ssh tunnel, qemu-img convert on the other."""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from processes import Counted, Relay, answers, free_port, until

CIPHER = "aes256-gcm@openssh.com"
PROGRAMS = {"/usr/bin/nbdkit": "nbdkit", "/usr/bin/qemu-img": "qemu-utils", "/usr/sbin/sshd": "openssh-server"}
PRIVILEGES = Path("/run/sshd")  # sshd won't start as root without it


def missing() -> list[str]:
    """The Debian packages that are not there."""
    return [package for program, package in PROGRAMS.items() if not Path(program).exists()]


class Tunnel:
    """A private sshd on loopback with keys of its own, and through it a tunnel to an NBD export."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "authorized").write_bytes((folder / "user.pub").read_bytes())

    def convert(self, source: Path, target: Path, relays: list[Relay] | None = None) -> tuple[float, float, float]:
        """Copy; return the seconds of qemu-img, and the CPU seconds and the memory (MB) of all processes."""
        with ExitStack() as stack:
            export, port = free_port(), free_port()
            nbdkit = Counted("/usr/bin/nbdkit", "-f", "--exportname", "volume", "--ipaddr", "127.0.0.1", "--port", export,
                             "file", f"file={source}")  # fmt: skip
            stack.callback(nbdkit.stop)
            sshd = self._sshd(stack, port)
            where = port
            if relays is not None:
                relays.append(Relay(("127.0.0.1", port)))
                where = relays[-1].address[1]
            local = free_port()
            ssh = self._ssh(where, f"{local}:127.0.0.1:{export}")
            stack.callback(ssh.stop)
            url = f"nbd://127.0.0.1:{local}/volume"
            until(lambda: subprocess.run(["qemu-img", "info", url], capture_output=True).returncode == 0, 20)
            began = time.monotonic()
            copying = Counted("qemu-img", "convert", "-p", "-f", "raw", "-O", "host_device" if target.is_block_device() else "raw", url, target,
                              stdout=subprocess.DEVNULL)  # fmt: skip
            copying.end()
            seconds = time.monotonic() - began
            if copying.process.returncode:
                raise SystemExit("qemu-img failed")
        all_of = (nbdkit, sshd, ssh, copying)
        return seconds, sum(each.cpu for each in all_of), sum(each.memory for each in all_of)

    def _sshd(self, stack: ExitStack, port: int) -> Counted:
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        )
        if not os.geteuid() and not PRIVILEGES.exists():
            PRIVILEGES.mkdir(mode=0o755)
            stack.callback(PRIVILEGES.rmdir)
        sshd = Counted("/usr/sbin/sshd", "-D", "-e", "-f", config, stderr=subprocess.DEVNULL)
        stack.callback(sshd.stop)
        until(lambda: answers(port), 20)
        key = (self.folder / "host.pub").read_text()
        (self.folder / "known").write_text(f"source {key}")
        return sshd

    def _ssh(self, port: int, forward: str) -> Counted:
        options = [
            "IdentitiesOnly=yes", f"UserKnownHostsFile={self.folder}/known", "HostKeyAlias=source", "BatchMode=yes",
            "ExitOnForwardFailure=yes",
        ]  # fmt: skip
        return Counted(
            "ssh", "-F", "none", "-i", self.folder / "user", *(word for option in options for word in ("-o", option)),
            "-c", CIPHER, "-N", "-T", "-L", forward, "-p", port, f"{getpass.getuser()}@127.0.0.1",
        )  # fmt: skip
