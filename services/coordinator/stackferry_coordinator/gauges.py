"""How things stand, for whoever watches: migrations, steps, hosts, what waits. Read when it's asked for."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter as Many
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from stackferry.messages import WorkloadChanged
from stackferry.messages.workloads import WORKLOAD_STATES
from stackferry.phases import OVER
from stackferry_runtime.logs import logger
from stackferry_runtime.metrics import REGISTRY

from .hosts import operators, presence
from .storage import tables as t
from .storage.retention import FORGOTTEN

log = logger(__name__)
KEPT = 5.0  # seconds in which it's not read again, however many watch
TRIES = Counter("stackferry_tries", "tries of steps by how they ended", ("kind", "outcome"), registry=REGISTRY)
TRY_SECONDS = Histogram(
    "stackferry_try_seconds", "seconds of work of a try", ("kind",), registry=REGISTRY,
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600, 14400),
)  # fmt: skip
WIRE = Counter("stackferry_wire_bytes", "bytes that crossed between conversion hosts", registry=REGISTRY)
PARKED = Gauge("stackferry_parked_messages", "messages that nobody could act on", registry=REGISTRY)
WORKLOADS = Counter(
    "stackferry_workloads", "servers and volumes by what became of them", ("kind", "state"), registry=REGISTRY
)  # fmt: skip
for _kind, _state in itertools.product(("server", "volume"), WORKLOAD_STATES):
    WORKLOADS.labels(_kind, _state)  # or Prometheus would miss the first of each
DOWNTIME = Histogram(
    "stackferry_downtime_seconds", "seconds in which a server that ran was in neither cloud", registry=REGISTRY,
    buckets=(1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400),
)  # fmt: skip


def told(key: str, body: bytes) -> None:
    """Count what became of a server or volume, once the broker has the event that says so."""
    if not key.endswith(f".{WorkloadChanged.called}"):
        return
    data = json.loads(body)["data"]
    WORKLOADS.labels(data["workload"].partition("/")[0], data["state"]).inc()
    downtime = (data.get("results") or {}).get("downtime")
    if data["state"] == "done" and isinstance(downtime, int | float):
        DOWNTIME.observe(downtime)


def ended(data: dict[str, object]) -> None:
    """Count a try that is over, as its worker says."""
    kind, outcome, seconds = data.get("kind") or "none", data["outcome"], data.get("seconds")
    TRIES.labels(str(kind), str(outcome)).inc()
    if isinstance(seconds, int | float):
        TRY_SECONDS.labels(str(kind)).observe(seconds)
    results = data.get("results")
    counts = results.get("counts") if isinstance(results, dict) else None
    if isinstance(counts, dict):
        WIRE.inc(sum(many for name in ("wire_received", "wire_sent") if type(many := counts.get(name)) is int))


class Gauges(Collector):
    """Of one coordinator's database. What can't be read now is left out."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self.engine, self.clock = engine, clock
        self._lock, self._read = threading.Lock(), float("-inf")
        self._found: list[GaugeMetricFamily] = []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        with self._lock:
            if time.monotonic() - self._read > KEPT:
                try:
                    self._found = list(self._now())
                except SQLAlchemyError as error:
                    log.warning("the gauges can't be read", error=type(error).__name__)
                    self._found = []
                self._read = time.monotonic()
            return list(self._found)

    def _now(self) -> Iterable[GaugeMetricFamily]:
        c, now = t.migration.c, self.clock()
        with self.engine.connect() as connection:
            known = connection.execute(select(c.phase, func.count()).where(c.phase != FORGOTTEN).group_by(c.phase))
            phases = {str(phase): many for phase, many in known}
            steps: Many[str] = Many()
            for counts in connection.execute(select(c.counts).where(c.phase.not_in((*OVER, FORGOTTEN)))).scalars():
                steps.update(counts)
            hosts = operators.describe(connection, now)
            workers = presence.workers(connection, now)
            unsent = connection.execute(select(func.count()).select_from(t.outbox)).scalar_one()
        yield _family("stackferry_migrations", "migrations by phase", ("phase",), {(p,): n for p, n in phases.items()})
        yield _family("stackferry_steps", "steps of migrations that aren't over, by state", ("state",),
                      {(state,): n for state, n in steps.items()})  # fmt: skip
        yield _family("stackferry_volumes_waiting", "volumes that wait for a place on the hosts", (),
                      {(): steps.get("wanting", 0)})  # fmt: skip
        states = Many((host["cloud"], host["state"]) for host in hosts)
        yield _family("stackferry_hosts", "conversion hosts by cloud and state", ("cloud", "state"), states)
        slots: Many[tuple[str, ...]] = Many()
        for host in hosts:
            slots[host["cloud"], "used"] += host["used"]
            slots[host["cloud"], "free"] += max(0, host["slots"] - host["used"]) if host["state"] == "ready" else 0
        yield _family("stackferry_slots", "copies that hosts do, and could do", ("cloud", "state"), slots)
        yield _family("stackferry_host_silence_seconds", "seconds since a host was heard of", ("cloud", "host"),
                      {(host["cloud"], host["id"]): host["seen"] for host in hosts})  # fmt: skip
        yield _family("stackferry_workers", "exporters and importers that were heard of lately", ("service",),
                      Many((one["service"],) for one in workers))  # fmt: skip
        yield _family("stackferry_unsent_messages", "messages that are to be sent", (), {(): unsent})


def _family(name: str, about: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> GaugeMetricFamily:
    found = GaugeMetricFamily(name, about, labels=labels)
    for words, value in values.items():
        found.add_metric(words, float(value))
    return found


def watch(engine: Engine, clock: Callable[[], float]) -> None:
    """Tell how things stand from now on."""
    REGISTRY.register(Gauges(engine, clock))
