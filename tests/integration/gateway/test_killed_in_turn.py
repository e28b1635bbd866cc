"""Gateway, broker, bridges and a listener are killed in turn: everybody who hears has every event, in order."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import yaml
from stackferry.errors import BrokerUnavailable
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack

from ..bridge.carried import Bridge, Receiver, Teller, once, teller
from .asking import RATE, answers, caller, token

pytestmark = pytest.mark.integration
SEED = int(os.environ.get("SEED", "1"))
#: a program of somebody else: writes down what it hears, and goes on behind what it has written
LISTENER = """
import os, sys
from pathlib import Path
from stackferryclient import Client
file = Path(sys.argv[1])
*lines, half = file.read_text().split("\\n") if file.exists() else [""]
file.write_text("".join(line + "\\n" for line in lines))
last = int(lines[-1].split()[0]) if lines else -1
with Client(os.environ["FERRY"], token=os.environ["FERRY_TOKEN"]) as ferry, file.open("a", buffering=1) as out:
    for event in ferry.events(after=last):
        out.write(f"{event.number} {event.data['id']}\\n")
"""


class Listening:
    """A process that listens over HTTP, and may be killed."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.file, self.process = folder / "heard", None
        self.env = {**os.environ, "FERRY": stack.gateway.url(), "FERRY_TOKEN": token("root")}

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", LISTENER, str(self.file)], env=self.env)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def lines(self) -> list[list[str]]:
        return [line.split() for line in lines(self.file)]


@pytest.fixture
def told(stack: Stack) -> Iterator[Teller]:
    with teller(stack) as found:
        yield found


@pytest.mark.timeout(600)
def test_everybody_has_every_event(stack: Stack, told: Teller, tmp_path: Path) -> None:
    receiver, listening = Receiver(), Listening(stack, tmp_path)
    hooks = tmp_path / "hooks.yaml"
    hooks.write_text(yaml.safe_dump({"webhooks": [{"name": "cmdb", "url": receiver.url, "private": True}]}))
    bridges = [
        Bridge(stack, tmp_path / "f", "file", target=tmp_path / "events.jsonl"),
        Bridge(stack, tmp_path / "w", "webhooks", webhooks=hooks),
    ]
    with ExitStack() as over:
        over.callback(receiver.close)
        for bridge in bridges:
            bridge.start()
            over.callback(bridge.stop)
        listening.start()
        over.callback(lambda: listening.kill())
        assert until((tmp_path / "f/state/file.json").exists, 20), bridges[0].said()
        assert until((tmp_path / "w/state/cmdb.json").exists, 20), bridges[1].said()
        assert until(told.is_heard, 30)

        def gateway() -> None:
            stack.process("gateway").stop(timeout=0)
            stack.up({"gateway": 1}, RATE)

        def broker() -> None:
            stack.node.kill()
            stack.node.start()

        def again(one: Bridge | Listening) -> None:
            one.kill()
            one.start()

        turns = [gateway, broker, *(partial(again, one) for one in (listening, *bridges))] * 2
        random.Random(SEED).shuffle(turns)
        for turn in turns:
            tell(told, 15)
            turn()
            tell(told, 15)
        ids = list(told.ids)
        with caller(stack, "root") as http:
            assert until(lambda: answers(http), 60)
        everyone: dict[str, Callable[[], list[str]]] = {
            "listener": lambda: [id_ for _, id_ in listening.lines()],
            "file": lambda: [json.loads(line)["event"]["id"] for line in lines(tmp_path / "events.jsonl")],
            "webhook": receiver.ids,
        }
        for name, heard in everyone.items():
            assert until(lambda heard=heard: not set(ids) - set(heard()), 120), (name, SEED)
            found = [id_ for id_ in once(heard()) if id_ in set(ids)]
            assert found == ids, f"{name} has another order (seed {SEED})"
    numbers = [int(number) for number, _ in listening.lines()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), f"a number is missing, or came twice (seed {SEED})"
    heard_by_file = everyone["file"]()
    assert len(heard_by_file) == len(set(heard_by_file)), "the file says itself where it is"


def lines(file: Path) -> list[str]:
    """The whole lines of a file."""
    return file.read_text().split("\n")[:-1] if file.exists() else []


def tell(told: Teller, many: int) -> None:
    """Tell surely: while the broker is away, wait."""

    def is_told() -> bool:
        try:
            told.tell(many)
        except (BrokerUnavailable, AssertionError):  # some may be told all the same: those that nobody counts on
            return False
        return True

    assert until(is_told, 60)
