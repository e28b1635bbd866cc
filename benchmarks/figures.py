"""What one way of copying took, run by run, and a line of a table of it."""

from __future__ import annotations

import os
import statistics
import sys
from dataclasses import dataclass, field

MB = 1e6


@dataclass
class Figures:
    """What one way took, run by run."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    wire: float | None = None
    memory: str = ""

    def add(self, wall: float, cpu: float) -> None:
        print(f"{wall:.1f} s, {cpu:.1f} CPU s, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        self.wall.append(wall)
        self.cpu.append(cpu)

    @property
    def medians(self) -> tuple[float, float]:
        return statistics.median(self.wall), statistics.median(self.cpu)

    def row(self, way: str) -> str:
        """A line of the table."""
        wall, cpu = self.medians
        spread = f"{wall:.1f} ({min(self.wall):.1f} to {max(self.wall):.1f})"
        wire = "" if self.wire is None else f"{self.wire / MB:.1f}"
        return f"| {way} | {spread} | {cpu:.1f} | {wire} | {self.memory} |"
