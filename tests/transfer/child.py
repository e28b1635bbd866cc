"""One end of a copy as a process that can be killed: ``python -m tests.transfer.child``, with JSON as its argument."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from stackferry_runtime.certificates import identity
from stackferry_transfer.copying.task import Mode
from stackferry_transfer.disk.blocks import Copy
from stackferry_transfer.disk.devices import open_destination
from stackferry_transfer.disk.journal import Journal
from stackferry_transfer.pump.connections import connect
from stackferry_transfer.pump.destination import pull
from stackferry_transfer.pump.pace import Pace
from stackferry_transfer.pump.server import Server
from stackferry_transfer.pump.source import Offer, Shared


def main() -> None:
    job = json.loads(sys.argv[1])
    folder, copy = Path(job["folder"]), Copy(*job["copy"])
    mine, theirs = identity(folder, "source"), identity(folder, "destination")
    if job["role"] == "serve":
        with Server(socket.create_server(("127.0.0.1", 0)), mine, Shared(pace=Pace(job["rate"]))) as server:
            server.offer(Offer(copy, folder / "source", (theirs.certificate,)))
            print(server._listener.getsockname()[1], flush=True)
            sys.stdin.read()
        return

    def progress(blocks: int, size: int) -> None:
        if blocks == job["exit_at"]:
            os._exit(9)
        print(blocks, flush=True)

    part = range(*job["blocks"]) if job["blocks"] else None
    with open_destination(folder / "target", copy.size) as device, Journal(folder / "journal", copy) as journal:
        pulled = pull(
            device,
            journal,
            lambda: connect(("127.0.0.1", job["port"]), theirs, mine.certificate),
            mode=Mode(job["mode"]),
            blocks=part,
            progress=progress,
            every_blocks=job["every_blocks"],
        )
    assert pulled.complete


if __name__ == "__main__":
    main()
