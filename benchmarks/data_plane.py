"""The data plane against OS Migrate's path and dd: time, CPU seconds, bytes on the wire, memory.

    python benchmarks/data_plane.py [--size 4] [--random 1] [--repeat 3] [--folder /dev/shm]

Two volumes cross from one loop device to another on this machine: an ext4 that is 44 % full of text, binaries and
noise, and one of noise alone. Three ways take turns: two agents as the product runs them (mutual TLS), without and with
the verification; nbdkit, ssh with AES-GCM and qemu-img, as OS Migrate does it; and dd. Medians. CPU seconds are those of
all processes of both ends, without the kernel's threads. Bytes on the wire are counted by a TCP relay in a run of its
own. Both ends share this machine: only the ratios mean something elsewhere.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import os_migrate
import volumes
from agents import Agents
from figures import Figures
from processes import Counted, Relay

GIB = 1 << 30
PUMP, VERIFIED, THEIRS, DD = "stackferry", "stackferry, verified", "nbdkit, ssh, qemu-img", "dd conv=sparse"
CHANGED = 0.01
DELTA = f"stackferry, delta of {CHANGED:.0%}"


class Bench:
    """One volume, and the figures of each way."""

    def __init__(self, folder: Path, agents: Agents, tunnel: os_migrate.Tunnel, source: Path, size: int) -> None:
        self.folder, self.agents, self.tunnel, self.source, self.size = folder, agents, tunnel, source, size
        self.volume = str(uuid.uuid4())
        agents.attach("source", self.volume, source)
        self.figures = {way: Figures() for way in (PUMP, VERIFIED, THEIRS, DD)}

    def round(self) -> None:
        """Each way once."""
        with self._target() as (target, volume):
            copy = str(uuid.uuid4())
            wall, cpu = self._pump(copy, volume, "copy")
            self.figures[PUMP].add(wall, cpu)
            more = self._pump(copy, volume, "verify")
            self.figures[VERIFIED].add(wall + more[0], cpu + more[1])
            self._compare(target)
        with self._target() as (target, _):
            wall, cpu, memory = self.tunnel.convert(self.source, target)
            self.figures[THEIRS].add(wall, cpu)
            self.figures[THEIRS].memory = f"{memory:.0f}"
            self._compare(target)
        with self._target() as (target, _):
            began = time.monotonic()
            copying = Counted(
                "dd", f"if={self.source}", f"of={target}", "bs=1M", "conv=sparse,notrunc,fsync", "status=none"
            )
            copying.end()
            self.figures[DD].add(time.monotonic() - began, copying.cpu)

    def wires(self) -> None:
        """The bytes on the wire, in runs of their own."""
        with self._target() as (target, _):
            relays: list[Relay] = []
            self.tunnel.convert(self.source, target, relays)
            self.figures[THEIRS].wire = _total(relays)
        with self._target() as (_, volume):
            copy, relays = str(uuid.uuid4()), []
            self._pump(copy, volume, "copy", relays)
            self.figures[PUMP].wire = _total(relays)
            self._pump(copy, volume, "verify", relays)
            self.figures[VERIFIED].wire = _total(relays)

    def delta(self, share: float) -> None:
        """A pass after so much has changed: timed once, and counted at another change."""
        relays: list[Relay] = []
        with self._target() as (target, volume):
            copy = str(uuid.uuid4())
            self._pump(copy, volume, "copy")
            volumes.change(self.source, share, seed=3)
            figures = self.figures[DELTA] = Figures()
            figures.add(*self._pump(copy, volume, "delta"))
            volumes.change(self.source, share, seed=4)
            self._pump(copy, volume, "delta", relays)
            figures.wire = _total(relays)
            self._compare(target)

    def table(self) -> str:
        """All figures."""
        memory = self.agents.memory()
        self.figures[PUMP].memory = "{source:.0f} + {destination:.0f}".format(**memory)
        head = "| way | wall s (range) | CPU s, both ends | MB on the wire | memory MB |\n|---|---|---|---|---|\n"
        return head + "\n".join(figures.row(way) for way, figures in self.figures.items())

    @contextmanager
    def _target(self) -> Iterator[tuple[Path, str]]:
        volume = str(uuid.uuid4())
        volumes.forget(self.source)
        with volumes.empty(self.folder, self.size) as target:
            self.agents.attach("destination", volume, target)
            yield target, volume

    def _pump(self, copy: str, target: str, mode: str, relays: list[Relay] | None = None) -> tuple[float, float]:
        volumes.forget(self.source)
        cpu, began = self.agents.cpu(), time.monotonic()
        self.agents.cross(copy, self.volume, target, self.size, mode, relays)
        return time.monotonic() - began, self.agents.cpu() - cpu

    def _compare(self, target: Path) -> None:
        volumes.forget(target)
        subprocess.run(["cmp", "-n", str(self.size), self.source, target], check=True)


def _total(relays: list[Relay]) -> float:
    for relay in relays:
        relay.close()
    return sum(relay.bytes for relay in relays)


def targets(mixed: Bench, allocated: int) -> Iterator[tuple[str, float, float]]:
    """What was aimed at: (what, measured, limit)."""
    ours, verified, theirs = (mixed.figures[way] for way in (PUMP, VERIFIED, THEIRS))
    delta = mixed.figures[DELTA]
    yield "CPU seconds, of OS Migrate's", ours.medians[1] / theirs.medians[1], 1 / 3
    yield "wall, of OS Migrate's", ours.medians[0] / theirs.medians[0], 1 / 2
    yield "wall with the verification, of OS Migrate's without any", verified.medians[0] / theirs.medians[0], 2 / 3
    yield "wire, of the bytes that the volume has", (ours.wire or 0) / allocated, 1.01
    yield "wire of a delta, of the full pass", (delta.wire or 0) / (ours.wire or 1), 0.03
    yield "memory of the larger agent, MB", max(mixed.agents.memory().values()), 150


def measure(folder: Path, agents: Agents, options: argparse.Namespace) -> None:
    """Make the volumes, run all, and print."""
    tunnel = os_migrate.Tunnel(folder / "ssh")
    with ExitStack() as stack:
        benches = {}
        for name, make, size in (("mixed", volumes.mixed, options.size), ("noise", volumes.noise, options.random)):
            file, size = folder / name, int(size * GIB)
            make(file, size)
            device = stack.enter_context(volumes.attached(file))
            benches[name] = Bench(folder, agents, tunnel, device, size)
        allocated = (folder / "mixed").stat().st_blocks * 512
        for name, bench in benches.items():
            print(
                f"\n## {name}: {bench.size / GIB:g} GiB, {(folder / name).stat().st_blocks / 2**21:.2f} GiB of it data"
            )
            for _ in range(options.repeat):
                bench.round()
            bench.wires()
            if name == "mixed":
                bench.delta(CHANGED)
            print(bench.table(), flush=True)
        print("\n| aim, mixed | measured | limit | |\n|---|---|---|---|")
        for what, measured, limit in targets(benches["mixed"], allocated):
            print(f"| {what} | {measured:.4g} | {limit:.4g} | {'met' if measured <= limit else '**not met**'} |")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=4, help="GiB of the mixed volume")
    parser.add_argument("--random", type=float, default=1, help="GiB of the random one")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="has room for twice the data")
    options = parser.parse_args()
    if missing := os_migrate.missing():
        raise SystemExit(f"please install: apt-get install {' '.join(missing)}")
    kind = "files, whose holes everybody sees (no root)" if os.geteuid() else "loop devices"
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {kind} in {options.folder}, {options.repeat} runs each"
    )
    with (
        tempfile.TemporaryDirectory(prefix="stackferry-bench-", dir=options.folder) as folder,
        Agents(Path(folder)) as agents,
    ):
        measure(Path(folder), agents, options)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
