"""The four stages of cloud-init in one process, as cloud-init 24.3 and later have it. Runs in a guest.

To start Python and import cloud-init takes seconds each time where every instruction is emulated.
"""

import os
import socket
import sys
import time
from pathlib import Path

sys.path[1:1] = ["/usr/lib/python3/dist-packages"]
os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
from cloudinit.cmd import main  # noqa: E402 - the path has to be there first

ONLINE_SECONDS = 20.0


def say(stage: str) -> None:
    """Tell the console how far it is, and when."""
    uptime = Path("/proc/uptime").read_text().split()[0]
    Path("/dev/console").write_text(f"cloud-init {stage}: {uptime} s\n")


def go_on() -> None:
    """Tell systemd that the network may be set up now."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address.replace("@", "\0", 1))


def wait_online() -> None:
    """Wait until there is a route, for a while: user data may need the network."""
    end = time.monotonic() + ONLINE_SECONDS
    while len(Path("/proc/net/route").read_text().splitlines()) < 2 and time.monotonic() < end:
        time.sleep(0.1)


main.main(["cloud-init", "init", "--local"])
say("local")
go_on()
main.main(["cloud-init", "init"])
say("init")
main.main(["cloud-init", "modules", "--mode=config"])
wait_online()
say("online")
main.main(["cloud-init", "modules", "--mode=final"])
say("final")
