"""Stands in for a transfer agent: says what it was given, and does what files in its state folder ask for.

A file ``hold`` holds the name of a device, which it then keeps open.
"""

import json
import os
import signal
import time
from pathlib import Path

state = Path(os.environ["STACKFERRY_STATE_DIR"])
instance = os.environ["STACKFERRY_INSTANCE"]
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with (state / f"starts-{instance}").open("a") as starts:
    starts.write("x")
(state / f"given-{instance}.json").write_text(json.dumps({"environ": dict(os.environ), "cwd": os.getcwd()}))
print("hello from", instance, flush=True)
Path(os.environ["STACKFERRY_READY_FILE"]).touch()
held = None
while True:
    time.sleep(0.02)
    if held is None and (state / "hold").exists():
        held = os.open(Path(os.environ["STACKFERRY_DEVICES_DIR"], (state / "hold").read_text()), os.O_RDWR)
        (state / "held").touch()
