"""How many events a second the bridge carries.

    python benchmarks/bridge.py [--events 20000] [--to file nats mqtt]

So many events are in the stream; a bridge begins with the oldest, and is asked by its cursor how far it is. Measured are
events a second by the clock and the bridge's seconds of CPU, broker and target on the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

from stackferry import topology
from stackferry.bus import Outgoing, Publisher
from stackferry.messages import StepEnded
from stackferry_cli.local.processes import until
from stackferry_cli.local.rabbitmq import free_port
from stackferry_cli.local.stack import Stack

HERTZ = os.sysconf("SC_CLK_TCK")
AT_ONCE = 500


def fill(uri: str, many: int) -> None:
    publisher, migration = Publisher(uri, "benchmark"), str(uuid.uuid4())
    for first in range(0, many, AT_ONCE):
        events = [
            StepEnded.make("benchmark", {"migration": migration, "step": f"network/{n}", "attempt": 1, "outcome": "created",
                                         "kind": "network", "name": f"net-{n}", "destination_id": str(uuid.uuid4())})
            for n in range(first, min(first + AT_ONCE, many))
        ]  # fmt: skip
        key = f"a.b.{migration}.step-ended"
        publisher.publish_all([Outgoing.of(topology.EVENTS.name, key, event) for event in events])
    publisher.close()


def target(to: str, folder: Path, opened: ExitStack) -> str:
    port = free_port()
    if to == "file":
        return str(folder / "events.jsonl")
    if to == "nats":
        words, found = (
            ["nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)],
            f"nats://127.0.0.1:{port}",
        )
    else:
        (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        words, found = ["mosquitto", "-c", str(folder / "mosquitto.conf")], f"mqtt://127.0.0.1:{port}"
    opened.callback(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).kill)
    return found


def carry(stack: Stack, to: str, many: int) -> None:
    with tempfile.TemporaryDirectory(prefix="stackferry-bench-") as name, ExitStack() as opened:
        folder = Path(name)
        env = {"STACKFERRY_TO": to, "STACKFERRY_TARGET": target(to, folder, opened), "STACKFERRY_BEGIN": "oldest",
               "STACKFERRY_STATE_DIR": str(folder / "state"), "STACKFERRY_AMQP_URI": stack.node.uri("bridge")}  # fmt: skip
        cursor = folder / "state" / f"{to}.json"
        process = subprocess.Popen(
            [sys.executable, "-m", "stackferry_bridge"], env={**os.environ, **env}, stdout=subprocess.DEVNULL
        )
        opened.callback(process.wait)
        opened.callback(process.terminate)
        assert until(lambda: cursor.exists() and number(cursor) >= 0, 60)
        first, began = number(cursor), time.monotonic()
        assert until(lambda: number(cursor) >= many - 1, 300)
        seconds = time.monotonic() - began
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / HERTZ
        print(
            f"{to}: {(many - 1 - first) / seconds:.0f} events a second; {1000 * used / many:.2f} ms of CPU each, the start included"
        )


def number(file: Path) -> int:
    return int(json.loads(file.read_text())["number"])


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--to", nargs="+", default=["file", "nats", "mqtt"])
    options = parser.parse_args()
    os.environ.pop("AMQP_URI", None)
    with tempfile.TemporaryDirectory(
        prefix="stackferry-bench-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as name:
        stack = Stack(Path(name))
        stack.node.start()
        try:
            fill(stack.node.uri("coordinator"), options.events)
            for to in options.to:
                if to == "file" or shutil.which({"nats": "nats-server", "mqtt": "mosquitto"}[to]):
                    carry(stack, to, options.events)
        finally:
            stack.node.stop()


if __name__ == "__main__":
    main()
