"""``python -m stackferry_bridge``."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

from stackferry.errors import Error
from stackferry_runtime import logs, metrics, starting
from stackferry_runtime.reread import Reread

from . import hooks
from .carrying import Carrier
from .cursor import Cursor
from .settings import Settings
from .targets import Target
from .targets.file import File
from .targets.webhook import Hook, Webhook

log = logs.logger("bridge")
LOOK = 1.0  # seconds between two looks at the webhooks, and at who carries
CLASSES = {"nats": "Nats", "kafka": "Kafka", "mqtt": "Mqtt", "oslo": "Oslo"}


def main() -> int:
    """Carry until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 a target can't be carried to, 2 wrong settings."""
    told = starting.told(Settings)
    with starting.refusing():
        bridge = Bridge(told)
        metrics.watched(told.metrics_address, bridge.is_well)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    return bridge.run(over)


class Bridge:
    """All that one process carries. Raises Error for settings that can't be used."""

    def __init__(self, told: Settings) -> None:
        self.told, self.folder = told, Path(told.state_dir)
        self.hooks: Reread[tuple[Hook, ...]] | None = None
        self.carriers: dict[object, Carrier] = {}
        self.answering = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Error(f"STACKFERRY_STATE_DIR: {self.folder} can't be made: {error.strerror}") from None
        if not os.access(self.folder, os.W_OK):
            raise Error(f"STACKFERRY_STATE_DIR: {self.folder} can't be written to")
        if told.to == "webhooks":
            if not told.webhooks:
                raise Error("STACKFERRY_WEBHOOKS names no file: there's nowhere to carry anything to")
            self.hooks = Reread(Path(told.webhooks), hooks.read)
        else:
            self._add(told.to, self._target())
        if told.requests:
            if told.to != "nats":
                raise Error("STACKFERRY_REQUESTS: requests are taken from NATS; say STACKFERRY_TO=nats")
            self.answering = import_module("stackferry_bridge.requests").Requests(told)

    def _target(self) -> Target:
        told = self.told
        if not told.target:
            raise Error(f"STACKFERRY_TARGET says nothing: where is {told.to}?")
        if told.to == "file":
            return File(Path(told.target))
        try:
            module = import_module(f".targets.{told.to}", __package__)
        except ModuleNotFoundError as error:
            raise Error(f"{error.name} isn't installed: pip install 'stackferry-bridge[{told.to}]'") from None
        found: Target = getattr(module, CLASSES[told.to])(told.target)
        return found

    def _add(self, key: object, target: Target, name: str = "") -> None:
        cursor = Cursor(self.folder / f"{name or self.told.to}.json")
        self.carriers[key] = Carrier(self.told.amqp_uri, target, cursor, self.told.begin == "oldest")

    def is_well(self) -> bool:
        """Whether all is carried, and requests are taken."""
        carried = all(one.is_well for one in list(self.carriers.values()))
        return carried and (self.answering is None or bool(self.answering.is_listening))

    def run(self, over: threading.Event) -> int:
        """Carry until it's over, or something can't be carried any more."""
        for carrier in self.carriers.values():
            carrier.start()
        if self.answering is not None:
            self.answering.start()
        log.info("ready", pid=os.getpid(), to=self.told.to)
        if self.told.ready_file:
            Path(self.told.ready_file).write_text(str(os.getpid()))
        code = 0
        while not over.is_set():
            self._follow_hooks()
            if self.hooks is None and not all(one.is_alive for one in self.carriers.values()):
                code = 1
                break
            over.wait(LOOK)
        deadline = time.monotonic() + self.told.drain_timeout
        for carrier in self.carriers.values():
            carrier.close(0)
        for carrier in self.carriers.values():
            carrier.close(max(0.0, deadline - time.monotonic()))
        if self.answering is not None:
            self.answering.close()
        return code

    def _follow_hooks(self) -> None:
        """Begin with the webhooks that the file has now, end those that it hasn't any more."""
        if self.hooks is None:
            return
        wanted = dict.fromkeys(self.hooks.now())
        for hook in [one for one in self.carriers if one not in wanted]:
            self.carriers[hook].close(0)  # its batch ends with the event that is under way
        for hook in [one for one, carrier in self.carriers.items() if not carrier.is_alive]:
            del self.carriers[hook]  # one that has ended by an error begins anew
        busy = {carrier.cursor.file.stem for carrier in self.carriers.values()}
        for hook in wanted:
            if hook not in self.carriers and hook.name not in busy:
                self._add(hook, Webhook(hook, self.folder / f"{hook.name}.failed.jsonl"), hook.name)
                self.carriers[hook].start()


if __name__ == "__main__":
    sys.exit(main())
