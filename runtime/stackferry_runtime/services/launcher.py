"""Starts one service process: patches for eventlet, waits for the broker, runs, and drains on SIGTERM."""

import warnings

warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")  # we know; see docs/decisions

import eventlet  # noqa: E402

eventlet.monkey_patch()  # before anything else is imported: libraries must see the patched modules

import importlib  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from nameko.containers import ServiceContainer  # noqa: E402
from stackferry.bus import connect, declare  # noqa: E402
from stackferry.errors import BrokerUnavailable  # noqa: E402

from .. import garbage, logs, metrics, settings, starting  # noqa: E402
from . import bus  # noqa: E402

os.environ.setdefault("PSYCOPG_WAIT_FUNC", "wait_selector")  # psycopg's C waits would stop every greenlet
DRAIN_EXIT = 75  # handlers were abandoned; the broker delivers their messages again


def launch(service: str, settings_class: type[settings.Common]) -> None:
    """Run ``module:Class`` until SIGTERM or SIGINT. Exit codes: 0 stopped, 2 wrong settings, 75 drained in part."""
    config = starting.told(settings_class)
    log = logs.logger(service.partition(":")[0].partition(".")[0])
    with starting.refusing():
        metrics.watched(config.metrics_address, bus.are_reading)  # it's alive while it waits for the broker
    await_broker(config.amqp_uri, log)
    container = build(service, config)
    _stop_on_signals(container, config.drain_timeout, log)
    with starting.refusing():  # such as a file that a setting names, and that can't be used
        container.start()
    garbage.collect_rarely()
    log.info("ready", pid=os.getpid())
    if config.ready_file:
        Path(config.ready_file).write_text(str(os.getpid()))
    while True:
        try:
            container.wait()
            return
        except InterruptedError:
            continue


def build(service: str, config: settings.Common) -> ServiceContainer:
    """Return the nameko container of ``module:Class``; its extensions find the settings in its config."""
    module, _, name = service.partition(":")
    cls = getattr(importlib.import_module(module), name)
    return ServiceContainer(cls, {"settings": config, "max_workers": config.max_workers})


def await_broker(uri: str, log: Any) -> None:
    """Return once the broker answers and the topology exists; say every few seconds what is missing."""
    pause = 0.5
    while True:
        try:
            connection = connect(uri, "stackferry topology", heartbeat=0)
            with connection:
                declare(connection)
            return
        except BrokerUnavailable as error:
            log.warning("waiting for the broker", error=str(error))
            eventlet.sleep(pause)
            pause = min(pause * 2, 10)


def _stop_on_signals(container: ServiceContainer, drain: float, log: Any) -> None:
    stopping: list[Any] = []

    def stop() -> None:
        log.info("stopping")
        try:
            with eventlet.Timeout(drain, False):
                container.stop()
                return
            log.warning("drain time is over; what is under way will be delivered again")
        except Exception:  # or the process would stay, and do nothing
            log.exception("could not stop in order; what is under way will be delivered again")
        os._exit(DRAIN_EXIT)

    def once(*_: object) -> None:
        if not stopping:  # a second signal changes nothing
            stopping.append(eventlet.spawn(stop))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, once)
