"""A service that plays the importer's checks: it does what the message says, and writes down that it did.

Run with ``python -m probe_service``; ``PROBE_FOLDER`` is where it writes ``journal`` and looks for ``release``.
"""

from __future__ import annotations

import os
from pathlib import Path

import eventlet
from stackferry import topology
from stackferry.errors import InvalidMessage
from stackferry.messages import TryCloud
from stackferry_runtime.services.bus import Delivery, handles

FOLDER = Path(os.environ["PROBE_FOLDER"])
WORKERS = 10


def write(*words: object) -> None:
    with (FOLDER / "journal").open("a") as journal:
        journal.write(" ".join(map(str, words)) + "\n")


class Probe:
    name = "importer"

    @handles(TryCloud, queue=topology.IMPORTER_CHECKS, workers=WORKERS)
    def check(self, delivery: Delivery) -> None:
        label, what = delivery.data["reply_to"], delivery.data["place"]["cloud"]
        write(label, "began", "doubtful" if delivery.doubtful else "first", os.getpid())
        if what == "fail":
            raise RuntimeError("as told")
        if what == "refuse":
            raise InvalidMessage("invalid", {"place": "as told"})
        while what == "wait" and not (FOLDER / "release").exists():
            eventlet.sleep(0.02)  # how often it looks
        write(label, "ended", os.getpid())


if __name__ == "__main__":
    from stackferry_runtime.services.launcher import launch
    from stackferry_runtime.settings import Common

    launch("probe_service:Probe", Common)
